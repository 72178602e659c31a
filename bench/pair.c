// SPDX-License-Identifier: MIT
/*
 * A target that times its own malloc/free pairs.
 *
 *	pair DEPTH [PAIRS]
 *
 * Allocates DEPTH calls deep. For each number read from standard input it makes so
 * many pairs and prints the nanoseconds of one; "ready" comes first. With PAIRS it does
 * that once, without asking.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double time_pairs(long pairs)
{
	double start = now_ns();

	for (long i = 0; i < pairs; i++) {
		char *block = malloc(64);

		/* The compiler may leave out a pair that nobody looks at. */
		__asm__ volatile("" : : "r"(block) : "memory");
		free(block);
	}
	return (now_ns() - start) / (double)pairs;
}

__attribute__((noinline)) static double descend(int depth, long pairs)
{
	double ns = depth > 1 ? descend(depth - 1, pairs) : time_pairs(pairs);

	/* Keeps this frame: no tail call. */
	__asm__ volatile("" : : : "memory");
	return ns;
}

int main(int argc, char **argv)
{
	int depth = argc > 1 ? atoi(argv[1]) : 1;
	char line[64];

	if (argc > 2) {
		printf("%.1f\n", descend(depth, atol(argv[2])));
		return 0;
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		long pairs = atol(line);

		printf("%.1f\n", descend(depth, pairs > 0 ? pairs : 1));
		fflush(stdout);
	}
	return 0;
}
