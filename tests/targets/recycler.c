// SPDX-License-Identifier: MIT
/*
 * An allocator whose realloc is in no hurry: when it has freed the block, another thread gets that, and
 * frees it, before realloc returns.
 *
 *	move	two blocks beside each other, one of which gets such a realloc	-> "moved"
 *	fail	the same with one that fails					-> "failed"
 *	free	both are freed							-> "freed"
 *	quit	or end of file: the end, status 0
 */
#include <pthread.h>
#include <stdlib.h>

#include "talk.h"

/* So great that it is always sampled, and so small that it hardly ever is: no memory stands behind it. */
#define GREAT ((size_t)1 << 40)
#define SMALL 1
/* And one that is refused. */
#define TOO_GREAT (2 * GREAT)

#define BLOCKS 8

static _Alignas(1024) char heap[BLOCKS][64];
static int taken[BLOCKS];
static pthread_barrier_t freed, recycled;
static void *volatile expected;

static void *take(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		if (taken[i])
			continue;
		taken[i] = 1;
		return heap[i];
	}
	return NULL;
}

static void give(void *block)
{
	taken[((char *)block - heap[0]) / 64] = 0;
}

/* Allocators by their names. */
NOINLINE void *je_malloc(size_t size)
{
	void *p = take();

	KEEP(size);
	return p;
}

NOINLINE void je_free(void *p)
{
	give(p);
	KEEP(p);
}

NOINLINE void *je_realloc(void *old, size_t size)
{
	void *p = size < TOO_GREAT ? take() : NULL;

	if (!p)
		return NULL;
	give(old);
	expected = old;
	pthread_barrier_wait(&freed);
	pthread_barrier_wait(&recycled);
	return p;
}

static void *recycle(void *arg)
{
	for (;;) {
		void *p;

		pthread_barrier_wait(&freed);
		p = je_malloc(SMALL);
		if (p != expected)
			hurt("another block");
		je_free(p);
		pthread_barrier_wait(&recycled);
	}
	return arg;
}

static void *blocks[2];

static void work(size_t wanted)
{
	void *moved;

	blocks[0] = je_malloc(GREAT);
	blocks[1] = je_malloc(GREAT);
	moved = je_realloc(blocks[0], wanted);
	if (!moved != (wanted == TOO_GREAT))
		hurt("a realloc went wrong");
	if (moved)
		blocks[0] = moved;
}

int main(void)
{
	const char *line;
	pthread_t thread;

	if (pthread_barrier_init(&freed, NULL, 2) || pthread_barrier_init(&recycled, NULL, 2) ||
	    pthread_create(&thread, NULL, recycle, NULL))
		hurt("no thread");
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if (after(line, "move")) {
			work(GREAT);
			say("moved");
		} else if (after(line, "fail")) {
			work(TOO_GREAT);
			say("failed");
		} else if (after(line, "free")) {
			je_free(blocks[0]);
			je_free(blocks[1]);
			say("freed");
		} else {
			hurt("unknown command %s", line);
		}
	}
	return 0;
}
