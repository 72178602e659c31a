// SPDX-License-Identifier: MIT
/*
 * Counts its calls of malloc and free, whatever becomes of memattach meanwhile; one thread, and no
 * other calls that could stop it.
 *
 *	blocks N	N blocks	-> "calls N", all calls so far
 *	drop		frees them	-> "calls N"
 *	pairs N		N blocks, each freed at once	-> "calls N"
 *	quit		or end of file: the end, status 0
 */
#include <stdlib.h>

#include "talk.h"

#define BLOCKS_MAX 1000000

static char *blocks[BLOCKS_MAX];
static long blocks_n, calls;

NOINLINE static char *get(void)
{
	char *p = malloc(40);

	if (!p)
		hurt("no memory");
	p[0] = 1;
	calls++;
	return p;
}

NOINLINE static void drop(char *p)
{
	if (p[0] != 1)
		hurt("a block was overwritten");
	free(p);
	calls++;
}

int main(void)
{
	const char *line, *rest;

	free(malloc(1));
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if ((rest = after(line, "blocks"))) {
			for (long n = atol(rest); n > 0 && blocks_n < BLOCKS_MAX; n--)
				blocks[blocks_n++] = get();
		} else if (after(line, "drop")) {
			while (blocks_n > 0)
				drop(blocks[--blocks_n]);
		} else if ((rest = after(line, "pairs"))) {
			for (long n = atol(rest); n > 0; n--)
				drop(get());
		} else {
			hurt("unknown command %s", line);
		}
		say("calls %ld", calls);
	}
	return 0;
}
