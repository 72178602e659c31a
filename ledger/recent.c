// SPDX-License-Identifier: MIT
#include "ledger/recent.h"

#include <errno.h>
#include <stdlib.h>

#define HEADS_MIN 16

_Static_assert((sizeof(struct recent_thread) << RECENT_SHIFT) % 64 == 0, "as chunks have it");

void recent_init(struct recent *recent)
{
	*recent = (struct recent){0};
	chunks_init(&recent->threads, sizeof(struct recent_thread), RECENT_SHIFT);
}

void recent_deinit(struct recent *recent)
{
	chunks_deinit(&recent->threads);
	free(recent->head);
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
		struct recent_thread *t = recent_thread(recent, i);

		if (!t || t->state != RECENT_BLOCK)
			continue;
		t->next = head[t->hash & (n - 1)];
		head[t->hash & (n - 1)] = i + 1;
	}
	return 0;
}

int recent_make_room(struct recent *recent, u32 thread)
{
	if (thread >= RECENT_MAX_THREADS)
		return 0;
	if (heads_reserve(recent, thread + 1) || !chunks_reach(&recent->threads, thread))
		return -ENOMEM;
	if (recent->nthreads <= thread)
		recent->nthreads = thread + 1;
	return 0;
}

struct recent_thread *recent_unchain(const struct recent *recent, u32 *head, u64 address)
{
	for (u32 *link = head; *link;) {
		struct recent_thread *t = recent_thread(recent, *link - 1);

		if (t->address == address) {
			*link = t->next;
			return t;
		}
		link = &t->next;
	}
	return NULL;
}

void recent_take(struct recent *recent, u64 address, u64 hash)
{
	struct recent_thread *t = NULL;

	if (recent->nheads)
		t = recent_unchain(recent, recent_head(recent, (u32)(hash >> 32)), address);
	if (t)
		t->state = RECENT_TAKEN;
}

bool recent_was_taken(const struct recent *recent, u32 thread, u64 address)
{
	const struct recent_thread *t = recent_thread(recent, thread);

	return t && t->state == RECENT_TAKEN && t->address == address;
}

size_t recent_memory(const struct recent *recent)
{
	return chunks_memory(&recent->threads) + recent->nheads * sizeof(*recent->head);
}
