/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_SITES_H
#define MEMATTACH_LEDGER_SITES_H

#include "base/types.h"
#include "ledger/chunks.h"

/*
 * The counters of each stack, and the share that each had at the global peak.
 *
 * While a program grows nearly every allocation is a new peak, and noting the
 * share of every stack each time would cost far too much. But a stack's share
 * changes only with the stack itself. So each new peak only gets a number, the
 * epoch; each stack remembers its share and up to which epoch it is right; and
 * when its live bytes are about to change and there were peaks since, then at
 * the last of them it had the live bytes that it has right now:
 *
 *	epoch           1  2  3           4  5
 *	live, all      /--/--/\__  ______/--/--\__
 *	live, stack s  _/-------\____________________
 *	                 ^       ^
 *	                 |       change: epoch 1 < 3, so the share at 3 is what is live now
 *	                 change: share at 1
 *	read at the end: epoch 3 < 5, so the share at 5 is what is live now
 */
struct site {
	u64 live_bytes, live_blocks;
	u64 total_bytes, total_allocations, total_frees, temporary;
	u64 largest;
	u64 share; /* live_bytes at peak number epoch */
	u64 epoch;
};

struct sites {
	struct chunks all; /* struct site, by stack id */
	u64 live_bytes;
	u64 peak_bytes;
	u64 epoch; /* the number of the last peak */
	u32 peak_time;
};

#define SITES_SHIFT 5 /* 32 sites in a chunk */

void sites_init(struct sites *sites);
void sites_deinit(struct sites *sites);

/* The counters of a stack that sites_reach has made. (chunks_at, with what is known here.) */
static inline struct site *sites_at(const struct sites *sites, u32 stack)
{
	struct site *chunk = (struct site *)sites->all.chunk[stack >> SITES_SHIFT];

	return &chunk[stack & ((1U << SITES_SHIFT) - 1)];
}

/* The counters of a stack, made if need be; NULL when out of memory. */
static inline struct site *sites_reach(struct sites *sites, u32 stack)
{
	size_t chunk = stack >> SITES_SHIFT;

	if (__builtin_expect(chunk < sites->all.n && sites->all.chunk[chunk], true))
		return sites_at(sites, stack);
	return chunks_reach(&sites->all, stack);
}

/* The stack's live bytes when all live bytes were at their peak. */
static inline u64 sites_share(const struct sites *sites, const struct site *site)
{
	return site->epoch == sites->epoch ? site->share : site->live_bytes;
}

/* To be called before a site's live bytes change. */
static inline void sites_settle(const struct sites *sites, struct site *site)
{
	if (site->epoch == sites->epoch)
		return;
	site->share = site->live_bytes;
	site->epoch = sites->epoch;
}

/* A block of this size came to live at time, or ceased to live. Totals and counts are the caller's. */
static inline void sites_add_live(struct sites *sites, struct site *site, u64 size, u32 time)
{
	sites_settle(sites, site);
	site->live_bytes += size;
	site->live_blocks++;
	sites->live_bytes += size;
	if (sites->live_bytes > sites->peak_bytes) {
		sites->peak_bytes = sites->live_bytes;
		sites->peak_time = time;
		sites->epoch++;
	}
}

static inline void sites_drop_live(struct sites *sites, struct site *site, u64 size)
{
	sites_settle(sites, site);
	site->live_bytes -= size;
	site->live_blocks--;
	sites->live_bytes -= size;
}

#endif
