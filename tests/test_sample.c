// SPDX-License-Identifier: MIT
/*
 * agent/sample.h: are gaps exponential, and is an allocation of Z bytes sampled with
 * probability 1 - exp(-Z / mean), whatever comes before it? Seeds are fixed, so
 * that each statistical test has one outcome; the bounds are those that a true
 * random generator would break once in 10,000 times or less.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/sample.h"
#include "agent/sample_filter.h"
#include "base/types.h"
#include "tests/must.h"
#include "tests/suites.h"

#define SIGMAS 4.0

/* A thread of the target, as the agent sees it. */
struct thread {
	s64 countdown;
	u64 random;
};

static struct thread begin(u64 mean, u64 key)
{
	struct thread t;

	sample_begin(&t.countdown, &t.random, mean, key, 1, 2);
	return t;
}

static bool step(struct thread *t, u64 mean, u64 size)
{
	return sample_step(&t->countdown, &t->random, mean, size);
}

/* hits of n trials must be what probability p gives, within SIGMAS standard deviations. */
static void assert_binomial(const char *what, u64 size, u64 hits, u64 n, double p)
{
	double expected = (double)n * p, sigma = sqrt(expected * (1 - p));

	ck_assert_msg(fabs((double)hits - expected) <= SIGMAS * sigma + 1e-6 * expected,
		      "%s, size %llu: %llu of %llu, expected %.1f +- %.1f", what,
		      (unsigned long long)size, (unsigned long long)hits, (unsigned long long)n,
		      expected, sigma);
}

/* Chi square of n bins with equal expectation. */
static double chi_square(const u64 *bins, size_t n, double expected)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)bins[i] - expected) * ((double)bins[i] - expected) / expected;
	return sum;
}

static void assert_log(u64 random)
{
	/* Near 2^64 the quotient would be rounded to 1. */
	long double exact = random >> 63 ? -log1pl(-ldexpl((long double)(0 - random), -64))
					 : -logl(ldexpl((long double)random, -64));
	long double error = ldexpl((long double)sample_log(random), -57) - exact;
	long double small = exact < 1 ? exact : 1;

	if (fabsl(error) > 1e-9L * small + ldexpl(2, -57))
		ck_abort_msg("random %llx: off by %Lg", (unsigned long long)random, error);
}

START_TEST(logarithm_is_exact_enough)
{
	u64 random = 12345;

	for (int bit = 0; bit < 64; bit++)
		for (u64 i = 0; i < 64; i++) {
			u64 power = 1ULL << bit;

			/* Around the powers of 2, and where the table's entries meet. */
			assert_log(power + (power >> 6) * i + (i % 3));
			assert_log(0 - power - (power >> 6) * i - (i % 3) - (bit == 0 && i == 0));
		}
	for (int i = 0; i < 1000000; i++)
		assert_log(sample_random(&random));
	assert_log(1);
	assert_log(UINT64_MAX);
}
END_TEST

/* Mean, variance and shape of the gaps, and that one tells nothing of the next. */
static void check_gaps(u64 mean)
{
	enum { N = 1000000, BINS = 20 };
	double p = -expm1(-1 / (double)mean), sum = 0, squares = 0, product = 0, last = 0;
	double expected = 1 / p, variance = (1 - p) / (p * p);
	u64 random = 0x1234 + mean, bins[BINS] = {0};

	for (int i = 0; i < N; i++) {
		double gap = (double)sample_gap(&random, mean);
		size_t bin = (size_t)(BINS * exp(-(gap - 0.5) / (double)mean));

		MUST(gap >= 1 && gap <= 45 * (double)mean + 1);
		bins[bin < BINS ? bin : BINS - 1]++;
		sum += gap - expected;
		squares += (gap - expected) * (gap - expected);
		product += (gap - expected) * last;
		last = gap - expected;
	}
	ck_assert_msg(fabs(sum / N) <= SIGMAS * sqrt(variance / N), "mean %llu: off by %g",
		      (unsigned long long)mean, sum / N);
	/* The fourth moment of an exponential is 9 times its variance squared (of a short geometric
	 * distribution a little more). */
	ck_assert_msg(fabs(squares / N - variance) <= SIGMAS * variance * sqrt(8.5 / N),
		      "mean %llu: variance %g, not %g", (unsigned long long)mean, squares / N,
		      variance);
	ck_assert_msg(fabs(product / N) <= SIGMAS * variance / sqrt(N),
		      "mean %llu: neighbours correlate, %g", (unsigned long long)mean,
		      product / N / variance);
	/* 19 degrees of freedom. Whole bytes do not make equal bins of a short mean. */
	if (mean >= 10000)
		ck_assert_msg(chi_square(bins, BINS, (double)N / BINS) < 52, "mean %llu",
			      (unsigned long long)mean);
}

START_TEST(gaps_are_exponential)
{
	check_gaps(1);
	check_gaps(2);
	check_gaps(100);
	check_gaps(10000);
	check_gaps(512 << 10);
	check_gaps(1ULL << 40);
	check_gaps(SAMPLE_MEAN_MAX);
}
END_TEST

/* Each size alone, from far below the mean to far above. */
START_TEST(probability_of_a_size)
{
	static const u64 means[] = {1, 7, 1000, 512 << 10};
	static const double ratios[] = {0, 0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 100};

	for (size_t m = 0; m < ARRAY_SIZE(means); m++)
		for (size_t r = 0; r < ARRAY_SIZE(ratios); r++) {
			u64 size = (u64)(ratios[r] * (double)means[m]), hits = 0;
			u64 n = ratios[r] < 0.1 ? 5000000 : 500000;
			struct thread t = begin(means[m], 100 * m + r);

			size = size ? size : 1;
			for (u64 i = 0; i < n; i++)
				hits += step(&t, means[m], size);
			assert_binomial("alone", size, hits, n,
					-expm1(-(double)size / (double)means[m]));
		}
}
END_TEST

/*
 * Sizes in a row that could betray a memory: a small one always behind a huge one, a pair
 * whose second is small, zeros between. Each must have the probability of its own size.
 */
START_TEST(probability_does_not_depend_on_the_others)
{
	static const u64 row[] = {100000, 1, 16, 16, 0, 300, 4096, 2, 0, 1000, 1000, 64};
	const u64 mean = 1000, n = 1000000;
	u64 hits[ARRAY_SIZE(row)] = {0}, after_hit = 0, hit_after_hit = 0;
	struct thread t = begin(mean, 77);
	bool before = false;

	for (u64 i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(row); k++) {
			bool hit = step(&t, mean, row[k]);

			hits[k] += hit;
			if (k == 10) { /* and not on whether the one before was sampled */
				after_hit += before;
				hit_after_hit += before && hit;
			}
			before = hit;
		}
	for (size_t k = 0; k < ARRAY_SIZE(row); k++)
		assert_binomial("in a row", row[k], hits[k], n,
				-expm1(-(double)row[k] / (double)mean));
	assert_binomial("after a hit", row[10], hit_after_hit, after_hit, -expm1(-1));
}
END_TEST

/* The first allocation of a thread is like any other, begun with sample_begin or without. */
START_TEST(first_allocation)
{
	const u64 mean = 1000, n = 400000;
	struct thread *threads =
		mmap((void *)0x200000000000, n * sizeof(*threads), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	u64 hits = 0, hits_2 = 0, begun = 0;

	ck_assert_ptr_ne(threads, MAP_FAILED);
	for (u64 i = 0; i < n; i++) {
		/* thread pointers are page-aligned and near each other */
		struct thread t = begin(mean, 0x7f0000000700 + i * 0x1000);

		begun += step(&t, mean, 300);
		MUST(!threads[i].random);
		hits += step(&threads[i], mean, 300);
		MUST(threads[i].random && threads[i].countdown > 0);
		hits_2 += step(&threads[i], mean, 300);
	}
	assert_binomial("begun", 300, begun, n, -expm1(-0.3));
	assert_binomial("first", 300, hits, n, -expm1(-0.3));
	assert_binomial("second", 300, hits_2, n, -expm1(-0.3));
	munmap(threads, n * sizeof(*threads));
}
END_TEST

START_TEST(sizes_at_the_ends)
{
	static const u64 means[] = {1, 512 << 10, 1ULL << 40, SAMPLE_MEAN_MAX};
	static const u64 huge[] = {1ULL << 62, INT64_MAX, 1ULL << 63, UINT64_MAX};
	struct thread none = {0, 0};

	for (size_t m = 0; m < ARRAY_SIZE(means); m++) {
		struct thread t = {0, 0};

		ck_assert(!step(&t, means[m], 0)); /* also as the first */
		for (int i = 0; i < 1000; i++) {
			ck_assert(!step(&t, means[m], 0));
			/* 2^62 is 64 times the greatest mean */
			ck_assert(step(&t, means[m], huge[i % 4]));
			ck_assert_int_gt(t.countdown, 0);
		}
	}
	/* Without sampling all are recorded, and nothing is drawn. */
	ck_assert(step(&none, 0, 0) && step(&none, 0, 1) && step(&none, 0, UINT64_MAX));
	ck_assert(none.countdown == 0 && none.random == 0);
}
END_TEST

/* Threads, runs and moments each have gaps of their own. */
START_TEST(seeds_differ)
{
	enum { N = 20000 };
	u64 *states = malloc(3 * N * sizeof(*states)), equal = 0;
	s64 countdown;

	ck_assert_ptr_nonnull(states);
	for (u64 i = 0; i < N; i++) {
		sample_begin(&countdown, &states[i], 1000, 0x7f0000000000 + i * 64, 5, 6);
		sample_begin(&countdown, &states[N + i], 1000, 0x7f0000000000, 7 + i, 6);
		sample_begin(&countdown, &states[2 * N + i], 1000, 0x7f0000000000, 5, 7 + i);
	}
	for (u64 i = 1; i < 3 * N; i++)
		for (u64 k = i > 50 ? i - 50 : 0; k < i; k++)
			equal += states[i] == states[k];
	ck_assert_uint_eq(equal, 0);
	free(states);
}
END_TEST

static _Alignas(64) u8 filter[CHANNEL_FILTER];

START_TEST(filter_counts)
{
	const u64 a = 0x7f1234567890;

	ck_assert(!sample_filter_ask(filter, a));
	sample_filter_drop(filter, a); /* nothing is there: nothing happens */
	ck_assert(!sample_filter_ask(filter, a));
	sample_filter_add(filter, a);
	sample_filter_add(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_CERTAIN);
	sample_filter_drop(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_MAYBE);
	sample_filter_drop(filter, a);
	ck_assert(!sample_filter_ask(filter, a));
	for (u64 i = 0; i < CHANNEL_FILTER; i++)
		ck_assert_uint_eq(filter[i], 0);
}
END_TEST

/* Counters that have reached their end have lost count: they stay. */
START_TEST(filter_loses_count)
{
	const u64 a = 0x7f1234567890;

	for (int i = 0; i < 70000; i++)
		sample_filter_add(filter, a);
	for (int i = 0; i < 70000; i++)
		sample_filter_drop(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_MAYBE);
	ck_assert_uint_eq(*sample_filter_area(filter, a), SAMPLE_FILTER_FULL);
}
END_TEST

/* Another address with the same cell, in the same area or not. */
static u64 cell_mate(u64 a)
{
	u64 b = a + 16;

	while (sample_filter_cell(filter, b) != sample_filter_cell(filter, a))
		b += 16;
	return b;
}

/* Of two in a cell one has its address there. Neither is ever denied while it is in. */
START_TEST(filter_with_two_in_a_cell)
{
	const u64 a = 0x7f1234567890, b = cell_mate(a);

	sample_filter_add(filter, a);
	sample_filter_add(filter, b);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_CERTAIN);
	ck_assert_int_eq(sample_filter_ask(filter, b), SAMPLE_FILTER_MAYBE);
	sample_filter_drop(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, b), SAMPLE_FILTER_MAYBE);
	/* b is freed, which memattach has not read yet, and recorded again. */
	sample_filter_add(filter, b);
	ck_assert_int_eq(sample_filter_ask(filter, b), SAMPLE_FILTER_CERTAIN);
	sample_filter_drop(filter, b);
	ck_assert_int_eq(sample_filter_ask(filter, b), SAMPLE_FILTER_MAYBE);
	sample_filter_drop(filter, b);
	ck_assert(!sample_filter_ask(filter, a) && !sample_filter_ask(filter, b));
}
END_TEST

/*
 * While a realloc of a is under way it has freed it, and another thread allocates a, which is not recorded,
 * and frees it. b, beside it, is not to be forgotten for that.
 */
START_TEST(filter_during_a_realloc)
{
	const u64 a = 0x7f1234567800, b = a + 64;

	sample_filter_add(filter, a);
	sample_filter_add(filter, b);
	sample_filter_yield(filter, b + 64); /* it is not there: nothing happens */
	sample_filter_yield(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_MAYBE);
	sample_filter_drop(filter, a);
	ck_assert_int_eq(sample_filter_ask(filter, a), SAMPLE_FILTER_NO);
	ck_assert_int_eq(sample_filter_ask(filter, b), SAMPLE_FILTER_CERTAIN);
	sample_filter_drop(filter, b);
	for (u64 i = 0; i < CHANNEL_FILTER; i++)
		ck_assert_uint_eq(filter[i], 0);
}
END_TEST

/* An allocator may hand out a block beside a recorded one again and again. */
START_TEST(filter_tells_neighbours_apart)
{
	const u64 recorded = 0x7f5500000400;

	sample_filter_add(filter, recorded);
	for (u64 at = recorded - 1024; at < recorded + 2048; at += 8)
		ck_assert_int_eq(sample_filter_ask(filter, at),
				 at == recorded ? SAMPLE_FILTER_CERTAIN : SAMPLE_FILTER_NO);
}
END_TEST

static void *churn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200000; i++) {
		sample_filter_add(filter, 0x1000);
		if (i % 100) /* 2000 stay, of each thread */
			sample_filter_drop(filter, 0x1000);
	}
	return NULL;
}

/* Threads at 254 must not make it 0 together, and no addition may be lost. */
START_TEST(filter_under_threads)
{
	const u64 a = 0x1000, *cell = sample_filter_cell(filter, a);
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(*sample_filter_area(filter, a), SAMPLE_FILTER_FULL);
	ck_assert_uint_eq((*cell >> 48) + (CHANNEL_ADDRESS(*cell) == a), 4 * 2000);
}
END_TEST

/*
 * Blocks of one size lie in a row: they must not share a few areas or cells. Those in a KB
 * do share an area.
 */
START_TEST(filter_spreads_addresses)
{
	static const u64 strides[] = {8, 16, 32, 48, 64, 1024, 4096, 65536, 1 << 20};
	const u64 *cells = (const u64 *)(filter + CHANNEL_FILTER_AREAS);

	for (size_t s = 0; s < ARRAY_SIZE(strides); s++) {
		u64 expected = strides[s] < 1024 ? 4 * strides[s] : 4096, areas = 0, taken = 0;

		memset(filter, 0, sizeof(filter));
		for (u64 i = 0; i < 4096; i++)
			sample_filter_add(filter, 0x7f5500000010 + i * strides[s]);
		for (u64 i = 0; i < CHANNEL_FILTER_AREAS; i++)
			areas += filter[i] != 0;
		for (u64 i = 0; i < CHANNEL_FILTER_CELLS; i++)
			taken += cells[i] != 0;
		/* At random it would be 3971 areas and 3624 cells of 4096. */
		ck_assert_msg(areas > expected * 6 / 7 && taken > 3400,
			      "stride %llu: %llu areas, %llu cells for 4096 blocks",
			      (unsigned long long)strides[s], (unsigned long long)areas,
			      (unsigned long long)taken);
	}
}
END_TEST

Suite *sample_suite(void)
{
	Suite *suite = suite_create("sample");
	TCase *tcase = tcase_create("sample");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, logarithm_is_exact_enough);
	tcase_add_test(tcase, gaps_are_exponential);
	tcase_add_test(tcase, probability_of_a_size);
	tcase_add_test(tcase, probability_does_not_depend_on_the_others);
	tcase_add_test(tcase, first_allocation);
	tcase_add_test(tcase, sizes_at_the_ends);
	tcase_add_test(tcase, seeds_differ);
	tcase_add_test(tcase, filter_counts);
	tcase_add_test(tcase, filter_loses_count);
	tcase_add_test(tcase, filter_with_two_in_a_cell);
	tcase_add_test(tcase, filter_during_a_realloc);
	tcase_add_test(tcase, filter_under_threads);
	tcase_add_test(tcase, filter_spreads_addresses);
	tcase_add_test(tcase, filter_tells_neighbours_apart);
	suite_add_tcase(suite, tcase);
	return suite;
}
