// SPDX-License-Identifier: MIT
/*
 * How long a thread stands still that does nothing but allocate and free: bench/gap.h, where
 * a sign of life is a round of ROUND calls of each, and the time it took is its gap.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/gap.h"

#define ROUND  20
#define BLOCKS 64U

static void *allocate(void *arg)
{
	void *blocks[BLOCKS] = {NULL};
	long last = gap_now_ns();
	unsigned int n = 1;

	for (;;) {
		long gap;

		for (int i = 0; i < ROUND; i++) {
			unsigned int at = (n = n * 1103515245U + 12345U) >> 16;

			free(blocks[at % BLOCKS]);
			blocks[at % BLOCKS] = malloc(16 + at % 200);
		}
		gap = gap_now_ns() - last;
		last += gap;
		gap_note(gap);
	}
	return arg;
}

int main(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, allocate, NULL)) {
		fputs("busy: cannot start a thread\n", stderr);
		return 1;
	}
	gap_answer("rounds");
	return 0;
}
