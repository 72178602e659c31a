// SPDX-License-Identifier: MIT
/*
 * Counts its calls of malloc and free, whatever becomes of memattach meanwhile; with one thread it makes
 * no other calls that could stop it.
 *
 *	blocks N	N blocks	-> "calls N", all calls so far
 *	drop		frees them	-> "calls N"
 *	pairs N		N blocks, each freed at once	-> "calls N"
 *	thread N	the same by a new thread that blocks all signals	-> "calls N"
 *	quit		or end of file: the end, status 0
 */
#include <pthread.h>
#include <signal.h>
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

static void pairs(long n)
{
	while (n-- > 0)
		drop(get());
}

static void *run(void *n)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pairs((long)n);
	return NULL;
}

static void by_thread(long n)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, (void *)n) || pthread_join(thread, NULL))
		hurt("no thread");
}

int main(void)
{
	const char *line, *rest;

	/* What the first thread of a program leaves in it. */
	by_thread(1);
	calls = 0;
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if ((rest = after(line, "blocks"))) {
			for (long n = atol(rest); n > 0 && blocks_n < BLOCKS_MAX; n--)
				blocks[blocks_n++] = get();
		} else if (after(line, "drop")) {
			while (blocks_n > 0)
				drop(blocks[--blocks_n]);
		} else if ((rest = after(line, "pairs"))) {
			pairs(atol(rest));
		} else if ((rest = after(line, "thread"))) {
			by_thread(atol(rest));
		} else {
			hurt("unknown command %s", line);
		}
		say("calls %ld", calls);
	}
	return 0;
}
