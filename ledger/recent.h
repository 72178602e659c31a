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
 * address be allocated again: then it is no more the block that was meant.
 */
struct recent {
	struct chunks threads; /* struct recent_thread */
	u32 *head;             /* nheads of them: thread + 1, or 0 */
	u32 nheads;            /* a power of two, or 0 */
	u32 nthreads;          /* one more than the highest thread seen */
	u64 seed;
};

/* Threads with greater numbers are not followed: their blocks never count as temporary. */
#define RECENT_MAX_THREADS (1U << 20)

void recent_init(struct recent *recent, u64 seed);
void recent_deinit(struct recent *recent);

/* Makes room for thread. Returns 0 or -ENOMEM. */
int recent_reserve(struct recent *recent, u32 thread);

/* The thread's last call returned the block at address. Needs recent_reserve. */
void recent_set(struct recent *recent, u32 thread, u64 address);

/* The thread made another allocator call. */
void recent_clear(struct recent *recent, u32 thread);

/*
 * Another block comes to live at address: no thread's last call returned this
 * one. (Not needed when a block goes: nobody can free it before there is another.)
 */
void recent_forget(struct recent *recent, u64 address);

/*
 * The block at address is taken out by a realloc, whose thread will be known
 * when it returns: like recent_forget, but recent_was_taken still knows it.
 */
void recent_take(struct recent *recent, u64 address);

/* True if the thread's last call returned the block that is now at address. */
bool recent_is(const struct recent *recent, u32 thread, u64 address);

/* True if the thread's last call returned the block that recent_take took from address. */
bool recent_was_taken(const struct recent *recent, u32 thread, u64 address);

/* Bytes of memory occupied. */
size_t recent_memory(const struct recent *recent);

#endif
