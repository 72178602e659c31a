// SPDX-License-Identifier: MIT
#include "engine.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define WORKERS_MAX 64
#define KINDS_MAX   48
#define OWN_SLOTS   48
#define SHARED      64
#define CHURNERS    4
#define CHURN_WORK  40
/* Blocks up to this size hold the mark in every byte. */
#define WHOLLY_MARKED 256

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct slot {
	struct truth_block block;
	const struct kind *kind;
	char busy; /* shared slots: somebody works with it */
};

struct worker {
	pthread_t thread;
	pid_t tid;
	uint64_t random;
	long quota; /* operations still to do; negative: until stop */
	long done;  /* operations so far */
	struct slot slots[OWN_SLOTS];
	timer_t timer;
};

static struct worker workers[WORKERS_MAX];
static int workers_n;
static struct slot shared[SHARED];
static int kinds_n;
static const struct kind *kinds[KINDS_MAX];
static int kind_sites[2][KINDS_MAX];
static int handler_site;
static volatile int set;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int parked;
static volatile int stopping;

/* Threads that come and go: their workers outlive them, with the blocks that they leave. */
static struct worker churners[CHURNERS];
static pthread_t spawner;
static volatile int churning;
static long churned;

static long ticks;
static __thread volatile int in_allocator;
static __thread unsigned int my_ticks;
static __thread struct truth_block handler_block;

static uint64_t draw(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

/* Mostly small, some large enough to be mapped by themselves, some of 0 bytes. */
static size_t draw_size(struct worker *w)
{
	uint64_t r = draw(w) >> 16;

	switch (r % 64) {
	case 0:
		return 0;
	case 1:
		return 130000 + (r >> 8) % 400000;
	case 2 ... 9:
		return (r >> 8) % 5000;
	default:
		return (r >> 8) % 200;
	}
}

/* Blocks hold a mark, larger ones at both ends, so that one that is overwritten or moved is noticed. */
static unsigned char mark_of(const void *p)
{
	return (unsigned char)((uintptr_t)p >> 4 ^ 0x5a);
}

static void mark(const struct truth_block *block)
{
	unsigned char *p = block->address;

	if (!p || block->size == 0)
		return;
	if (block->size <= WHOLLY_MARKED)
		memset(p, mark_of(p), block->size);
	p[0] = p[block->size - 1] = mark_of(p);
}

static void check_mark(const struct truth_block *block)
{
	const unsigned char *p = block->address;
	size_t step = block->size <= WHOLLY_MARKED ? 1 : block->size - 1;

	for (size_t i = 0; i < block->size; i += step)
		if (p[i] != mark_of(p))
			hurt("block %p of %zu bytes was overwritten", (const void *)p, block->size);
}

static void slot_allocate(struct worker *w, struct slot *slot, bool fail)
{
	size_t k = draw(w) % (size_t)kinds_n, asked = 0;
	const struct kind *kind = kinds[k];
	int s = set;
	void *p;

	if (fail && !kind->fails)
		fail = false;
	in_allocator = 1;
	p = kind->allocate[s](fail ? ENGINE_HUGE : draw_size(w), &asked);
	truth_allocated(&slot->block, kind_sites[s][k], p, asked);
	in_allocator = 0;
	slot->kind = kind;
	mark(&slot->block);
}

static void slot_release(struct slot *slot)
{
	void *p = slot->block.address;
	size_t asked = slot->block.size;

	check_mark(&slot->block);
	in_allocator = 1;
	truth_freed(&slot->block);
	if (slot->kind->release)
		slot->kind->release(p, asked);
	else
		free(p);
	in_allocator = 0;
}

static void slot_resize(struct worker *w, struct slot *slot, size_t k, bool fail)
{
	const struct kind *kind = kinds[k];
	size_t asked = 0, old = slot->block.size;
	unsigned char before = mark_of(slot->block.address);
	int s = set;
	unsigned char *p;

	check_mark(&slot->block);
	in_allocator = 1;
	p = kind->resize[s](slot->block.address, fail ? ENGINE_HUGE : draw_size(w), &asked);
	truth_reallocated(&slot->block, kind_sites[s][k], p, asked);
	in_allocator = 0;
	if (p) {
		slot->kind = kind;
		if (old > 0 && asked > 0 && p[0] != before)
			hurt("realloc lost what the block held");
		mark(&slot->block);
	}
}

static void slot_work(struct worker *w, struct slot *slot)
{
	bool fail = draw(w) % 200 == 0;
	size_t k = draw(w) % (size_t)kinds_n;

	if (!slot->block.address)
		slot_allocate(w, slot, fail);
	else if (kinds[k]->resize[0] && kinds[k]->release == slot->kind->release)
		slot_resize(w, slot, k, fail);
	else
		slot_release(slot);
}

static void operate(struct worker *w)
{
	struct slot *slot;

	if (draw(w) % 4) {
		slot_work(w, &w->slots[draw(w) % OWN_SLOTS]);
		return;
	}
	slot = &shared[draw(w) % SHARED];
	if (__atomic_exchange_n(&slot->busy, 1, __ATOMIC_ACQUIRE))
		return;
	slot_work(w, slot);
	__atomic_store_n(&slot->busy, 0, __ATOMIC_RELEASE);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	w->tid = (pid_t)syscall(SYS_gettid);
	pthread_mutex_lock(&mutex);
	for (;;) {
		parked++;
		pthread_cond_broadcast(&changed);
		while (w->quota == 0)
			pthread_cond_wait(&changed, &mutex);
		parked--;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
		while (w->quota != 0 && !stopping) {
			operate(w);
			w->done++;
			if (w->quota > 0)
				w->quota--;
		}
		pthread_mutex_lock(&mutex);
		w->quota = 0;
	}
	return NULL;
}

/* With the mutex held: until every worker stands still. */
static void wait_parked(void)
{
	while (parked < workers_n)
		pthread_cond_wait(&changed, &mutex);
}

static void start(long quota)
{
	pthread_mutex_lock(&mutex);
	wait_parked();
	stopping = 0;
	for (int i = 0; i < workers_n; i++)
		workers[i].quota = quota;
	pthread_cond_broadcast(&changed);
	/* A worker that has not run yet still counts as parked. */
	while (parked > 0 && quota < 0)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void stop(void)
{
	pthread_mutex_lock(&mutex);
	stopping = 1;
	wait_parked();
	pthread_mutex_unlock(&mutex);
}

/* With a quota a worker is only done when it is parked and its quota is used up. */
static void run(long quota)
{
	bool busy = true;

	start(quota);
	pthread_mutex_lock(&mutex);
	while (busy) {
		busy = parked < workers_n;
		for (int i = 0; i < workers_n; i++)
			busy = busy || workers[i].quota != 0;
		if (busy)
			pthread_cond_wait(&changed, &mutex);
	}
	pthread_mutex_unlock(&mutex);
}

NOINLINE static void *site_handler(size_t size)
{
	void *p = malloc(size);

	KEEP(p);
	return p;
}

/* Allocates, too, when the code that it interrupts is not inside the allocator. */
static void on_tick(int signal)
{
	(void)signal;
	__atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED);
	if (in_allocator || ++my_ticks % 8)
		return;
	if (handler_block.address) {
		void *p = handler_block.address;

		truth_freed(&handler_block);
		free(p);
	} else {
		truth_allocated(&handler_block, handler_site, site_handler(my_ticks), my_ticks);
	}
}

static void *short_life(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < CHURN_WORK; i++)
		operate(w);
	return NULL;
}

/* 100 threads a second, up to CHURNERS at a time, with small stacks. */
static void *spawn(void *arg)
{
	static pthread_t threads[CHURNERS];
	struct timespec pause = {.tv_nsec = 10000000};
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	for (churned = 0; churning; churned++) {
		int i = (int)(churned % CHURNERS);

		if (churned >= CHURNERS)
			pthread_join(threads[i], NULL);
		if (pthread_create(&threads[i], &small, short_life, &churners[i]) != 0)
			hurt("no thread");
		nanosleep(&pause, NULL);
	}
	for (int i = 0; i < CHURNERS && i < churned; i++)
		pthread_join(threads[i], NULL);
	return arg;
}

static void churn(bool on)
{
	churning = on;
	if (!on)
		pthread_join(spawner, NULL);
	else if (pthread_create(&spawner, NULL, spawn, NULL) != 0)
		hurt("no thread");
}

/* Until n threads have come since "churn on". */
static void lives(long n)
{
	struct timespec pause = {.tv_nsec = 1000000};

	while (*(volatile long *)&churned < n)
		nanosleep(&pause, NULL);
}

/* Until every worker has done n operations more. */
static void progress(long n)
{
	struct timespec pause = {.tv_nsec = 1000000};
	long goals[WORKERS_MAX];

	for (int i = 0; i < workers_n; i++)
		goals[i] = workers[i].done + n;
	for (int i = 0; i < workers_n; i++)
		while (*(volatile long *)&workers[i].done < goals[i])
			nanosleep(&pause, NULL);
}

static void set_timer(struct worker *w, long hz)
{
	struct itimerspec spec = {0};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};

	if (hz == 0) {
		if (timer_delete(w->timer) != 0)
			hurt("timer_delete failed");
		return;
	}
	event.sigev_notify_thread_id = w->tid;
	spec.it_interval.tv_nsec = spec.it_value.tv_nsec = 1000000000L / hz;
	if (timer_create(CLOCK_MONOTONIC, &event, &w->timer) != 0 ||
	    timer_settime(w->timer, 0, &spec, NULL) != 0)
		hurt("no timer");
}

static void drain(void)
{
	for (int i = 0; i < workers_n; i++)
		for (int j = 0; j < OWN_SLOTS; j++)
			if (workers[i].slots[j].block.address)
				slot_release(&workers[i].slots[j]);
	for (int i = 0; i < CHURNERS; i++)
		for (int j = 0; j < OWN_SLOTS; j++)
			if (churners[i].slots[j].block.address)
				slot_release(&churners[i].slots[j]);
	for (int j = 0; j < SHARED; j++)
		if (shared[j].block.address)
			slot_release(&shared[j]);
}

static void command(const char *line)
{
	const char *rest;

	if ((rest = after(line, "run"))) {
		run(atol(rest));
		say("done");
	} else if (after(line, "start")) {
		start(-1);
		say("started");
	} else if (after(line, "stop")) {
		stop();
		say("stopped");
	} else if ((rest = after(line, "set"))) {
		set = atoi(rest);
		say("set");
	} else if ((rest = after(line, "timer"))) {
		for (int i = 0; i < workers_n; i++)
			set_timer(&workers[i], atol(rest));
		say("timer %ld", __atomic_load_n(&ticks, __ATOMIC_RELAXED));
	} else if ((rest = after(line, "progress"))) {
		progress(atol(rest));
		say("progressed");
	} else if ((rest = after(line, "lives"))) {
		lives(atol(rest));
		say("lived");
	} else if ((rest = after(line, "churn"))) {
		churn(strcmp(rest, "on") == 0);
		say("churned %ld", churned);
	} else if (after(line, "drain")) {
		drain();
		say("drained");
	} else if (after(line, "epoch")) {
		truth_epoch();
		say("epoch");
	} else if (after(line, "truth")) {
		truth_say();
	} else if (!engine_command || !engine_command(line)) {
		hurt("unknown command %s", line);
	}
}

/* All kinds but those whose names begin with an argument after the first. */
static void choose_kinds(int argc, char **argv)
{
	for (const struct kind *kind = engine_kinds; kind->names[0]; kind++) {
		bool wanted = true;

		for (int i = 2; i < argc; i++)
			if (strncmp(kind->names[0], argv[i], strlen(argv[i])) == 0)
				wanted = false;
		if (!wanted)
			continue;
		kinds[kinds_n] = kind;
		for (int s = 0; s < 2; s++)
			kind_sites[s][kinds_n] = truth_site(kind->names[s], kind->truth);
		kinds_n++;
	}
}

static void leave(void);

static void *converse(void *arg)
{
	const char *line;

	while ((line = hear()) && !after(line, "quit")) {
		if (!after(line, "leave"))
			command(line);
		else
			leave();
	}
	exit(0);
	return arg;
}

/* The first thread ends, and another one goes on talking to the test. */
static void leave(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, converse, NULL) != 0)
		hurt("no thread");
	say("left");
	pthread_exit(NULL);
}

int engine_main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};

	workers_n = argc > 1 ? atoi(argv[1]) : 1;
	if (workers_n < 1 || workers_n > WORKERS_MAX)
		hurt("bad number of threads");
	choose_kinds(argc, argv);
	handler_site = truth_site("site_handler", TRUTH_DIRECT);
	sigaction(SIGUSR2, &action, NULL);
	for (int i = 0; i < CHURNERS; i++)
		churners[i].random = 0xd1342543de82ef95ULL * (uint64_t)(i + 1);
	for (int i = 0; i < workers_n; i++) {
		workers[i].random = 0x9e3779b97f4a7c15ULL * (uint64_t)(i + 1);
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			hurt("no thread");
	}
	pthread_mutex_lock(&mutex);
	wait_parked();
	pthread_mutex_unlock(&mutex);
	say("ready");
	converse(NULL);
	return 0;
}
