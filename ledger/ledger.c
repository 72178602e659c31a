// SPDX-License-Identifier: MIT
/*
 * The ledger applies one event after the other to four parts, each of which
 * explains itself:
 *
 *	blocks   (blocks.h, table.c)  address -> size, stack, time of each live block
 *	sites    (sites.h)            stack -> counters, share at the peak
 *	recent   (recent.h)           thread -> the block its last call returned
 *	estimates (estimates.h)       with sampling: what sites and totals stand for
 *
 * An event costs one or two cache misses, all in the tables of blocks. All that
 * can fail is reserved before anything changes, so that an event is applied
 * whole or not at all. What is asked of the ledger in reports is in ages.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/secret.h"
#include "ledger/ledger_parts.h"

struct ledger *ledger_create(struct err *err)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	const u64 seed[2] = {secret_u64(), secret_u64()};

	if (!ledger) {
		err_set(err, ENOMEM, "out of memory for the ledger of live blocks");
		return NULL;
	}
	sites_init(&ledger->sites);
	recent_init(&ledger->recent);
	estimates_init(&ledger->estimates, 0);
	if (blocks_init(&ledger->blocks, seed)) {
		ledger_destroy(ledger);
		err_set(err, ENOMEM, "out of memory for the ledger of live blocks");
		return NULL;
	}
	return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
	if (!ledger)
		return;
	blocks_deinit(&ledger->blocks);
	sites_deinit(&ledger->sites);
	recent_deinit(&ledger->recent);
	estimates_deinit(&ledger->estimates);
	free(ledger);
}

void ledger_set_sample(struct ledger *ledger, u64 mean)
{
	estimates_deinit(&ledger->estimates);
	estimates_init(&ledger->estimates, mean);
}

static void note_time(struct ledger *ledger, u32 time)
{
	if (time > ledger->now)
		ledger->now = time;
}

/* Takes a block off what is live; it is in the table of blocks no more. */
static inline void drop_live(struct ledger *ledger, const struct ledger_block *block)
{
	sites_drop_live(&ledger->sites, sites_at(&ledger->sites, block->stack), block->size);
	if (ledger_is_sampled(ledger))
		estimates_drop_live(&ledger->estimates, block);
}

/*
 * Makes *block live, in place of one whose free was missed, if there is one.
 * Returns the site of its stack, NULL when out of memory.
 */
static inline __attribute__((always_inline)) struct site *
block_add(struct ledger *ledger, const struct ledger_block *block, u64 hash, u32 time)
{
	struct site *site = sites_reach(&ledger->sites, block->stack);
	bool sampled = ledger_is_sampled(ledger);
	struct ledger_block old;
	int r;

	if (!site || (sampled && estimates_reserve(&ledger->estimates, block->stack)))
		return NULL;
	r = blocks_put(&ledger->blocks, block, hash, &old);
	if (r < 0)
		return NULL;
	if (r) {
		drop_live(ledger, &old);
		ledger->totals.replaced++;
	}
	sites_add_live(&ledger->sites, site, block->size, time);
	if (sampled)
		estimates_add_live(&ledger->estimates, block, time);
	return site;
}

/* With many blocks it is worth while to fetch both places where one may be, even if nobody gave a hint. */
static inline void fetch(const struct ledger *ledger, u64 address, u64 hash)
{
	if (__builtin_expect(ledger->blocks.rest.count > BLOCKS_CACHED, false))
		blocks_prefetch(&ledger->blocks, address, hash);
}

int ledger_alloc(struct ledger *ledger, const struct ledger_block *block, u32 thread)
{
	u64 hash = blocks_hash(&ledger->blocks, block->address);
	struct recent_thread *recent;
	struct site *site;

	fetch(ledger, block->address, hash);
	if (recent_reserve(&ledger->recent, thread, &recent))
		return -ENOMEM;
	site = block_add(ledger, block, hash, block->time);
	if (!site)
		return -ENOMEM;
	note_time(ledger, block->time);
	recent_set(&ledger->recent, recent, thread, block->address, hash);
	site->total_bytes += block->size;
	site->total_allocations++;
	if (site->largest < block->size)
		site->largest = block->size;
	ledger->totals.total_bytes += block->size;
	ledger->totals.total_allocations++;
	if (ledger_is_sampled(ledger))
		estimates_count_alloc(&ledger->estimates, block);
	return 0;
}

void ledger_thread_ended(struct ledger *ledger, u32 thread)
{
	recent_clear(&ledger->recent, thread);
}

void ledger_failed(struct ledger *ledger, u32 thread)
{
	recent_clear(&ledger->recent, thread);
	ledger->totals.failed_allocations++;
}

/* Counts the free of a block that is live no more. */
static inline void count_free(struct ledger *ledger, const struct ledger_block *block,
			      bool temporary)
{
	struct site *site = sites_at(&ledger->sites, block->stack);

	site->total_frees++;
	ledger->totals.total_frees++;
	if (temporary) {
		site->temporary++;
		ledger->totals.temporary++;
	}
	if (ledger_is_sampled(ledger))
		estimates_count_free(&ledger->estimates, block, temporary);
}

static inline bool free_block(struct ledger *ledger, u64 address, u32 thread, u32 time,
			      bool may_be_temporary)
{
	u64 hash = blocks_hash(&ledger->blocks, address);
	struct recent_thread *recent = recent_thread(&ledger->recent, thread);
	struct ledger_block block;
	bool temporary = false;

	fetch(ledger, address, hash);
	note_time(ledger, time);
	if (recent) {
		temporary = recent_is(recent, address) && may_be_temporary;
		recent_leave(&ledger->recent, recent, thread);
	}
	if (!blocks_take(&ledger->blocks, address, hash, &block)) {
		ledger->totals.unknown_frees++;
		return false;
	}
	drop_live(ledger, &block);
	count_free(ledger, &block, temporary);
	return true;
}

bool ledger_free(struct ledger *ledger, u64 address, u32 thread, u32 time)
{
	return free_block(ledger, address, thread, time, !ledger_is_sampled(ledger));
}

bool ledger_free_next(struct ledger *ledger, u64 address, u32 thread, u32 time)
{
	return free_block(ledger, address, thread, time, true);
}

bool ledger_take(struct ledger *ledger, u64 address, struct ledger_block *block)
{
	u64 hash = blocks_hash(&ledger->blocks, address);

	if (!blocks_take(&ledger->blocks, address, hash, block))
		return false;
	recent_take(&ledger->recent, address, hash);
	drop_live(ledger, block);
	return true;
}

void ledger_retire(struct ledger *ledger, const struct ledger_block *block, bool known, u32 thread)
{
	bool temporary = known && !ledger_is_sampled(ledger) &&
			 recent_was_taken(&ledger->recent, thread, block->address);

	recent_clear(&ledger->recent, thread);
	if (known)
		count_free(ledger, block, temporary);
	else
		ledger->totals.unknown_frees++;
}

int ledger_put_back(struct ledger *ledger, const struct ledger_block *block)
{
	u64 hash = blocks_hash(&ledger->blocks, block->address);

	if (!block_add(ledger, block, hash, ledger->now))
		return -ENOMEM;
	/* Only if another block has come to live at the address, whose free was missed. */
	recent_forget(&ledger->recent, block->address, hash);
	return 0;
}

void ledger_prefetch(const struct ledger *ledger, u64 address)
{
	blocks_prefetch(&ledger->blocks, address, blocks_hash(&ledger->blocks, address));
}

bool ledger_wants_hints(const struct ledger *ledger)
{
	return front_buckets(&ledger->blocks.front) > FRONT_CACHED ||
	       ledger->blocks.rest.count > BLOCKS_CACHED;
}

void ledger_totals(const struct ledger *ledger, struct ledger_totals *totals)
{
	*totals = ledger->totals;
	totals->live_bytes = ledger->sites.live_bytes;
	totals->live_blocks = blocks_count(&ledger->blocks);
	totals->peak_bytes = ledger->sites.peak_bytes;
	totals->peak_time = ledger->sites.peak_time;
	if (ledger_is_sampled(ledger))
		estimates_totals(&ledger->estimates, totals);
}

int ledger_visit(const struct ledger *ledger,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx)
{
	return blocks_visit(&ledger->blocks, visit, ctx);
}

size_t ledger_memory(const struct ledger *ledger)
{
	return sizeof(*ledger) + blocks_memory(&ledger->blocks) +
	       chunks_memory(&ledger->sites.all) + recent_memory(&ledger->recent) +
	       chunks_memory(&ledger->estimates.stacks);
}

bool ledger_has(const struct ledger *ledger, u64 address)
{
	return blocks_has(&ledger->blocks, address);
}
