// SPDX-License-Identifier: MIT
/* What memattach publishes for the agent: lists of modules, and rows that keep their room. */
#include <errno.h>

#include "tests/agent_host.h"
#include "tests/suites.h"
#include "unwind/table.h"

static struct host host;

static void setup(void)
{
	host = (struct host){0};
	host_channel(&host);
	host.tables = tables_create(host.channel, host.size, NULL);
	ck_assert_ptr_nonnull(host.tables);
}

static void teardown(void)
{
	tables_destroy(host.tables);
	free(host.channel);
}

static const struct channel_module *list(u32 *n)
{
	const struct channel *c = host.channel;

	*n = c->modules_n[c->list];
	return (const struct channel_module *)((const char *)c + c->modules) +
	       (size_t)c->list * CHANNEL_MODULES;
}

static const struct unwind_row *published(const struct channel_module *m)
{
	return (const struct unwind_row *)((const char *)host.channel + host.channel->rows) +
	       m->first;
}

/* n rows, all with this rule. */
static struct unwind_row *make_rows(size_t n, u32 rule)
{
	struct unwind_row *rows = calloc(n, sizeof(*rows));

	ck_assert_ptr_nonnull(rows);
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct unwind_row){(u32)i * 4, rule};
	return rows;
}

static int add(u32 id, u64 start, u64 end, const struct unwind_row *rows, size_t n)
{
	struct unwind_rows r = {rows, n, start};

	return tables_add(host.tables, id, start, end, &r, NULL);
}

static void assert_piece(const struct channel_module *m, u64 start, u64 end, u64 base)
{
	ck_assert_uint_eq(m->start, start);
	ck_assert_uint_eq(m->end, end);
	ck_assert_uint_eq(m->base, base);
}

START_TEST(publishing)
{
	struct unwind_row *rows = make_rows(10, 7);
	const struct channel_module *m;
	u64 seed = host.channel->seed, *rules;
	u32 n;

	ck_assert_int_eq(add(1, 0x2000, 0x3000, rows, 10), 0);
	ck_assert_int_eq(add(2, 0x1000, 0x2000, rows, 10), 0);
	list(&n);
	ck_assert_uint_eq(n, 0);
	rules = (u64 *)((char *)host.channel + host.channel->rules);
	rules[5] = 1;
	tables_publish(host.tables);
	ck_assert_uint_eq(host.channel->generation, 2);
	ck_assert_uint_eq(rules[5], 0);
	ck_assert_uint_eq(host.channel->seed, seed);
	m = list(&n);
	ck_assert_uint_eq(n, 2);
	assert_piece(&m[0], 0x1000, 0x2000, 0x1000);
	assert_piece(&m[1], 0x2000, 0x3000, 0x2000);
	/* One table, mapped twice. */
	ck_assert_uint_eq(m[0].first, m[1].first);
	ck_assert_mem_eq(published(m), rows, 10 * sizeof(*rows));

	tables_remove(host.tables, 1);
	tables_remove(host.tables, 77);
	((u64 *)((char *)host.channel + host.channel->known))[9] = 1;
	tables_publish(host.tables);
	m = list(&n);
	ck_assert_uint_eq(n, 1);
	assert_piece(&m[0], 0x1000, 0x2000, 0x1000);
	ck_assert_uint_eq(((u64 *)((char *)host.channel + host.channel->known))[9], 0);
	ck_assert_uint_ne(host.channel->seed, seed);
	ck_assert_uint_eq(host.channel->generation, 4);
	free(rows);
}
END_TEST

START_TEST(overlapping)
{
	struct unwind_row *rows = make_rows(10, 7);
	const struct channel_module *m;
	u32 n;

	/* A library in a hole of another, in a hole of a third; and one that juts out. */
	add(1, 0x1000, 0x9000, rows, 10);
	add(2, 0x2000, 0x6000, rows, 9);
	add(3, 0x3000, 0x4000, rows, 8);
	add(4, 0x8000, 0xa000, rows, 7);
	add(5, 0xb000, 0xc000, rows, 6);
	add(6, 0xb000, 0xb800, rows, 6);
	add(7, 0xd000, 0xd000, rows, 6);
	tables_publish(host.tables);
	m = list(&n);
	ck_assert_uint_eq(n, 8);
	assert_piece(&m[0], 0x1000, 0x2000, 0x1000);
	assert_piece(&m[1], 0x2000, 0x3000, 0x2000);
	assert_piece(&m[2], 0x3000, 0x4000, 0x3000);
	assert_piece(&m[3], 0x4000, 0x6000, 0x2000);
	assert_piece(&m[4], 0x6000, 0x8000, 0x1000);
	assert_piece(&m[5], 0x8000, 0xa000, 0x8000);
	assert_piece(&m[6], 0xb000, 0xb800, 0xb000);
	assert_piece(&m[7], 0xb800, 0xc000, 0xb000);
	free(rows);
}
END_TEST

/* Whatever overlaps how: pieces ascend, do not overlap, and each address has the module with the last start. */
START_TEST(overlapping_anyhow)
{
	struct unwind_row *rows = make_rows(1, 7);
	u64 start[12], end[12], state = 1;

	for (u32 round = 0; round < 300; round++) {
		const struct channel_module *m;
		u32 n, count = 0;

		for (u32 i = 0; i < 12; i++) {
			state = state * 6364136223846793005ULL + 1442695040888963407ULL;
			start[i] = 1 + (state >> 40) % 60;
			end[i] = start[i] + (state >> 50) % 20;
			ck_assert_int_eq(add(i, start[i], end[i], rows, 1), 0);
		}
		tables_publish(host.tables);
		m = list(&n);
		for (u32 i = 0; i < n; i++)
			host_assert(m[i].start < m[i].end &&
				    (i == 0 || m[i].start >= m[i - 1].end));
		for (u64 at = 0; at < 100; at++) {
			u64 last = 0, found = 0;

			for (u32 i = 0; i < 12; i++)
				if (at >= start[i] && at < end[i] && start[i] > last)
					last = start[i];
			for (u32 i = 0; i < n; i++)
				if (at >= m[i].start && at < m[i].end)
					found = m[i].base;
			host_assert(found == last);
			count += found != 0;
		}
		host_assert(count > 0);
		for (u32 i = 0; i < 12; i++)
			tables_remove(host.tables, i);
	}
	free(rows);
}
END_TEST

/* A library that is loaded and unloaded in a loop finds its rows again, wherever they are in our memory. */
START_TEST(loaded_in_a_loop)
{
	struct unwind_row *first = make_rows(HOST_ROWS / 2, 1), *big;
	const struct channel_module *m;
	u32 n;

	ck_assert_int_eq(add(1, 0x1000, 0x2000, first, HOST_ROWS / 2), 0);
	for (u32 i = 2; i < 30; i++) {
		big = make_rows(HOST_ROWS / 3 + i % 3, i);
		ck_assert_int_eq(add(i, 0x3000, 0x4000, big, HOST_ROWS / 3 + i % 3), 0);
		tables_publish(host.tables);
		m = list(&n);
		ck_assert_uint_eq(n, 2);
		ck_assert_uint_eq(m[1].n, HOST_ROWS / 3 + i % 3);
		ck_assert_mem_eq(published(&m[0]), first, HOST_ROWS / 2 * sizeof(*first));
		ck_assert_mem_eq(published(&m[1]), big, m[1].n * sizeof(*big));
		tables_remove(host.tables, i);
		tables_publish(host.tables);
		free(big);
	}
	free(first);
}
END_TEST

/* What the valid list still has is not overwritten before another one is published. */
START_TEST(removed_but_listed)
{
	struct unwind_row *a = make_rows(HOST_ROWS / 2 + 10, 1), *b = make_rows(HOST_ROWS / 2, 2);
	const struct channel_module *m;
	u32 n;

	ck_assert_int_eq(add(1, 0x1000, 0x2000, a, HOST_ROWS / 2 + 10), 0);
	tables_publish(host.tables);
	tables_remove(host.tables, 1);
	ck_assert_int_eq(add(2, 0x1000, 0x2000, b, HOST_ROWS / 2), -ENOSPC);
	m = list(&n);
	ck_assert_mem_eq(published(m), a, (HOST_ROWS / 2 + 10) * sizeof(*a));
	tables_publish(host.tables);
	m = list(&n);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(m->n, 0);
	/* Said once. */
	ck_assert_int_eq(add(3, 0x3000, 0x4000, a, HOST_ROWS + 1), 0);
	/* Now there is room. */
	ck_assert_int_eq(add(4, 0x5000, 0x6000, b, HOST_ROWS / 2), 0);
	tables_publish(host.tables);
	m = list(&n);
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(m[2].n, HOST_ROWS / 2);
	ck_assert_mem_eq(published(&m[2]), b, HOST_ROWS / 2 * sizeof(*b));
	free(a);
	free(b);
}
END_TEST

START_TEST(too_many_modules)
{
	struct unwind_row *rows = make_rows(1, 7);
	int said = 0;
	u32 n;

	for (u32 i = 0; i < CHANNEL_MODULES + 100; i++)
		said += add(i + 1, 0x1000 * (i + 1ULL), 0x1000 * (i + 2ULL), rows, 1) == -ENOSPC;
	tables_publish(host.tables);
	list(&n);
	ck_assert_uint_eq(n, CHANNEL_MODULES);
	ck_assert_int_eq(said, 1);
	free(rows);
}
END_TEST

/* The channel's own offsets are in the target's hands. */
START_TEST(broken_layout)
{
	struct channel good = *host.channel;
	u64 *const offsets[] = {&host.channel->modules, &host.channel->rows,
				&host.channel->rules,   &host.channel->ranges,
				&host.channel->known,   &host.channel->rows_max};
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		*offsets[i] = host.size - 8;
		ck_assert_ptr_null(tables_create(host.channel, host.size, NULL));
		*offsets[i] = UINT64_MAX - 7;
		ck_assert_ptr_null(tables_create(host.channel, host.size, &err));
		ck_assert_int_eq(err.code, EINVAL);
		*host.channel = good;
	}
	/* What it says later is not looked at. */
	host.channel->modules = host.channel->rules = host.channel->known = UINT64_MAX / 2;
	host.channel->list = 77;
	host.channel->generation = 99;
	tables_remove(host.tables, 1);
	tables_publish(host.tables);
	ck_assert_uint_eq(host.channel->generation, 2);
}
END_TEST

Suite *agent_tables_suite(void)
{
	Suite *s = suite_create("agent_tables");
	TCase *tc = tcase_create("tables");

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, publishing);
	tcase_add_test(tc, overlapping);
	tcase_add_test(tc, overlapping_anyhow);
	tcase_add_test(tc, loaded_in_a_loop);
	tcase_add_test(tc, removed_but_listed);
	tcase_add_test(tc, too_many_modules);
	tcase_add_test(tc, broken_layout);
	suite_add_tcase(s, tc);
	return s;
}
