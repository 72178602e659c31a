// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ledger/ledger.h"
#include "ledger/median.h"
#include "tests/in_loops.h"
#include "tests/ledger_fixture.h"
#include "tests/ledger_model.h"
#include "tests/suites.h"

/* What the front of the table of blocks has at most. */
#define FRONT_BYTES (8 << 20)

/* The site of one stack; all zero if it has none. */
static struct ledger_site site(u32 stack, u32 now)
{
	struct ledger_site *sites, found = {0};
	size_t count;

	ck_assert_int_eq(ledger_sites(ledger, now, &sites, &count, NULL), 0);
	for (size_t i = 0; i < count; i++)
		if (sites[i].stack == stack)
			found = sites[i];
	free(sites);
	return found;
}

static u64 random_size(void)
{
	switch (m_random() % 50) {
	case 0:
		return 0;
	case 1:
		return UINT32_MAX - 1 + m_random() % 3;
	case 2:
		return 1ULL << (33 + m_random() % 20);
	default:
		return m_random() % 5000;
	}
}

static struct ledger_block random_block(u32 i, u32 now)
{
	return (struct ledger_block){m_address(i), random_size(), (u32)(m_random() % M_STACKS),
				     now};
}

static void do_alloc(u32 i, u32 thread, u32 now)
{
	struct ledger_block b = random_block(i, now);

	/* Rarely on top of a live one. */
	if (model.block[i].serial && m_random() % 20)
		return;
	MUST(ledger_alloc(ledger, &b, thread) == 0);
	m_alloc(i, &b, thread);
}

static void do_free(u32 i, u32 thread, u32 now)
{
	struct m_block *m = &model.block[i];

	MUST(ledger_free(ledger, m_address(i), thread, now) == (m->serial != 0));
	if (m->serial) {
		m_live(&m->b, false);
		m_count_free(m, thread);
		m->serial = 0;
	} else {
		model.t.unknown_frees++;
	}
	model.last[thread] = 0;
}

static void do_failed(u32 thread)
{
	ledger_failed(ledger, thread);
	model.t.failed_allocations++;
	model.last[thread] = 0;
}

/* A realloc of block i; between its two steps another thread does something, maybe at its address. */
static void do_realloc(u32 i, u32 thread, u32 now)
{
	u32 other = (thread + 1) % M_THREADS,
	    to = m_random() % 3 ? (u32)(m_random() % M_ADDRESSES) : i;
	struct m_block m = model.block[i];
	struct ledger_block taken, b;
	bool known = ledger_take(ledger, m_address(i), &taken);

	assert_in_loop(known == (m.serial != 0));
	if (known) {
		assert_in_loop(memcmp(&taken, &m.b, sizeof(taken)) == 0);
		m_live(&m.b, false);
		model.block[i].serial = 0;
	}
	if (m_random() % 2)
		do_alloc(m_random() % 2 ? i : (u32)(m_random() % M_ADDRESSES), other, now);
	if (m_random() % 4 == 0) {
		do_failed(thread);
		if (known) {
			ck_assert_int_eq(ledger_put_back(ledger, &taken), 0);
			m_add(i, &taken, m.serial, now);
		}
		return;
	}
	ledger_retire(ledger, &taken, known, thread);
	if (known)
		m_count_free(&m, thread);
	else
		model.t.unknown_frees++;
	model.last[thread] = 0;
	b = random_block(to, now);
	MUST(ledger_alloc(ledger, &b, thread) == 0);
	m_alloc(to, &b, thread);
}

static void check_sites(u32 now)
{
	struct ledger_site *sites;
	size_t count, expected = 0;

	ck_assert_int_eq(ledger_sites(ledger, now, &sites, &count, NULL), 0);
	for (u32 s = 0; s < M_STACKS; s++) {
		expected += model.site[s].total_allocations != 0;
		m_ages(s, now);
	}
	ck_assert_uint_eq(count, expected);
	for (size_t i = 0; i < count; i++)
		ck_assert(m_same_site(&sites[i], &model.site[sites[i].stack]));
	free(sites);
}

static int visit_model(void *ctx, const struct ledger_block *b)
{
	u32 *seen = ctx;

	for (u32 i = 0; i < M_ADDRESSES; i++) {
		if (m_address(i) == b->address) {
			ck_assert_uint_ne(model.block[i].serial, 0);
			ck_assert_mem_eq(b, &model.block[i].b, sizeof(*b));
			++*seen;
			return 0;
		}
	}
	ck_abort_msg("visited a block that does not live");
	return 0;
}

START_TEST(agrees_with_a_plain_model)
{
	struct ledger_totals t;
	u32 now = 0, seen = 0, phase = 0;

	for (u32 op = 0; op < 200000; op++) {
		u32 i = (u32)(m_random() % M_ADDRESSES), thread = (u32)(m_random() % M_THREADS);

		now += m_random() % 2;
		if (op % 20000 == 0)
			phase = (u32)(m_random() % 3); /* grow, keep, shrink */
		switch (m_random() % (8 + phase * 4)) {
		case 0:
			do_failed(thread);
			break;
		case 1:
		case 2:
			do_realloc(i, thread, now);
			break;
		case 3 ... 6:
			do_alloc(i, thread, now);
			if (m_random() % 3 == 0)
				do_free(i, thread, now);
			break;
		default:
			do_free(i, thread, now);
		}
		t = totals();
		if (!m_same_totals(&t, &model.t))
			ck_abort_msg("totals differ after event %u", op);
		if (op % 1000 == 0)
			check_sites(now);
	}
	check_sites(now);
	ck_assert_int_eq(ledger_visit(ledger, visit_model, &seen), 0);
	ck_assert_uint_eq(seen, totals().live_blocks);
	/* The rare things have happened. */
	ck_assert_uint_gt(t.temporary, 1000);
	ck_assert_uint_gt(t.replaced, 1000);
	ck_assert_uint_gt(t.unknown_frees, 1000);
	ck_assert_uint_gt(t.failed_allocations, 1000);
}
END_TEST

START_TEST(empty_ledger)
{
	struct ledger_site *sites;
	size_t count = 1;

	ck_assert_int_eq(ledger_sites(ledger, 5, &sites, &count, NULL), 0);
	ck_assert_uint_eq(count, 0);
	free(sites);
	ck_assert(!ledger_free(ledger, 0x1000, 0, 0));
	ck_assert_uint_eq(totals().unknown_frees, 1);
	ck_assert_uint_le(ledger_memory(ledger), 8192);
	ck_assert(!ledger_has(ledger, 0x1000));
	alloc_at(0x1000, 1, 0, 0, 0);
	ck_assert(ledger_has(ledger, 0x1000));
	ck_assert_uint_eq(totals().unknown_frees, 1); /* asking counts nothing */
	ledger_destroy(NULL);
}
END_TEST

/* A stack that does nothing after the peak keeps its share; one that goes on has what it had then. */
START_TEST(shares_are_those_at_the_peak)
{
	alloc_at(0x1000, 100, 1, 0, 10);
	alloc_at(0x2000, 50, 2, 0, 20);
	ledger_free(ledger, 0x2000, 0, 30);
	alloc_at(0x3000, 50, 3, 0, 40); /* as much as at the peak, but not more */
	ck_assert_uint_eq(totals().peak_bytes, 150);
	ck_assert_uint_eq(totals().peak_time, 20);
	ck_assert_uint_eq(site(1, 50).peak_bytes, 100);
	ck_assert_uint_eq(site(2, 50).peak_bytes, 50);
	ck_assert_uint_eq(site(3, 50).peak_bytes, 0);
	alloc_at(0x4000, 1, 4, 0, 60);
	ck_assert_uint_eq(totals().peak_time, 60);
	ck_assert_uint_eq(site(2, 70).peak_bytes, 0);
	ck_assert_uint_eq(site(3, 70).peak_bytes, 50);
	ck_assert_uint_eq(site(4, 70).peak_bytes, 1);
}
END_TEST

START_TEST(what_is_temporary)
{
	struct ledger_block b;
	u64 expected = 0;

	alloc_at(0x1000, 1, 0, 0, 0); /* the plain case */
	ledger_free(ledger, 0x1000, 0, 0);
	ck_assert_uint_eq(totals().temporary, ++expected);
	alloc_at(0x1000, 1, 0, 0, 0); /* another thread's calls between don't matter */
	alloc_at(0x2000, 1, 0, 1, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	ck_assert_uint_eq(totals().temporary, ++expected);
	ledger_free(ledger, 0x2000, 0, 0); /* freed by another thread */
	alloc_at(0x1000, 1, 0, 0, 0);      /* a failed call between */
	ledger_failed(ledger, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	alloc_at(0x1000, 1, 0, 0, 0); /* the free of an unknown block between */
	ledger_free(ledger, 0x9000, 0, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	alloc_at(0x1000, 1, 0, 0,
		 0); /* freed and allocated again by another thread: another block */
	ledger_free(ledger, 0x1000, 1, 0);
	alloc_at(0x1000, 1, 0, 1, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	ck_assert_uint_eq(totals().temporary, expected);
	alloc_at(0x1000, 1, 0, 0,
		 0); /* freed by the thread's realloc, whose address another reuses */
	ck_assert(ledger_take(ledger, 0x1000, &b));
	alloc_at(0x1000, 1, 0, 1, 0);
	ledger_retire(ledger, &b, true, 0);
	alloc_at(0x3000, 1, 0, 0, 0);
	ck_assert_uint_eq(totals().temporary, ++expected);
	ledger_free(ledger, 0x1000, 1, 0); /* both are still the last of their threads */
	ledger_free(ledger, 0x3000, 0, 0);
	ck_assert_uint_eq(totals().temporary, expected += 2);
	alloc_at(0x1000, 1, 0, 0, 0); /* a later thread with the number of one that ended */
	ledger_thread_ended(ledger, 0);
	ledger_free(ledger, 0x1000, 0, 0);
	ck_assert_uint_eq(totals().temporary, expected);
}
END_TEST

START_TEST(realloc_that_fails_restores_the_block)
{
	struct ledger_block b;

	alloc_at(0x1000, 10, 7, 0, 100);
	alloc_at(0x5000, 5000000000, 7, 0, 200);
	ck_assert(!ledger_take(ledger, 0x2000, &b));
	ck_assert(ledger_take(ledger, 0x5000, &b));
	ck_assert_uint_eq(totals().live_bytes, 10);
	ck_assert_uint_eq(totals().live_blocks, 1);
	ck_assert_uint_eq(totals().total_frees, 0);
	ck_assert_uint_eq(b.size, 5000000000);
	ledger_failed(ledger, 0);
	ck_assert_int_eq(ledger_put_back(ledger, &b), 0);
	ck_assert_uint_eq(totals().live_bytes, 5000000010);
	ck_assert_uint_eq(totals().total_allocations, 2);
	ck_assert_uint_eq(totals().total_bytes, 5000000010);
	ck_assert_uint_eq(totals().total_frees, 0);
	ck_assert_uint_eq(site(7, 1000).oldest_age, 900);
	ck_assert_uint_eq(site(7, 1000).median_age, 850);
	ck_assert_uint_eq(site(7, 150).median_age, 25); /* a clock behind the blocks: age 0 */
}
END_TEST

START_TEST(wild_thread_and_stack_numbers)
{
	u32 thread[] = {0, 5, 1000000, 1U << 20, UINT32_MAX - 1, UINT32_MAX};

	for (u32 i = 0; i < ARRAY_SIZE(thread); i++) {
		alloc_at(0x1000 + i, 1, i * 1000, thread[i], 0);
		ck_assert(ledger_free(ledger, 0x1000 + i, thread[i], 0));
		ledger_failed(ledger, thread[i]);
		alloc_at(0x1000, 1, 1000000, thread[i], 0);
		ck_assert(ledger_free(ledger, 0x1000, thread[ARRAY_SIZE(thread) - 1 - i], 0));
	}
	ck_assert_uint_eq(totals().temporary, 3); /* of the three that are followed */
	ck_assert_uint_le(ledger_memory(ledger), 8 << 20);
	ck_assert_uint_eq(site(1000000, 0).total_frees, ARRAY_SIZE(thread));
}
END_TEST

/* Threads in any order; the table of the last blocks grows while it holds some. */
START_TEST(threads_that_come_in_any_order)
{
	u32 thread[] = {1000, 5, 5000, 3, 70, 100000, 0};
	u32 n = ARRAY_SIZE(thread);

	for (u32 i = 0; i < n; i++)
		alloc_at(0x1000 + i, 1, 0, thread[i], 0);
	ck_assert(ledger_free(ledger, 0x1000, 0, 0)); /* the first one's block becomes another's */
	alloc_at(0x1000, 1, 0, 0, 0);
	for (u32 i = 0; i + 1 < n; i++)
		ck_assert(ledger_free(ledger, 0x1000 + i, thread[i], 0));
	ck_assert_uint_eq(totals().temporary, n - 2);
}
END_TEST

/* Blocks of 4 GB and more that small ones replace, and the reverse, leave nothing behind. */
START_TEST(large_and_small_in_one_place)
{
	const u64 n = 100000;
	size_t small;

	for (u64 i = 0; i < n; i++)
		alloc_at(i * 64, 1, 0, 0, 0);
	small = ledger_memory(ledger);
	for (u64 i = 0; i < n; i++)
		alloc_at(i * 64, 1ULL << 63 | i, 0, 0, 0);
	ck_assert_uint_ge(ledger_memory(ledger), small + n * 20);
	ck_assert_uint_eq(totals().live_bytes, n * (n - 1) / 2); /* mod 2^64 */
	for (u64 i = 0; i < n; i++)
		alloc_at(i * 64, 1, 0, 0, 0);
	ck_assert_uint_le(ledger_memory(ledger), small + (1 << 20));
	ck_assert_uint_eq(totals().live_bytes, n);
	ck_assert_uint_eq(totals().replaced, 2 * n);
}
END_TEST

/* 32 bytes a block, and the front (ledger/front.h), which is at most some 100 bytes a block and 8 MB. */
static u64 memory_bound(u64 n)
{
	u64 front = 8192 + n * 80;

	return n * 32 + (front < FRONT_BYTES ? front : FRONT_BYTES);
}

/* Addresses that all have the same low bits, the same high bits, or both, come and go quickly. */
START_TEST(addresses_of_an_adversary)
{
	const u32 n = 1 << 18;

	for (u32 shift = 0; shift <= 46; shift++) {
		if (shift % 4 && shift < 44)
			continue;
		for (u64 i = 0; i < n; i++)
			alloc_at(i << shift, i, 0, 0, 0);
		ck_assert_uint_eq(totals().live_blocks, n);
		ck_assert_uint_eq(totals().live_bytes, (u64)n * (n - 1) / 2);
		ck_assert_uint_le(ledger_memory(ledger), memory_bound(n));
		for (u64 i = n; i-- > 0;)
			MUST(ledger_free(ledger, i << shift, 0, 0));
		ck_assert_uint_eq(totals().live_bytes, 0);
		ck_assert_uint_eq(totals().replaced, 0);
	}
}
END_TEST

/* At every size, so right after every step of growth, too; and it gives back. */
START_TEST(at_most_32_bytes_a_block)
{
	const u64 max = 1500000;
	u64 checked = 0;

	for (u64 n = 1; n <= max; n++) {
		alloc_at(0x7f0000000000ULL + n * 48, 48, n % 20, n % 3, 0);
		if (n < 10000 || n < checked + checked / 300)
			continue;
		checked = n;
		ck_assert_msg(ledger_memory(ledger) <= memory_bound(n), "%zu bytes for %llu blocks",
			      ledger_memory(ledger), (unsigned long long)n);
	}
	for (u64 n = max; n > 10000; n--) {
		MUST(ledger_free(ledger, 0x7f0000000000ULL + n * 48, 0, 0));
		if (n % 1000 == 0)
			ck_assert_msg(ledger_memory(ledger) <= n * 38 + (1 << 20) + FRONT_BYTES,
				      "%zu bytes for %llu blocks left", ledger_memory(ledger),
				      (unsigned long long)n);
	}
	for (u64 n = 1; n <= 10000; n++)
		MUST(ledger_free(ledger, 0x7f0000000000ULL + n * 48, 0, 0));
	ck_assert_uint_eq(totals().live_blocks, 0);
	ck_assert_uint_le(ledger_memory(ledger), (1 << 20) + FRONT_BYTES);
}
END_TEST

static int visit_some(void *ctx, const struct ledger_block *b)
{
	(void)b;
	return --*(int *)ctx ? 0 : -42;
}

START_TEST(visit_stops_when_told)
{
	int left = 10;

	for (u64 i = 0; i < 100; i++)
		alloc_at(i, 1, 0, 0, 0);
	ck_assert_int_eq(ledger_visit(ledger, visit_some, &left), -42);
	ck_assert_int_eq(left, 0);
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

/* Until memory ends; then the ledger is as it was, frees and reports work, and it goes on with more. */
START_TEST(out_of_memory_changes_nothing)
{
#ifdef HAVE_ASAN
	printf("skipped: out_of_memory_changes_nothing, ASan needs all address space\n");
#else
	struct rlimit limit;
	u64 n = 0;
	int r = 0;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 100 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	while (!r && n < 100000000) {
		struct ledger_block b = {n * 16, n % 5 ? 16 : 1ULL << 40, (u32)(n / 16), 0};

		r = ledger_alloc(ledger, &b, 0);
		n += !r;
	}
	ck_assert_int_eq(r, -ENOMEM);
	ck_assert_uint_eq(totals().live_blocks, n);
	ck_assert_uint_eq(totals().live_bytes, ((n + 4) / 5 << 40) + (n - (n + 4) / 5) * 16);
	ck_assert_uint_eq(totals().total_allocations, n);
	ck_assert_uint_eq(totals().failed_allocations, 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert(!ledger_free(ledger, n * 16, 0, 0));
	for (u64 i = 0; i < n; i++)
		MUST(ledger_free(ledger, i * 16, 0, 0));
	ck_assert_uint_eq(totals().live_bytes, 0);
#endif
}
END_TEST

START_TEST(medians)
{
	u32 values[3000], sorted[3000];

	for (size_t n = 1; n <= 3000; n += n < 100 ? 1 : 97) {
		for (u32 shape = 0; shape < 4; shape++) {
			u64 m;

			for (size_t i = 0; i < n; i++)
				values[i] = shape == 0   ? (u32)m_random()
					    : shape == 1 ? UINT32_MAX - (u32)(m_random() % 3)
					    : shape == 2 ? (u32)i << 20
							 : (u32)(m_random() % 70000);
			memcpy(sorted, values, sizeof(values));
			qsort(sorted, n, sizeof(*sorted), compare_u32);
			m = ((u64)sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
			ck_assert_uint_eq(median_u32(values, n), m);
		}
	}
}
END_TEST

Suite *ledger_suite(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tcase = tcase_create("ledger");

	tcase_add_checked_fixture(tcase, ledger_setup, ledger_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, agrees_with_a_plain_model);
	tcase_add_test(tcase, empty_ledger);
	tcase_add_test(tcase, shares_are_those_at_the_peak);
	tcase_add_test(tcase, what_is_temporary);
	tcase_add_test(tcase, realloc_that_fails_restores_the_block);
	tcase_add_test(tcase, wild_thread_and_stack_numbers);
	tcase_add_test(tcase, threads_that_come_in_any_order);
	tcase_add_test(tcase, large_and_small_in_one_place);
	tcase_add_test(tcase, addresses_of_an_adversary);
	tcase_add_test(tcase, at_most_32_bytes_a_block);
	tcase_add_test(tcase, visit_stops_when_told);
	tcase_add_test(tcase, out_of_memory_changes_nothing);
	tcase_add_test(tcase, medians);
	suite_add_tcase(suite, tcase);
	return suite;
}
