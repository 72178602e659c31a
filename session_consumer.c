// SPDX-License-Identifier: MIT
/*
 * The ring is polled: a wake-up from the target would cost it a system call. The lookout
 * naps a little longer each time that it finds little. To wake up is not free: on a busy machine the
 * target may have to make room, for 25 us each time on a virtual one. So what takes
 * the time, to read the records, is done by a thread in the background, which is raised
 * from there as soon as it does not keep up.
 */
#include "session_consumer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define BATCH 2048
/* So many between two naps are worth waking up for; they fill a sixteenth of the ring. */
#define MANY 16384
/*
 * Half of it, and three quarters; a target that allocates as fast as it can fills each quarter in
 * some milliseconds. Where the target and who it works for want all the CPUs, a reader with a
 * share of its own is in their way: so it has one no sooner, and only until it has caught up.
 */
#define RING      (1U << CHANNEL_RING_BITS)
#define BEHIND    (RING / 2)
#define URGENT    (RING / 4 * 3)
#define CAUGHT_UP (RING / 16)
#define NAP_MIN   50000
/*
 * At 20 million records a second, which is all that threads get into one ring, it is not half full
 * after this time, and with samples this far apart, which are few unless all blocks are great, not after
 * the other.
 */
#define NAP_MAX         5000000
#define NAP_MAX_SAMPLES 10000000
#define FAR_APART       (16U << 10)
/* So few of these are read only after so many naps. */
#define FEW      1024
#define NAPS_MAX 8

/* Of so many threads at most one may have left a record incomplete in the end. */
#define SKIPS_MAX 256

/* A record that nobody completes for so long, while others follow, is given up. */
#define STUCK_NS 500000000ULL

void consumer_init(struct consumer *c)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
}

static u32 read_batch(struct consumer *c)
{
	u32 n;

	pthread_mutex_lock(&c->lock);
	n = ring_reader_read(c->reader, BATCH);
	pthread_mutex_unlock(&c->lock);
	ring_reader_beat(c->reader);
	return n;
}

/* Nothing could be read since then. */
static void see_whether_stuck(struct consumer *c, u64 *since)
{
	if (!ring_reader_is_behind(c->reader)) {
		*since = 0;
	} else if (!*since) {
		*since = clock_ns();
	} else if (clock_ns() - *since > STUCK_NS) {
		pthread_mutex_lock(&c->lock);
		ring_reader_skip(c->reader);
		pthread_mutex_unlock(&c->lock);
		*since = 0;
	}
}

/* came: records, since the nap before. */
static u64 next_nap(const struct consumer *c, u64 nap, u32 came)
{
	u64 most = c->sample >= FAR_APART ? NAP_MAX_SAMPLES : NAP_MAX;

	if (came > MANY)
		return nap / 2 < NAP_MIN ? NAP_MIN : nap / 2;
	return nap * 2 > most ? most : nap * 2;
}

/* For so long, or until the consumer is stopped. */
static void take_a_nap(struct consumer *c, u64 nap)
{
	u64 until = clock_ns() + nap;
	const struct timespec end = {.tv_sec = (time_t)(until / 1000000000),
				     .tv_nsec = (long)(until % 1000000000)};

	while (sem_clockwait(&c->end, CLOCK_MONOTONIC, &end) && errno == EINTR)
		;
}

/* Until nothing is left that is complete. */
static void read_all(struct consumer *c, u64 *stuck_since)
{
	u32 n;

	do {
		/* A mutex is not fair: the other one would wait for long. */
		while (__atomic_load_n(&c->wanted, __ATOMIC_ACQUIRE))
			sched_yield();
		n = read_batch(c);
		__atomic_fetch_add(&c->applied, n, __ATOMIC_RELAXED);
		if (n)
			*stuck_since = 0;
	} while (n == BATCH && !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE));
	if (!n)
		see_whether_stuck(c, stuck_since);
}

static void *work(void *arg)
{
	struct consumer *c = arg;
	u64 stuck_since = 0;

	__atomic_store_n(&c->worker_tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		read_all(c, &stuck_since);
		while (sem_wait(&c->work))
			;
	}
	return NULL;
}

static void wake(struct consumer *c)
{
	int value;

	if (sem_getvalue(&c->work, &value) == 0 && value == 0)
		sem_post(&c->work);
}

/* A few samples can wait for some naps, which are counted. */
static bool is_worth_waking(const struct consumer *c, u32 waiting, u32 *naps)
{
	if (!waiting || (c->sample >= FAR_APART && waiting < FEW && ++*naps < NAPS_MAX))
		return false;
	*naps = 0;
	return true;
}

static void *look_out(void *arg)
{
	struct consumer *c = arg;
	u64 nap = NAP_MIN;
	u32 before = 0, naps = 0, came;
	pid_t tid;

	while (!(tid = __atomic_load_n(&c->worker_tid, __ATOMIC_ACQUIRE)))
		sched_yield();
	background_begin(&c->background, c->worker, tid);
	__atomic_store_n(&c->settled, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		u32 waiting = ring_reader_waiting(c->reader);

		/* Otherwise who reads says so: the target does not wait for one that cannot. */
		if (is_worth_waking(c, waiting, &naps))
			wake(c);
		else
			ring_reader_beat(c->reader);
		if (waiting > URGENT)
			background_prefer(&c->background);
		else if (waiting > BEHIND || __atomic_load_n(&c->wanted, __ATOMIC_ACQUIRE))
			background_raise(&c->background);
		else if (waiting < CAUGHT_UP)
			background_lower(&c->background);
		/* Whether they have been read or not. */
		came = __atomic_exchange_n(&c->applied, 0, __ATOMIC_RELAXED) + waiting - before;
		nap = next_nap(c, nap, (s32)came < 0 ? 0 : came);
		before = waiting;
		take_a_nap(c, nap);
	}
	return NULL;
}

static void end_worker(struct consumer *c)
{
	background_end(&c->background);
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	sem_post(&c->end);
	sem_post(&c->work);
	pthread_join(c->worker, NULL);
}

static void destroy_semaphores(struct consumer *c)
{
	sem_destroy(&c->work);
	sem_destroy(&c->end);
}

int consumer_start(struct consumer *c, struct ring_reader *reader, u64 sample, struct err *err)
{
	sigset_t all, before;
	int ret;

	c->reader = reader;
	c->sample = sample;
	c->stop = false;
	c->worker_tid = 0;
	c->settled = false;
	background_init(&c->background);
	if (sem_init(&c->work, 0, 0) || sem_init(&c->end, 0, 0))
		return err_sys(err, errno, "cannot make a semaphore");
	/* Signals are for the thread that controls. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&c->worker, NULL, work, c);
	if (!ret) {
		ret = background_start_small(&c->lookout, look_out, c);
		if (ret)
			end_worker(c);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		destroy_semaphores(c);
		return err_sys(err, ret, "cannot start a thread");
	}
	c->running = true;
	return 0;
}

bool consumer_is_settled(const struct consumer *c)
{
	return !c->running || __atomic_load_n(&c->settled, __ATOMIC_ACQUIRE);
}

void consumer_enter(struct consumer *c)
{
	if (!c->reader)
		return;
	__atomic_store_n(&c->wanted, 1, __ATOMIC_RELEASE);
	if (pthread_mutex_trylock(&c->lock)) {
		background_raise(&c->background);
		pthread_mutex_lock(&c->lock);
	}
	__atomic_store_n(&c->wanted, 0, __ATOMIC_RELEASE);
	ring_reader_drain(c->reader);
}

void consumer_leave(struct consumer *c)
{
	if (c->reader)
		pthread_mutex_unlock(&c->lock);
}

void consumer_drain(struct consumer *c)
{
	if (c->reader)
		ring_reader_drain(c->reader);
}

void consumer_stop(struct consumer *c, bool dead)
{
	if (c->running) {
		end_worker(c);
		pthread_join(c->lookout, NULL);
		destroy_semaphores(c);
		c->running = false;
	}
	if (c->reader && dead)
		ring_reader_finish_dead(c->reader);
	/* What is not complete now will never be: it is counted, and what comes behind it is read. */
	for (int i = 0; c->reader && !dead && i < SKIPS_MAX && !ring_reader_drain(c->reader); i++)
		ring_reader_skip(c->reader);
	c->reader = NULL;
}
