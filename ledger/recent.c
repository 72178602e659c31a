// SPDX-License-Identifier: MIT
#include "ledger/recent.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

#define THREAD_SHIFT 6
#define HEADS_MIN    16

enum recent_state {
	RECENT_NONE,  /* the last call was no allocation, or its block has gone */
	RECENT_BLOCK, /* the last call returned the block at address; in the hash table */
	RECENT_TAKEN, /* the same, but a realloc has taken the block; not in the hash table */
};

struct recent_thread {
	u64 address;
	u32 next; /* in the chain of the hash table: thread + 1, or 0 */
	u32 state;
};

void recent_init(struct recent *recent, u64 seed)
{
	*recent = (struct recent){.seed = seed};
	chunks_init(&recent->threads, sizeof(struct recent_thread), THREAD_SHIFT);
}

void recent_deinit(struct recent *recent)
{
	chunks_deinit(&recent->threads);
	free(recent->head);
}

static u32 *head_of(const struct recent *recent, u64 address)
{
	return &recent->head[hash_u64(address ^ recent->seed) & (recent->nheads - 1)];
}

static struct recent_thread *thread_get(const struct recent *recent, u32 thread)
{
	return chunks_get(&recent->threads, thread);
}

static void chain_add(struct recent *recent, struct recent_thread *t, u32 thread)
{
	u32 *head = head_of(recent, t->address);

	t->next = *head;
	*head = thread + 1;
}

/* Doubles the heads until there are as many as threads. */
static int heads_reserve(struct recent *recent, u32 nthreads)
{
	u32 n = recent->nheads ? recent->nheads : HEADS_MIN;
	u32 *head;

	while (n < nthreads)
		n *= 2;
	if (n == recent->nheads)
		return 0;
	head = calloc(n, sizeof(*head));
	if (!head)
		return -ENOMEM;
	free(recent->head);
	recent->head = head;
	recent->nheads = n;
	for (u32 i = 0; i < recent->nthreads; i++) {
		struct recent_thread *t = thread_get(recent, i);

		if (t && t->state == RECENT_BLOCK)
			chain_add(recent, t, i);
	}
	return 0;
}

int recent_reserve(struct recent *recent, u32 thread)
{
	if (thread >= RECENT_MAX_THREADS ||
	    (thread < recent->nthreads && thread_get(recent, thread)))
		return 0;
	if (heads_reserve(recent, thread + 1) || !chunks_reach(&recent->threads, thread))
		return -ENOMEM;
	if (recent->nthreads <= thread)
		recent->nthreads = thread + 1;
	return 0;
}

/* Takes the thread whose last block is at address out of the hash table; NULL if there is none. */
static struct recent_thread *chain_remove(struct recent *recent, u64 address)
{
	u32 *link;

	if (!recent->nheads)
		return NULL;
	for (link = head_of(recent, address); *link;) {
		struct recent_thread *t = thread_get(recent, *link - 1);

		if (t->address == address) {
			*link = t->next;
			return t;
		}
		link = &t->next;
	}
	return NULL;
}

void recent_clear(struct recent *recent, u32 thread)
{
	struct recent_thread *t = thread_get(recent, thread);

	if (!t)
		return;
	if (t->state == RECENT_BLOCK)
		chain_remove(recent, t->address);
	t->state = RECENT_NONE;
}

void recent_set(struct recent *recent, u32 thread, u64 address)
{
	struct recent_thread *t;

	recent_forget(recent, address);
	recent_clear(recent, thread);
	t = thread < RECENT_MAX_THREADS ? thread_get(recent, thread) : NULL;
	if (!t)
		return;
	t->address = address;
	t->state = RECENT_BLOCK;
	chain_add(recent, t, thread);
}

void recent_forget(struct recent *recent, u64 address)
{
	struct recent_thread *t = chain_remove(recent, address);

	if (t)
		t->state = RECENT_NONE;
}

void recent_take(struct recent *recent, u64 address)
{
	struct recent_thread *t = chain_remove(recent, address);

	if (t)
		t->state = RECENT_TAKEN;
}

static bool thread_in_state(const struct recent *recent, u32 thread, u64 address, u32 state)
{
	const struct recent_thread *t = thread_get(recent, thread);

	return t && t->state == state && t->address == address;
}

bool recent_is(const struct recent *recent, u32 thread, u64 address)
{
	return thread_in_state(recent, thread, address, RECENT_BLOCK);
}

bool recent_was_taken(const struct recent *recent, u32 thread, u64 address)
{
	return thread_in_state(recent, thread, address, RECENT_TAKEN);
}

size_t recent_memory(const struct recent *recent)
{
	return chunks_memory(&recent->threads) + recent->nheads * sizeof(*recent->head);
}
