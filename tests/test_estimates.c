// SPDX-License-Identifier: MIT
/*
 * A ledger that sees a random part of the allocations: are its figures right on
 * average, and is the standard error that it gives the one they have? The same trace
 * of allocations and frees runs through the agent's sampler and the ledger with 1,000
 * seeds. Seeds are fixed, so that there is one outcome.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sample.h"
#include "agent/sample_filter.h"
#include "ledger/estimates.h"
#include "tests/ledger_fixture.h"
#include "tests/ledger_model.h"
#include "tests/suites.h"

#define MEAN    65536ULL
#define SEEDS   1000
#define BLOCKS  50000
#define EVENTS  (2 * BLOCKS)
#define STACKS  3
#define THREADS 4

/* Block i is allocated, and maybe freed again, by these threads. */
struct traced {
	u64 address, size;
	u32 stack, thread;
};

static struct {
	struct traced block[BLOCKS];
	u32 event[EVENTS]; /* a block's number: allocated, if that was its first event */
	size_t n;
} trace;

/* Small ones are many, and far below the mean; stack 0 has them. Some are far above it. */
static u64 size_for(u32 stack)
{
	u64 r = m_random();

	switch (stack) {
	case 0:
		return 16 + r % 500;
	case 1:
		return 500 + r % 60000;
	default:
		return r % 10 ? 1000 + r % 8000 : 50000 + r % 2000000;
	}
}

/* Blocks come; from the first half on some of those that live go, so that there is a peak within. */
static void make_trace(void)
{
	static u32 live[BLOCKS];
	static u64 unused[BLOCKS]; /* addresses of blocks that were freed */
	size_t n = 0, unused_n = 0;

	for (u32 i = 0; i < BLOCKS; i++) {
		struct traced *b = &trace.block[i];

		b->stack = (u32)(m_random() % 20);
		b->stack = b->stack < 14 ? 0 : b->stack < 19 ? 1 : 2;
		b->size = size_for(b->stack);
		b->thread = (u32)(m_random() % THREADS);
		b->address = unused_n ? unused[--unused_n] : 0x7f0000000000 + 64ULL * i;
		trace.event[trace.n++] = i;
		live[n++] = i;
		for (u64 frees = m_random() % (i < BLOCKS / 2 ? 2 : 3); frees && n; frees--) {
			size_t k = m_random() % n;

			unused[unused_n++] = trace.block[live[k]].address;
			trace.event[trace.n++] = live[k];
			live[k] = live[--n];
		}
	}
}

/* What a ledger says. */
struct figures {
	struct ledger_totals totals;
	struct ledger_site site[STACKS];
};

static void read_figures(struct figures *figures)
{
	struct ledger_site *sites;
	size_t n;

	memset(figures, 0, sizeof(*figures));
	ledger_totals(ledger, &figures->totals);
	MUST(ledger_sites(ledger, 1000000, &sites, &n, NULL) == 0);
	for (size_t i = 0; i < n; i++)
		figures->site[sites[i].stack] = sites[i];
	free(sites);
}

static int count_block(void *ctx, const struct ledger_block *block)
{
	(void)block;
	++*(s64 *)ctx;
	return 0;
}

/* By its areas and by its cells; -1: they do not agree. */
static s64 live_in(const u8 *filter)
{
	const u64 *cells = (const u64 *)(filter + CHANNEL_FILTER_AREAS);
	s64 by_area = 0, by_cell = 0;

	for (size_t i = 0; i < CHANNEL_FILTER_AREAS; i++)
		by_area += filter[i];
	for (size_t i = 0; i < CHANNEL_FILTER_CELLS; i++)
		by_cell += (s64)(cells[i] >> 48) + (CHANNEL_ADDRESS(cells[i]) != 0);
	return by_area == by_cell ? by_area : -1;
}

/* Runs the trace; with mean 0 everything is recorded. */
static void run_trace(u64 mean, u64 seed, struct figures *figures)
{
	static _Alignas(8) u8 filter[CHANNEL_FILTER];
	static bool seen[BLOCKS];
	s64 countdown[THREADS] = {0};
	u64 random[THREADS] = {0};
	s64 left = 0;

	memset(filter, 0, sizeof(filter));
	memset(seen, 0, sizeof(seen));
	ledger_setup();
	ledger_set_sample(ledger, mean);
	for (u32 i = 0; i < THREADS && mean; i++)
		sample_begin(&countdown[i], &random[i], mean, 0x7f0000000000 + 4096 * i, seed, 0);
	for (size_t i = 0; i < trace.n; i++) {
		const struct traced *b = &trace.block[trace.event[i]];
		struct ledger_block block = {b->address, b->size, b->stack, (u32)i};
		u32 t = b->thread;

		if (seen[trace.event[i]]) {
			if (sample_filter_ask(filter, b->address) &&
			    ledger_free(ledger, b->address, t, (u32)i))
				sample_filter_drop(filter, b->address);
			continue;
		}
		seen[trace.event[i]] = true;
		if (!sample_step(&countdown[t], &random[t], mean, b->size))
			continue;
		sample_filter_add(filter, b->address);
		MUST(ledger_alloc(ledger, &block, t) == 0);
	}
	ledger_visit(ledger, count_block, &left);
	MUST(live_in(filter) ==
	     left); /* the filter counts the blocks that are live, and no others */
	read_figures(figures);
	ledger_teardown();
}

/* The figures that are compared with the truth. */
static const struct {
	const char *name;
	double bias; /* how far the mean of the estimates may be off, as a part of the truth */
	/* The share of runs with the truth within two standard errors. Counts hang on a few small
	 * blocks that stand for thousands each: their estimates are further from a normal
	 * distribution, and a run that has too few of them does not know that. */
	double cover;
} looked_at[] = {
	{"live bytes", 0.01, 0.935},
	{"total bytes", 0.01, 0.935},
	{"live bytes of stack 1", 0.01, 0.935},
	{"total bytes of stack 2", 0.01, 0.935},
	{"live blocks", 0.02, 0.90},
	{"allocations", 0.02, 0.90},
	{"frees", 0.02, 0.90},
	{"allocations of stack 0", 0.02, 0.90},
};

#define FIGURES ARRAY_SIZE(looked_at)

static void pick(const struct figures *from, u64 figure[FIGURES], u64 error[FIGURES])
{
	const struct ledger_totals *t = &from->totals;
	const struct ledger_site *s = from->site;
	const u64 figures[FIGURES] = {t->live_bytes,    t->total_bytes,        s[1].live_bytes,
				      s[2].total_bytes, t->live_blocks,        t->total_allocations,
				      t->total_frees,   s[0].total_allocations};
	const u64 errors[FIGURES] = {t->live_bytes_error,   t->total_bytes_error,
				     s[1].live_bytes_error, s[2].total_bytes_error,
				     t->live_blocks_error,  t->total_allocations_error,
				     t->total_frees_error,  s[0].total_allocations_error};

	memcpy(figure, figures, sizeof(figures));
	memcpy(error, errors, sizeof(errors));
}

/* How the estimates of one figure compare with the truth. */
struct statistic {
	double sum, squares, variance;
	u32 within_1, within_2;
};

static void note(struct statistic *s, u64 truth, u64 estimate, u64 error)
{
	double off = (double)estimate - (double)truth, se = (double)error;

	s->sum += off;
	s->squares += off * off;
	s->variance += se * se;
	s->within_1 += fabs(off) <= se;
	s->within_2 += fabs(off) <= 2 * se;
}

static void judge(const struct statistic *s, size_t figure, double truth)
{
	const char *name = looked_at[figure].name;
	double mean = s->sum / SEEDS, spread = sqrt(s->squares / SEEDS - mean * mean);
	double error = sqrt(s->variance / SEEDS);

	ck_assert_msg(fabs(mean) <= looked_at[figure].bias * truth, "%s: on average %+.2f %% off",
		      name, 100 * mean / truth);
	ck_assert_msg(fabs(mean) <= 3.5 * spread / sqrt(SEEDS), "%s: %g +- %g off", name, mean,
		      spread / sqrt(SEEDS));
	ck_assert_msg(fabs(error / spread - 1) <= 0.1,
		      "%s: standard error %g, but the estimates spread by %g", name, error, spread);
	ck_assert_msg(s->within_1 >= 0.64 * SEEDS && s->within_1 <= 0.73 * SEEDS,
		      "%s: %u of %u within one standard error", name, s->within_1, SEEDS);
	ck_assert_msg(s->within_2 >= looked_at[figure].cover * SEEDS &&
			      s->within_2 <= 0.975 * SEEDS,
		      "%s: %u of %u within two standard errors", name, s->within_2, SEEDS);
}

START_TEST(estimates_are_unbiased_and_errors_cover)
{
	struct figures exact, sampled;
	struct statistic statistics[FIGURES] = {0};
	u64 truth[FIGURES], estimate[FIGURES], error[FIGURES];

	make_trace();
	run_trace(0, 0, &exact);
	pick(&exact, truth, error);
	ck_assert_uint_eq(exact.totals.recorded_allocations, 0);
	for (size_t i = 0; i < FIGURES; i++)
		ck_assert(truth[i] && !error[i]);
	for (u64 seed = 1; seed <= SEEDS; seed++) {
		run_trace(MEAN, seed, &sampled);
		MUST(sampled.totals.recorded_allocations > 500 &&
		     sampled.totals.recorded_allocations < BLOCKS / 8);
		pick(&sampled, estimate, error);
		for (size_t i = 0; i < FIGURES; i++)
			note(&statistics[i], truth[i], estimate[i], error[i]);
	}
	for (size_t i = 0; i < FIGURES; i++)
		judge(&statistics[i], i, (double)truth[i]);
}
END_TEST

/* A block's weight, in long double from the definition. */
static void assert_weight(u64 mean, u64 size)
{
	long double p = -expm1l(-(long double)size / (long double)mean), q = 1 - p;
	long double figures[] = {(long double)size / p, 1 / p, 0, 0};
	struct estimate w;
	u128 got[4];

	if (q < 0.5L)
		q = expl(-(long double)size / (long double)mean);
	figures[2] = q / p / p * (long double)size * (long double)size;
	figures[3] = q / p / p;
	estimate_weigh(&w, mean, size);
	memcpy(got, (u128[]){w.bytes, w.blocks, w.bytes_variance, w.blocks_variance}, sizeof(got));
	for (int i = 0; i < 4; i++) {
		long double is = ldexpl((long double)got[i], -ESTIMATE_SHIFT);

		if (fabsl(is - figures[i]) > 1e-6L + 1e-9L * figures[i])
			ck_abort_msg("mean %llu, size %llu, figure %d: %Lg, not %Lg",
				     (unsigned long long)mean, (unsigned long long)size, i, is,
				     figures[i]);
	}
}

START_TEST(weights)
{
	static const u64 means[] = {1, 3, 1000, 512 << 10, 1ULL << 40};
	struct estimate w;

	for (size_t m = 0; m < ARRAY_SIZE(means); m++)
		for (u64 size = 1; size < 1ULL << 62; size += size / 3 + 1)
			assert_weight(means[m], size);
	for (size_t m = 0; m < ARRAY_SIZE(means); m++) {
		/* What is far above the mean stands for itself. */
		estimate_weigh(&w, means[m], 1ULL << 63);
		ck_assert_uint_eq(estimate_round(w.bytes), 1ULL << 63);
		ck_assert_uint_eq(estimate_round(w.blocks), 1);
		ck_assert(w.bytes_variance == 0 && w.blocks_variance == 0);
		estimate_weigh(&w, means[m], 0);
		ck_assert(w.bytes == 0 && estimate_round(w.blocks) == 1 && w.bytes_variance == 0);
	}
	ck_assert_uint_eq(estimate_round((u128)3 << (ESTIMATE_SHIFT - 1)), 2); /* 1.5 */
	ck_assert_uint_eq(estimate_round(((u128)3 << (ESTIMATE_SHIFT - 1)) - 1), 1);
	ck_assert_uint_eq(estimate_round((u128)1 << 100), UINT64_MAX);
	ck_assert_uint_eq(estimate_error((u128)49 << ESTIMATE_SHIFT), 7);
}
END_TEST

/* Whatever came, when all has gone nothing is left, not the last bit of an error. */
START_TEST(frees_cancel_allocations_exactly)
{
	enum { N = 5000 };
	struct ledger_block taken;
	struct ledger_totals t;
	struct figures f;

	ledger_set_sample(ledger, 4099);
	for (u32 round = 0; round < 20; round++) {
		for (u32 i = 0; i < N; i++) {
			u64 size = m_random() >> (m_random() % 64);

			/* Some on top of a live one. */
			alloc_at(m_random() % N, size, (u32)(m_random() % STACKS), 0, i);
		}
		for (u32 i = 0; i < N; i++) {
			if (i % 3 || !ledger_take(ledger, i, &taken)) {
				ledger_free(ledger, i, 0, i);
				continue;
			}
			if (i % 2)
				ledger_retire(ledger, &taken, true, 0);
			else
				MUST(ledger_put_back(ledger, &taken) == 0);
			ledger_free(ledger, i, 0, i);
		}
		t = totals();
		ck_assert_uint_eq(t.live_bytes | t.live_blocks, 0);
		ck_assert_uint_eq(t.live_bytes_error | t.live_blocks_error, 0);
		read_figures(&f);
		for (u32 s = 0; s < STACKS; s++) {
			ck_assert_uint_eq(f.site[s].live_bytes | f.site[s].live_blocks, 0);
			ck_assert_uint_eq(f.site[s].live_bytes_error, 0);
			ck_assert_uint_eq(f.site[s].live_blocks_error, 0);
		}
	}
	ck_assert_uint_gt(t.total_bytes, 0);
	ck_assert_uint_gt(t.total_frees, 0);
	ck_assert_uint_gt(t.replaced, 0);
}
END_TEST

/* p = 1 - 1/e for blocks as large as the mean: each is 1.582 blocks, its variance 0.9207. */
START_TEST(figures_of_a_sampled_ledger)
{
	struct figures f;
	struct ledger_totals t;

	ledger_set_sample(ledger, 1000);
	for (u32 i = 0; i < 100; i++)
		alloc_at(0x1000 + i, 1000, i < 40 ? 1 : 2, 0, 10 + i);
	for (u32 i = 40; i < 90; i++)
		ck_assert(ledger_free(ledger, 0x1000 + i, 0, 200));
	ck_assert(!ledger_free(ledger, 0x1000 + 40, 0, 200)); /* of another, unrecorded block */
	ledger_failed(ledger, 0);
	read_figures(&f);
	t = f.totals;
	ck_assert_uint_eq(t.recorded_allocations, 100);
	ck_assert_uint_eq(t.total_bytes, 158198);
	ck_assert_uint_eq(t.total_allocations, 158);
	ck_assert_uint_eq(t.live_bytes, 79099);
	ck_assert_uint_eq(t.live_blocks, 79);
	ck_assert_uint_eq(t.total_frees, 79);
	ck_assert_uint_eq(t.peak_bytes, 158198);
	ck_assert_uint_eq(t.peak_time, 109);
	ck_assert_uint_eq(t.unknown_frees, 0);
	ck_assert_uint_eq(t.failed_allocations, 1);
	ck_assert_uint_eq(t.total_bytes_error, 9595); /* 1000 * sqrt(100 * 0.92067) */
	ck_assert_uint_eq(t.peak_bytes_error, 9595);
	ck_assert_uint_eq(t.total_allocations_error, 10);
	ck_assert_uint_eq(t.live_bytes_error, 6785);
	ck_assert_uint_eq(t.live_blocks_error, 7);
	ck_assert_uint_eq(t.total_frees_error, 7);
	ck_assert_uint_eq(f.site[1].live_bytes, 63279);
	ck_assert_uint_eq(f.site[1].live_blocks, 63);
	ck_assert_uint_eq(f.site[1].live_bytes_error, 6069);
	ck_assert_uint_eq(f.site[1].live_blocks_error, 6);
	ck_assert_uint_eq(f.site[1].peak_bytes, 63279);
	ck_assert_uint_eq(f.site[2].live_bytes, 15820);
	ck_assert_uint_eq(f.site[2].peak_bytes, 94919);
	ck_assert_uint_eq(f.site[2].total_bytes, 94919);
	ck_assert_uint_eq(f.site[2].total_allocations, 95);
	ck_assert_uint_eq(f.site[2].total_frees, 79);
	ck_assert_uint_eq(f.site[2].total_bytes_error, 7432);
	ck_assert_uint_eq(f.site[2].total_allocations_error, 7);
	ck_assert_uint_eq(f.site[2].largest, 1000);
	ck_assert_uint_eq(f.site[2].oldest_age, 1000000 - 100); /* of those that are recorded */
}
END_TEST

/* Calls that are not recorded may be between: only who knows that there were none says so. */
START_TEST(temporary_blocks_of_a_sampled_ledger)
{
	struct ledger_block b;

	ledger_set_sample(ledger, 1000);
	alloc_at(0x1000, 1000, 0, 0, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	alloc_at(0x1000, 1000, 0, 0, 0);
	ck_assert(ledger_take(ledger, 0x1000, &b));
	ledger_retire(ledger, &b, true, 0);
	alloc_at(0x1000, 1000, 0, 0, 0);
	ledger_free_next(ledger, 0x1000, 1, 0); /* another thread */
	ck_assert_uint_eq(totals().temporary, 0);
	for (int i = 0; i < 100; i++) {
		alloc_at(0x1000, 1000, 0, 0, 0);
		ledger_free_next(ledger, 0x1000, 0, 0);
	}
	ck_assert_uint_eq(totals().temporary, 158);
	ck_assert_uint_eq(totals().temporary_error, 10);
	ck_assert_uint_eq(totals().total_frees, 163);
	/* Without sampling it is ledger_free. */
	ledger_destroy(ledger);
	ledger_setup();
	alloc_at(0x1000, 1000, 0, 0, 0);
	ck_assert(ledger_free_next(ledger, 0x1000, 0, 0));
	alloc_at(0x1000, 1000, 0, 0, 0);
	ck_assert(ledger_free(ledger, 0x1000, 0, 0));
	ck_assert_uint_eq(totals().temporary, 2);
	ck_assert_uint_eq(totals().recorded_allocations, 0);
}
END_TEST

Suite *estimates_suite(void)
{
	Suite *suite = suite_create("estimates");
	TCase *tcase = tcase_create("estimates");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, estimates_are_unbiased_and_errors_cover);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("ledger");
	tcase_add_checked_fixture(tcase, ledger_setup, ledger_teardown);
	tcase_add_test(tcase, weights);
	tcase_add_test(tcase, frees_cancel_allocations_exactly);
	tcase_add_test(tcase, figures_of_a_sampled_ledger);
	tcase_add_test(tcase, temporary_blocks_of_a_sampled_ledger);
	suite_add_tcase(suite, tcase);
	return suite;
}
