// SPDX-License-Identifier: MIT
/*
 * How long a thread stands still that does nothing but allocate and free. For each line read
 * from standard input it prints the longest time that a round of ROUND calls of each has
 * taken since the line before, how long ago that was, and how many rounds there were:
 *
 *	212 us, 300 ms, 175000 rounds
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUND  20
#define BLOCKS 64U

static _Atomic long longest_ns, rounds;

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void *allocate(void *arg)
{
	void *blocks[BLOCKS] = {NULL};
	long last = now_ns();
	unsigned int n = 1;

	for (;;) {
		long gap;

		for (int i = 0; i < ROUND; i++) {
			unsigned int at = (n = n * 1103515245U + 12345U) >> 16;

			free(blocks[at % BLOCKS]);
			blocks[at % BLOCKS] = malloc(16 + at % 200);
		}
		gap = now_ns() - last;
		last += gap;
		/* Nobody else writes it but to make it 0. */
		if (gap > atomic_load_explicit(&longest_ns, memory_order_relaxed))
			atomic_store_explicit(&longest_ns, gap, memory_order_relaxed);
		atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
	}
	return arg;
}

int main(void)
{
	pthread_t thread;
	char line[64];
	long since;

	if (pthread_create(&thread, NULL, allocate, NULL)) {
		fputs("busy: cannot start a thread\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	since = now_ns();
	while (fgets(line, sizeof(line), stdin)) {
		long now = now_ns();

		printf("%ld us, %ld ms, %ld rounds\n", atomic_exchange(&longest_ns, 0) / 1000,
		       (now - since) / 1000000, atomic_exchange(&rounds, 0));
		fflush(stdout);
		since = now;
	}
	return 0;
}
