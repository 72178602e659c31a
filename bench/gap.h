/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BENCH_GAP_H
#define MEMATTACH_BENCH_GAP_H

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/*
 * The longest gap between two signs of life of a thread, for programs that are asked for it. One
 * program is one file: it is all in here.
 */
static _Atomic long gap_longest_ns, gap_signs;

static inline long gap_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* A sign of life, ns after it was due. From any thread. */
static inline void gap_note(long ns)
{
	long seen = atomic_load_explicit(&gap_longest_ns, memory_order_relaxed);

	while (ns > seen && !atomic_compare_exchange_weak(&gap_longest_ns, &seen, ns))
		;
	atomic_fetch_add_explicit(&gap_signs, 1, memory_order_relaxed);
}

/*
 * Says "ready". Then for each line read from standard input prints the longest gap since the
 * line before, how long ago that was, and how many signs there were, and what they are called:
 *
 *	212 us, 300 ms, 7500 ticks
 */
static inline void gap_answer(const char *signs)
{
	long since = gap_now_ns();
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long now = gap_now_ns();

		printf("%ld us, %ld ms, %ld %s\n", atomic_exchange(&gap_longest_ns, 0) / 1000,
		       (now - since) / 1000000, atomic_exchange(&gap_signs, 0), signs);
		fflush(stdout);
		since = now;
	}
}

#endif
