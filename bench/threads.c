// SPDX-License-Identifier: MIT
/*
 * How long the threads of a process stand still.
 *
 *	threads COUNT
 *
 * Half of COUNT threads wait in read() for ever; the others tick every PERIOD_US. For each
 * line read from standard input it prints the longest time between two ticks of any thread,
 * less the period, since the line before, how long ago that line was, and the number of ticks:
 *
 *	212 us, 300 ms, 7500 ticks
 *
 * A stop is measured to within a period: the thread that was about to tick shows all of it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_US   4000
#define THREADS_MAX 1000
#define STACK_BYTES (64 * 1024)

static _Atomic long longest_ns, ticks;
static int never[2]; /* a pipe into which nobody writes */

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void *tick(void *arg)
{
	struct timespec period = {.tv_nsec = PERIOD_US * 1000};
	long last = now_ns();

	for (;;) {
		long gap, seen;

		nanosleep(&period, NULL);
		gap = now_ns() - last;
		last += gap;
		gap -= PERIOD_US * 1000L;
		seen = atomic_load(&longest_ns);
		while (gap > seen && !atomic_compare_exchange_weak(&longest_ns, &seen, gap))
			;
		atomic_fetch_add(&ticks, 1);
	}
	return arg;
}

static void *block(void *arg)
{
	char byte;

	while (read(never[0], &byte, 1) == 1)
		;
	return arg;
}

static int start(int count)
{
	pthread_attr_t attr;
	pthread_t thread;
	int ret = pipe(never) || pthread_attr_init(&attr) ||
		  pthread_attr_setstacksize(&attr, STACK_BYTES);

	for (int i = 0; i < count && !ret; i++)
		ret = pthread_create(&thread, &attr, i % 2 ? tick : block, NULL);
	return ret;
}

int main(int argc, char **argv)
{
	int count = argc == 2 ? atoi(argv[1]) : 0;
	long since;
	char line[64];

	if (count <= 0 || count > THREADS_MAX) {
		fputs("usage: threads COUNT\n", stderr);
		return 2;
	}
	if (start(count)) {
		fputs("threads: cannot start them\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	since = now_ns();
	/* Stopped like the others, but it does not tick: what it does in between is not measured. */
	while (fgets(line, sizeof(line), stdin)) {
		long now = now_ns();

		printf("%ld us, %ld ms, %ld ticks\n", atomic_exchange(&longest_ns, 0) / 1000,
		       (now - since) / 1000000, atomic_exchange(&ticks, 0));
		fflush(stdout);
		since = now;
	}
	return 0;
}
