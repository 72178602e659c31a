// SPDX-License-Identifier: MIT
/*
 * The thread table: an array in no order for walks, and beside it a hash of
 * tids with linear probing, which is looked up at every stop.
 */
#include "attach/thread.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/vec.h"

struct threads {
	struct thread **items;
	size_t n, cap;
	struct thread **slots; /* capacity mask + 1, at most half full */
	u32 mask;
	u32 *free_indices;
	size_t free_n, free_cap;
	u32 next_index;
};

static u32 home(const struct threads *threads, pid_t tid)
{
	return (u32)hash_u64((u64)tid) & threads->mask;
}

struct threads *threads_create(void)
{
	struct threads *threads = calloc(1, sizeof(*threads));

	if (!threads)
		return NULL;
	threads->mask = 63;
	threads->slots = calloc(threads->mask + 1, sizeof(struct thread *));
	if (!threads->slots) {
		free(threads);
		return NULL;
	}
	return threads;
}

void threads_destroy(struct threads *threads)
{
	if (!threads)
		return;
	for (size_t i = 0; i < threads->n; i++)
		free(threads->items[i]);
	free(threads->items);
	free(threads->slots);
	free(threads->free_indices);
	free(threads);
}

static void place(struct threads *threads, struct thread *thread)
{
	u32 i = home(threads, thread->tid);

	while (threads->slots[i])
		i = (i + 1) & threads->mask;
	threads->slots[i] = thread;
}

static int rehash(struct threads *threads, u32 mask)
{
	struct thread **slots = calloc((size_t)mask + 1, sizeof(struct thread *));

	if (!slots)
		return -1;
	free(threads->slots);
	threads->slots = slots;
	threads->mask = mask;
	for (size_t i = 0; i < threads->n; i++)
		place(threads, threads->items[i]);
	return 0;
}

struct thread *threads_add(struct threads *threads, pid_t tid)
{
	struct thread *thread;

	/* Room to give the index back is made here, so that remove cannot fail. */
	if (vec_reserve((void **)&threads->items, &threads->cap, threads->n + 1,
			sizeof(struct thread *)) ||
	    vec_reserve((void **)&threads->free_indices, &threads->free_cap,
			(size_t)threads->next_index + 1, sizeof(u32)))
		return NULL;
	if ((threads->n + 1) * 2 > threads->mask && rehash(threads, threads->mask * 2 + 1))
		return NULL;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->tid = tid;
	thread->index =
		threads->free_n ? threads->free_indices[--threads->free_n] : threads->next_index++;
	threads->items[threads->n++] = thread;
	place(threads, thread);
	return thread;
}

struct thread *threads_find(const struct threads *threads, pid_t tid)
{
	for (u32 i = home(threads, tid); threads->slots[i]; i = (i + 1) & threads->mask)
		if (threads->slots[i]->tid == tid)
			return threads->slots[i];
	return NULL;
}

void threads_remove(struct threads *threads, struct thread *thread)
{
	u32 i = home(threads, thread->tid);

	for (size_t n = 0; n < threads->n; n++) {
		if (threads->items[n] == thread) {
			threads->items[n] = threads->items[--threads->n];
			break;
		}
	}
	while (threads->slots[i] != thread)
		i = (i + 1) & threads->mask;
	threads->slots[i] = NULL;
	/* Close the gap: whoever stands behind it in the same run may belong before it. */
	for (u32 j = (i + 1) & threads->mask; threads->slots[j]; j = (j + 1) & threads->mask) {
		struct thread *moved = threads->slots[j];

		threads->slots[j] = NULL;
		place(threads, moved);
	}
	threads->free_indices[threads->free_n++] = thread->index;
	free(thread);
}

struct thread *threads_at(const struct threads *threads, u32 i)
{
	return threads->items[i];
}

u32 threads_count(const struct threads *threads)
{
	return (u32)threads->n;
}
