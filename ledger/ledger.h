/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_LEDGER_H
#define MEMATTACH_LEDGER_LEDGER_H

#include "base/err.h"
#include "base/types.h"

/*
 * The ledger: which blocks are live, and what each call stack has allocated.
 * Pure data: no process, no files. Sizes in bytes as the program asked for
 * them, times in milliseconds since the ledger was created, stacks as ids of
 * ledger/stacks.h, threads as small dense numbers given by the caller (0, 1, ...).
 *
 * Rules: a block is freed before the target's free runs and allocated after
 * the allocation returned, so that events can be applied as they come. A
 * successful realloc is the free of one block and the allocation of another,
 * at realloc's stack, even when the address stays. A failed one changes nothing
 * but the count of failures.
 */
struct ledger;

/* One live block. */
struct ledger_block {
	u64 address;
	u64 size;
	u32 stack;
	u32 time; /* ms, when it was allocated */
};

struct ledger_totals {
	u64 live_bytes, live_blocks;
	u64 total_bytes, total_allocations;
	u64 total_frees;   /* of blocks that the ledger knew */
	u64 unknown_frees; /* of blocks from before attach (or that were missed) */
	u64 failed_allocations;
	u64 replaced; /* an allocation returned an address that was still live: its free was missed */
	u64 temporary;  /* freed by the same thread as its next allocator call */
	u64 peak_bytes; /* the most live bytes at one time */
	u32 peak_time;  /* when that was */
	/* With sampling (ledger_set_sample), else 0: the number of allocations that the others are
	 * estimated from, and the standard errors of the estimates. */
	u64 recorded_allocations;
	u64 live_bytes_error, live_blocks_error, peak_bytes_error;
	u64 total_bytes_error, total_allocations_error, total_frees_error, temporary_error;
};

/* What one stack has done. */
struct ledger_site {
	u32 stack;
	u64 live_bytes, live_blocks;
	u64 peak_bytes; /* this stack's live bytes when the whole ledger was at its peak */
	u64 total_bytes, total_allocations, total_frees, temporary;
	u64 largest;                /* the largest single request */
	u32 oldest_age, median_age; /* of its live blocks, ms; 0 if none is live */
	/* With sampling: standard errors. largest and the ages are those of the recorded blocks. */
	u64 live_bytes_error, live_blocks_error, total_bytes_error, total_allocations_error;
};

/* NULL and err filled when out of memory. */
struct ledger *ledger_create(struct err *err);
void ledger_destroy(struct ledger *ledger);

/*
 * Before the first event: the events to come are only those of a random part of
 * the allocations, as agent/sample.h chooses them, mean bytes apart (up to 2^40; 0:
 * all of them, as if this had not been called). Totals and sites are then
 * unbiased estimates of what they would be with all of them, with standard errors
 * (ledger/estimates.h). Unknown frees are not reported: nearly all are of blocks
 * that were not recorded. Failures and replaced blocks are counted as they come.
 */
void ledger_set_sample(struct ledger *ledger, u64 mean);

/*
 * A block was allocated. A block that was still live at that address is
 * dropped and counted in replaced (its live bytes go, its free was missed).
 * Returns 0 or -ENOMEM; then the ledger is as before.
 */
int ledger_alloc(struct ledger *ledger, const struct ledger_block *block, u32 thread);

/* The thread has ended, and its number may be given to another one. */
void ledger_thread_ended(struct ledger *ledger, u32 thread);

/* An allocation returned NULL. */
void ledger_failed(struct ledger *ledger, u32 thread);

/*
 * The block at address is about to be freed by thread. Returns true if it was
 * live, else counts an unknown free. NULL frees are not to be passed on.
 */
bool ledger_free(struct ledger *ledger, u64 address, u32 thread, u32 time);

/*
 * With sampling: the same, and the caller knows that thread has allocated
 * nothing, recorded or not, since its last allocation that was recorded
 * (channel_thread.countdown is what it was then). Only such a free can make a
 * block temporary; ledger_free and ledger_retire count none, as most calls
 * between are not seen.
 */
bool ledger_free_next(struct ledger *ledger, u64 address, u32 thread, u32 time);

/* Whether a block that the ledger knows is live at address. */
bool ledger_has(const struct ledger *ledger, u64 address);

/*
 * realloc, in two steps. take removes the block at address, before realloc
 * runs, into *block and returns true; false if it is not known. Then either
 * retire, when realloc succeeded (counts a free; with known false, an unknown
 * one), followed by ledger_alloc for the new block; or put_back, when it failed,
 * which restores the block with its age and stack (needs known true).
 * put_back returns 0 or -ENOMEM.
 */
bool ledger_take(struct ledger *ledger, u64 address, struct ledger_block *block);
void ledger_retire(struct ledger *ledger, const struct ledger_block *block, bool known, u32 thread);
int ledger_put_back(struct ledger *ledger, const struct ledger_block *block);

/*
 * A hint: an event about the block at address comes soon. With many blocks nearly all time of
 * an event is a wait for memory; a caller that has several events at hand, and gives the hint a
 * few events ahead, gets through them twice as fast. With few, all is in the processor's
 * cache, and hints are not wanted.
 */
void ledger_prefetch(const struct ledger *ledger, u64 address);
bool ledger_wants_hints(const struct ledger *ledger);

void ledger_totals(const struct ledger *ledger, struct ledger_totals *totals);

/*
 * All stacks that ever allocated, in no order, into a malloc'ed array that the
 * caller frees. now (ms) is what ages are counted from. Costs one pass over the
 * live blocks. Returns 0 or -ENOMEM.
 */
int ledger_sites(const struct ledger *ledger, u32 now, struct ledger_site **sites, size_t *count,
		 struct err *err);

/* Calls visit for every live block, in no order, until it returns non-zero; returns that. */
int ledger_visit(const struct ledger *ledger,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx);

/* Bytes of memory that the ledger occupies now. */
size_t ledger_memory(const struct ledger *ledger);

#endif
