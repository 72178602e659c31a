// SPDX-License-Identifier: MIT
/*
 * How long the threads of a process stand still.
 *
 *	threads COUNT
 *
 * Half of COUNT threads wait in read() for ever; the others tick every PERIOD_US: bench/gap.h,
 * where a sign of life is a tick, and its gap is the time since the last one, less the period.
 *
 * A stop is measured to within a period: the thread that was about to tick shows all of it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/gap.h"

#define PERIOD_US   4000
#define THREADS_MAX 1000
#define STACK_BYTES (64 * 1024)

static int never[2]; /* a pipe into which nobody writes */

static void *tick(void *arg)
{
	struct timespec period = {.tv_nsec = PERIOD_US * 1000};
	long last = gap_now_ns();

	for (;;) {
		long gap;

		nanosleep(&period, NULL);
		gap = gap_now_ns() - last;
		last += gap;
		gap_note(gap - PERIOD_US * 1000L);
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

	if (count <= 0 || count > THREADS_MAX) {
		fputs("usage: threads COUNT\n", stderr);
		return 2;
	}
	if (start(count)) {
		fputs("threads: cannot start them\n", stderr);
		return 1;
	}
	/* Stopped like the others, but it does not tick: what it does in between is not measured. */
	gap_answer("ticks");
	return 0;
}
