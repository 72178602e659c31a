// SPDX-License-Identifier: MIT
/*
 * How the thread that reads the ring is scheduled: in nobody's way, until it has fallen behind. The
 * records are written by this test.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "session_consumer.h"
#include "tests/suites.h"

#define RING (1U << CHANNEL_RING_BITS)
#define SIZE (CHANNEL_RING_AT + sizeof(struct channel_record) * RING)

static struct channel *channel;
static struct ring_reader *reader;
static struct consumer consumer;
static u64 events;

static void on_events(void *ctx, const struct heap_event *list, u32 n)
{
	(void)ctx;
	(void)list;
	__atomic_fetch_add(&events, n, __ATOMIC_RELAXED);
}

static void on_lost(void *ctx, const char *why)
{
	(void)ctx;
	(void)why;
}

static void on_batch(void *ctx)
{
	(void)ctx;
}

static void set_up_with(u64 sample)
{
	struct probe_host host = {.events = on_events, .lost = on_lost, .batch = on_batch};
	struct err err = ERR_INIT;

	events = 0;
	channel = aligned_alloc(4096, SIZE);
	ck_assert_ptr_nonnull(channel);
	memset(channel, 0, SIZE);
	reader = ring_reader_create(channel, &host, &err);
	ck_assert_msg(reader != NULL, "%s", err.msg);
	consumer_init(&consumer);
	ck_assert_msg(consumer_start(&consumer, reader, sample, &err) == 0, "%s", err.msg);
	while (!consumer_is_settled(&consumer))
		sched_yield();
}

static void set_up(void)
{
	set_up_with(0);
}

static void set_up_sampled(void)
{
	set_up_with(512 << 10);
}

/* As root, or with CAP_SYS_NICE, and under the usual policy. */
static bool can_step_back(void)
{
	if (!consumer.background.active)
		printf(" consumer: skipped, the kernel would not let the reader come back\n");
	return consumer.background.active;
}

static void tear_down(void)
{
	consumer_stop(&consumer, false);
	ring_reader_destroy(reader);
	free(channel);
}

/* Takes so many places, which nobody has written so far, once all others have been read. */
static void take_places(u32 n)
{
	while (ring_reader_waiting(reader))
		sched_yield();
	__atomic_store_n(&channel->head, channel->head + n, __ATOMIC_RELEASE);
}

static void write_records(void)
{
	struct channel_record *ring = (void *)((char *)channel + CHANNEL_RING_AT);
	u64 head = channel->head;

	for (u64 place = __atomic_load_n(&channel->tail, __ATOMIC_ACQUIRE); place < head; place++)
		__atomic_store_n(&ring[place % RING].word[0],
				 CHANNEL_WORD0(CHANNEL_FREE, 0x1000 + place) |
					 (u64)CHANNEL_LAP(place) << 56,
				 __ATOMIC_RELEASE);
}

static int policy(void)
{
	return sched_getscheduler(consumer.worker_tid);
}

static int niceness(void)
{
	int nice;

	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)consumer.worker_tid);
	ck_assert_int_eq(errno, 0);
	return nice;
}

/* Until the reader is scheduled like this; libcheck ends a test that waits in vain. */
static void wait_for(int wanted_policy, int wanted_nice)
{
	const struct timespec moment = {.tv_nsec = 100000};

	while (policy() != wanted_policy || niceness() != wanted_nice)
		nanosleep(&moment, NULL);
}

START_TEST(in_nobodys_way)
{
	if (!can_step_back())
		return;
	ck_assert_int_eq(policy(), SCHED_IDLE);
	take_places(RING / 2);
	write_records();
	while (__atomic_load_n(&events, __ATOMIC_RELAXED) < RING / 2)
		sched_yield();
	ck_assert_int_eq(policy(), SCHED_IDLE);
}
END_TEST

START_TEST(a_share_until_it_has_caught_up)
{
	const int nice = niceness();

	if (!can_step_back())
		return;
	for (int i = 0; i < 3; i++) {
		take_places(RING / 2 + 100);
		wait_for(SCHED_OTHER, nice);
		write_records();
		wait_for(SCHED_IDLE, nice);
		ck_assert_uint_le(ring_reader_waiting(reader), RING / 16);
	}
}
END_TEST

START_TEST(before_others_when_it_is_urgent)
{
	const int nice = niceness();

	/* Somebody may have made us nicer than others: then it stays so. */
	if (!can_step_back() || nice > 0)
		return;
	take_places(RING / 4 * 3 + 100);
	wait_for(SCHED_OTHER, nice - 10);
	write_records();
	wait_for(SCHED_IDLE, nice);
}
END_TEST

/* Somebody waits for the books: not only when he comes. */
START_TEST(while_somebody_waits)
{
	const int nice = niceness();

	if (!can_step_back())
		return;
	__atomic_store_n(&consumer.wanted, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 3; i++) {
		wait_for(SCHED_OTHER, nice);
		background_lower(&consumer.background);
	}
	wait_for(SCHED_OTHER, nice);
	__atomic_store_n(&consumer.wanted, 0, __ATOMIC_RELEASE);
	wait_for(SCHED_IDLE, nice);
}
END_TEST

/* At its end there may be much to read still, and somebody waits. */
START_TEST(as_any_other_at_its_end)
{
	const int nice = niceness();

	/* Somebody may have made us nicer than others: then it stays so. */
	if (!can_step_back() || nice > 0)
		return;
	take_places(RING / 4 * 3 + 100);
	wait_for(SCHED_OTHER, nice - 10);
	background_end(&consumer.background);
	ck_assert_int_eq(policy(), SCHED_OTHER);
	ck_assert_int_eq(niceness(), nice);
	background_lower(&consumer.background);
	background_prefer(&consumer.background);
	ck_assert_int_eq(policy(), SCHED_OTHER);
	ck_assert_int_eq(niceness(), nice);
	write_records();
}
END_TEST

/* Few as they are; and many at once. */
START_TEST(samples_are_read)
{
	for (u32 n = 1; n < RING; n *= 8) {
		u64 before = __atomic_load_n(&events, __ATOMIC_RELAXED);

		take_places(n);
		write_records();
		while (__atomic_load_n(&events, __ATOMIC_RELAXED) != before + n)
			sched_yield();
	}
}
END_TEST

Suite *consumer_suite(void)
{
	Suite *suite = suite_create("consumer");
	TCase *tcase = tcase_create("consumer"), *sampled = tcase_create("sampled");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, in_nobodys_way);
	tcase_add_test(tcase, a_share_until_it_has_caught_up);
	tcase_add_test(tcase, before_others_when_it_is_urgent);
	tcase_add_test(tcase, while_somebody_waits);
	tcase_add_test(tcase, as_any_other_at_its_end);
	tcase_add_checked_fixture(sampled, set_up_sampled, tear_down);
	tcase_set_timeout(sampled, 30);
	tcase_add_test(sampled, samples_are_read);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, sampled);
	return suite;
}
