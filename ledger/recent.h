/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_RECENT_H
#define MEMATTACH_LEDGER_RECENT_H

#include "base/types.h"
#include "ledger/chunks.h"

/*
 * For each thread the block that its last allocator call returned, if it was
 * an allocation: a temporary block is one that the thread frees with its next
 * call. Two views of the same pairs:
 *
 *	by thread:   thread -> address         (chunks, one item a thread)
 *	by address:  address -> thread         (hash table chained through the items)
 *
 * The second is needed because another thread may free the block, and the
 * address be allocated again: then it is no more the block that was meant. It goes
 * by the upper half of a hash that the caller has at hand: that of blocks.h.
 */
enum recent_state {
	RECENT_NONE,  /* the last call was no allocation, or its block has gone */
	RECENT_BLOCK, /* the last call returned the block at address; in the hash table */
	RECENT_TAKEN, /* the same, but a realloc has taken the block; not in the hash table */
};

struct recent_thread {
	u64 address;
	u32 hash; /* of address */
	u32 next; /* in the chain of the hash table: thread + 1, or 0 */
	u32 state;
};

#define RECENT_SHIFT 6 /* so many bits of a thread's number are its place in a chunk */

struct recent {
	struct chunks threads; /* struct recent_thread */
	u32 *head;             /* nheads of them: thread + 1, or 0 */
	u32 nheads;            /* a power of two, or 0 */
	u32 nthreads;          /* one more than the highest thread seen */
};

/* Threads with greater numbers are not followed: their blocks never count as temporary. */
#define RECENT_MAX_THREADS (1U << 20)

void recent_init(struct recent *recent);
void recent_deinit(struct recent *recent);

/* What is noted of a thread; NULL: nothing. (chunks_get, with what is known here.) */
static inline struct recent_thread *recent_thread(const struct recent *recent, u32 thread)
{
	struct recent_thread *chunk;

	if (thread >= recent->nthreads)
		return NULL;
	chunk = (struct recent_thread *)recent->threads.chunk[thread >> RECENT_SHIFT];
	return chunk ? &chunk[thread & ((1U << RECENT_SHIFT) - 1)] : NULL;
}

int recent_make_room(struct recent *recent, u32 thread);

/* The thread's, for which room is made if need be: 0 or -ENOMEM. *t is NULL if it is not followed. */
static inline int recent_reserve(struct recent *recent, u32 thread, struct recent_thread **t)
{
	int ret = 0;

	*t = recent_thread(recent, thread);
	if (__builtin_expect(!*t, false)) {
		ret = recent_make_room(recent, thread);
		*t = recent_thread(recent, thread);
	}
	return ret;
}

/* The chain of a hash; there are heads once there is a thread. */
static inline u32 *recent_head(const struct recent *recent, u32 hash)
{
	return &recent->head[hash & (recent->nheads - 1)];
}

/* Takes the thread whose last block is at address out of a chain of the hash table; NULL: it is not there. */
struct recent_thread *recent_unchain(const struct recent *recent, u32 *head, u64 address);

/* The thread, whose entry is t, made another allocator call. */
static inline void recent_leave(const struct recent *recent, struct recent_thread *t, u32 thread)
{
	if (t->state == RECENT_BLOCK) {
		u32 *head = recent_head(recent, t->hash);

		/* Most chains have one. */
		if (__builtin_expect(*head == thread + 1, true))
			*head = t->next;
		else
			recent_unchain(recent, head, t->address);
	}
	t->state = RECENT_NONE;
}

/* The same; it may have no entry. */
static inline void recent_clear(struct recent *recent, u32 thread)
{
	struct recent_thread *t = recent_thread(recent, thread);

	if (t)
		recent_leave(recent, t, thread);
}

/*
 * Another block comes to live at address: no thread's last call returned this
 * one. (Not needed when a block goes: nobody can free it before there is another.)
 */
static inline void recent_forget_in(struct recent *recent, u32 *head, u64 address)
{
	struct recent_thread *t;

	if (__builtin_expect(!*head, true))
		return;
	t = recent_unchain(recent, head, address);
	if (t)
		t->state = RECENT_NONE;
}

static inline void recent_forget(struct recent *recent, u64 address, u64 hash)
{
	if (recent->nheads)
		recent_forget_in(recent, recent_head(recent, (u32)(hash >> 32)), address);
}

/* The thread's last call returned the block at address. t: from recent_reserve. */
static inline void recent_set(struct recent *recent, struct recent_thread *t, u32 thread,
			      u64 address, u64 hash)
{
	u32 *head;

	if (__builtin_expect(!t, false)) {
		recent_forget(recent, address, hash);
		return;
	}
	recent_leave(recent, t, thread);
	head = recent_head(recent, (u32)(hash >> 32));
	recent_forget_in(recent, head, address);
	*t = (struct recent_thread){address, (u32)(hash >> 32), *head, RECENT_BLOCK};
	*head = thread + 1;
}

/*
 * The block at address is taken out by a realloc, whose thread will be known
 * when it returns: like recent_forget, but recent_was_taken still knows it.
 */
void recent_take(struct recent *recent, u64 address, u64 hash);

/* True if the thread's last call returned the block that is now at address. */
static inline bool recent_is(const struct recent_thread *t, u64 address)
{
	return t->state == RECENT_BLOCK && t->address == address;
}

/* True if the thread's last call returned the block that recent_take took from address. */
bool recent_was_taken(const struct recent *recent, u32 thread, u64 address);

/* Bytes of memory occupied. */
size_t recent_memory(const struct recent *recent);

#endif
