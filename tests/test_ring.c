// SPDX-License-Identifier: MIT
/* The reader of the ring, on records that this test writes as the agent does. */
#include <stdlib.h>
#include <string.h>

#include "probe/ring_reader.h"
#include "tests/in_loops.h"
#include "tests/suites.h"

#define SIZE (CHANNEL_RING_AT + (sizeof(struct channel_record) << CHANNEL_RING_BITS))

static struct channel *channel;
static struct ring_reader *reader;
static u64 frees[8];
static u32 frees_n, losses;

/* Not 0 while each free's address is one more than the last one's: the next one's. */
static u64 expected;

/* Set while the records are whatever the target has put there. */
static bool hostile;
static u64 events[HEAP_REALLOC_LOST + 1], stacks;

/* What the host may count on, whatever is in the ring. */
static void check_event(const struct heap_event *event)
{
	assert_in_loop(event->kind <= HEAP_REALLOC_LOST);
	assert_in_loop(event->thread < CHANNEL_THREADS);
	assert_in_loop(event->address < 1ULL << 48);
	if (event->kind >= HEAP_REALLOC_BEGIN)
		memset(event->realloc, event->kind, REALLOC_SCRATCH);
	if (event->kind == HEAP_ALLOC || (event->kind == HEAP_REALLOC_DONE && event->address))
		assert_in_loop(event->stack <= stacks);
	events[event->kind]++;
}

static int on_stack(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u32 *id)
{
	(void)ctx;
	(void)pcs;
	assert_in_loop(n == 0);
	assert_in_loop(end == UNWIND_LOST);
	*id = 0;
	return 0;
}

static int on_arrived_stack(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u64 sp, u32 *id)
{
	(void)ctx;
	(void)sp;
	ck_assert_uint_le(n, UNWIND_MAX_DEPTH);
	ck_assert_int_le(end, UNWIND_LOST);
	for (u32 i = 0; i < n; i++)
		ck_assert_uint_lt(pcs[i], UINT64_MAX);
	*id = (u32)++stacks;
	return 0;
}

static void on_event(const struct heap_event *event)
{
	if (hostile) {
		check_event(event);
		return;
	}
	assert_in_loop(event->kind == HEAP_FREE);
	if (expected) {
		assert_in_loop(event->address == expected);
		expected++;
		return;
	}
	ck_assert_uint_lt(frees_n, 8);
	frees[frees_n++] = event->address;
}

static void on_events(void *ctx, const struct heap_event *list, u32 n)
{
	(void)ctx;
	assert_in_loop(n > 0);
	/* The target sees soon that there is room. */
	if (expected)
		assert_in_loop(list[0].address - 0x1000 - channel->tail < 1100);
	for (u32 i = 0; i < n; i++)
		on_event(&list[i]);
}

static void on_lost(void *ctx, const char *why)
{
	(void)ctx;
	(void)why;
	losses++;
}

static void on_batch(void *ctx)
{
	(void)ctx;
}

static void set_up(void)
{
	struct probe_host host = {.events = on_events,
				  .lost = on_lost,
				  .batch = on_batch,
				  .stack = on_stack,
				  .arrived_stack = on_arrived_stack};
	struct err err = ERR_INIT;

	channel = aligned_alloc(4096, SIZE);
	ck_assert_ptr_nonnull(channel);
	for (u64 i = 0; i < SIZE / 8; i++)
		((u64 *)channel)[i] = 0;
	reader = ring_reader_create(channel, &host, &err);
	ck_assert_msg(reader != NULL, "%s", err.msg);
	frees_n = losses = 0;
	memset(events, 0, sizeof(events));
}

static void tear_down(void)
{
	ring_reader_destroy(reader);
	free(channel);
}

static u64 take_place(void)
{
	return channel->head++;
}

static struct channel_record *record_at(u64 place)
{
	struct channel_record *record = (void *)((char *)channel + CHANNEL_RING_AT);

	return record + (place & ((1U << CHANNEL_RING_BITS) - 1));
}

static void put_free(u64 place, u64 address)
{
	struct channel_record *record = record_at(place);

	record->word[0] = CHANNEL_WORD0(CHANNEL_FREE, address) | (u64)CHANNEL_LAP(place) << 56;
}

static void put_void(u64 place)
{
	record_at(place)->word[0] = CHANNEL_WORD0(CHANNEL_VOID, 0) | (u64)CHANNEL_LAP(place) << 56;
}

/* Places are taken and, but for the first and the third, filled. */
static void leave_holes(void)
{
	for (u64 i = 0; i < 5; i++) {
		u64 place = take_place();

		if (i % 2 || i == 4)
			put_free(place, 0x1000 + i);
	}
}

static void assert_read(void)
{
	ck_assert_uint_eq(frees_n, 3);
	ck_assert_uint_eq(frees[0], 0x1001);
	ck_assert_uint_eq(frees[1], 0x1003);
	ck_assert_uint_eq(frees[2], 0x1004);
	ck_assert_uint_eq(channel->tail, channel->head);
}

/* Threads that are killed take their calls with them. */
START_TEST(records_of_the_dead_are_no_loss)
{
	leave_holes();
	ring_reader_finish_dead(reader);
	assert_read();
	ck_assert_uint_eq(losses, 0);
}
END_TEST

START_TEST(records_of_the_living_are_a_loss)
{
	leave_holes();
	for (int i = 0; i < 2; i++) {
		ck_assert(!ring_reader_drain(reader));
		ring_reader_skip(reader);
	}
	ck_assert(ring_reader_drain(reader));
	assert_read();
	ck_assert_uint_eq(losses, 2);
}
END_TEST

/* Completed between the drain that gave up and the skip. */
START_TEST(a_record_that_came_late_is_no_loss)
{
	leave_holes();
	ck_assert(!ring_reader_drain(reader));
	put_free(0, 0x1000);
	ring_reader_skip(reader);
	ck_assert_uint_eq(frees_n, 1);
	ck_assert_uint_eq(frees[0], 0x1000);
	ck_assert(!ring_reader_drain(reader));
	put_free(2, 0x1002);
	ck_assert(ring_reader_drain(reader));
	/* Nothing is there to be skipped. */
	ring_reader_skip(reader);
	ck_assert_uint_eq(frees_n, 5);
	ck_assert_uint_eq(losses, 0);
	ck_assert_uint_eq(channel->tail, channel->head);
}
END_TEST

/* A place that was given back is no call: the thread's last free is still its last. */
START_TEST(void_records_are_no_calls)
{
	put_free(take_place(), 0x1000);
	put_void(take_place());
	ck_assert(ring_reader_drain(reader));
	ck_assert_uint_eq(frees_n, 1);
	ck_assert_uint_eq(losses, 0);
	ck_assert_uint_eq(ring_reader_last_free(reader, 0), 0x1000);
}
END_TEST

/* Whatever the target has put into head, this ends. */
START_TEST(head_out_of_reach)
{
	leave_holes();
	channel->head = 1ULL << 60;
	ring_reader_finish_dead(reader);
	ck_assert_uint_eq(channel->tail, 1U << CHANNEL_RING_BITS);
	ck_assert_uint_eq(frees_n, 3);
}
END_TEST

static u64 noise = 1;

static u64 any(void)
{
	noise ^= noise << 13;
	noise ^= noise >> 7;
	noise ^= noise << 17;
	return noise;
}

/* One of a few, so that records have to do with one another; at times anything. */
static u64 some(u64 n)
{
	return any() % 16 ? any() % n : any();
}

/* Any kind, those that there are and others, of any thread, with any words. */
static void put_noise(u64 place)
{
	struct channel_record *record = record_at(place);
	u64 kind = any() % 64 ? any() % (CHANNEL_STACK_END + 2) : any() % 256;
	u64 frames = some(300), end = some(5);

	record->word[1] = some(8);
	record->word[2] = kind == CHANNEL_STACK_END ? frames | end << 32 : some(8);
	record->word[3] = CHANNEL_WORD3(some(CHANNEL_THREADS + 9) & 0xffff, 8 * some(6)) |
			  any() % 2 * CHANNEL_NEXT;
	record->word[0] = CHANNEL_WORD0(kind, some(16)) | (u64)CHANNEL_LAP(place) << 56;
}

/* However many are there when it is read, and wherever in the ring they begin. */
START_TEST(records_come_in_their_order)
{
	const u64 all = 3 << CHANNEL_RING_BITS;
	u64 put = 0;

	expected = 0x1000;
	while (put < all) {
		u64 n = put % 997 % 70;

		for (u64 i = 0; i <= n; i++)
			put_free(take_place(), 0x1000 + put++);
		assert_in_loop(ring_reader_read(reader, (u32)n + 1) == n + 1);
		assert_in_loop(channel->tail == channel->head);
	}
	ck_assert_uint_eq(expected, 0x1000 + put);
	expected = 0;
}
END_TEST

START_TEST(no_more_is_read_than_asked_for)
{
	expected = 0x1000;
	for (u64 i = 0; i < 5000; i++)
		put_free(take_place(), 0x1000 + i);
	ck_assert_uint_eq(ring_reader_read(reader, 1), 1);
	ck_assert_uint_eq(channel->tail, 1);
	ck_assert_uint_eq(ring_reader_read(reader, 100), 100);
	ck_assert_uint_eq(channel->tail, 101);
	ck_assert_uint_eq(ring_reader_read(reader, 10000), 4899);
	ck_assert_uint_eq(expected, 0x1000 + 5000);
	expected = 0;
}
END_TEST

static void put_realloc(enum channel_kind kind, u32 thread, u64 sp)
{
	u64 place = take_place();
	struct channel_record *record = record_at(place);

	record->word[3] = CHANNEL_WORD3(thread, sp);
	record->word[0] = CHANNEL_WORD0(kind, 0x1000) | (u64)CHANNEL_LAP(place) << 56;
}

/* Of 32 threads, in records behind each other: each end brings what was never ended, and itself. */
START_TEST(reallocs_that_were_left)
{
	hostile = true;
	for (u32 i = 0; i < 32 * 4; i++)
		put_realloc(CHANNEL_REALLOC_BEGIN, i / 4, 0x8000 + i % 4 * 8);
	ck_assert(ring_reader_drain(reader));
	for (u32 i = 0; i < 32; i++)
		put_realloc(CHANNEL_REALLOC_DONE, i, 0x9000);
	ck_assert(ring_reader_drain(reader));
	ck_assert_uint_eq(events[HEAP_REALLOC_BEGIN], 128);
	ck_assert_uint_eq(events[HEAP_REALLOC_LOST], 128);
	ck_assert_uint_eq(events[HEAP_ALLOC], 32);
	ck_assert_uint_eq(events[HEAP_REALLOC_DONE], 0);
	hostile = false;
}
END_TEST

START_TEST(records_that_make_no_sense)
{
	hostile = true;
	for (u32 round = 0; round < 40; round++) {
		for (u32 i = 0; i < 20000; i++)
			put_noise(take_place());
		ck_assert(ring_reader_drain(reader));
	}
	/* Each kind of event has come of it, and stacks of records that happened to fit. */
	for (u32 i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		ck_assert_msg(events[i] > 0, "no event of kind %u", i);
	ck_assert_uint_gt(stacks, 0);
	hostile = false;
}
END_TEST

Suite *ring_suite(void)
{
	Suite *suite = suite_create("ring");
	TCase *tcase = tcase_create("ring");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, records_of_the_dead_are_no_loss);
	tcase_add_test(tcase, records_of_the_living_are_a_loss);
	tcase_add_test(tcase, a_record_that_came_late_is_no_loss);
	tcase_add_test(tcase, void_records_are_no_calls);
	tcase_add_test(tcase, head_out_of_reach);
	tcase_add_test(tcase, records_come_in_their_order);
	tcase_add_test(tcase, no_more_is_read_than_asked_for);
	tcase_add_test(tcase, reallocs_that_were_left);
	tcase_add_test(tcase, records_that_make_no_sense);
	suite_add_tcase(suite, tcase);
	return suite;
}
