// SPDX-License-Identifier: MIT
/*
 * A target that holds blocks.
 *
 *	hold
 *
 * For each number read from standard input it allocates so many more blocks of 16 to 80 bytes, from
 * a few hundred stacks, keeps them, and prints how many it has; "ready" comes first.
 */
#include <stdio.h>
#include <stdlib.h>

/* So that blocks are never out of reach. */
struct block {
	struct block *before;
};

static struct block *last;
static unsigned long held;

/* Down by the bits of path, to allocate at the bottom: as many stacks as there are paths. */
__attribute__((noinline)) static void hold(unsigned int path, int depth)
{
	struct block *block;

	if (depth > 0 && path & 1) {
		hold(path >> 1, depth - 1);
		__asm__ volatile("# odd" : : : "memory");
		return;
	}
	if (depth > 0) {
		hold(path >> 1, depth - 1);
		__asm__ volatile("# even" : : : "memory");
		return;
	}
	block = malloc(16 + held % 5 * 16);
	if (!block)
		abort();
	block->before = last;
	last = block;
	held++;
}

int main(void)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (long more = atol(line); more > 0; more--)
			hold((unsigned int)more, 8);
		printf("%lu\n", held);
		fflush(stdout);
	}
	return 0;
}
