// SPDX-License-Identifier: MIT
/*
 * ledger_sites: the counters are ready; the ages of the live blocks are not, and
 * take one pass. The times of all live blocks are sorted by stack into one
 * array, with as much room for each stack as it has live blocks (a counting
 * sort, whose counts the ledger keeps anyhow):
 *
 *	times:  [ stack 0 ........ | stack 1 .. | stack 3 ................ ]
 *	                            ^ end of stack 0's part so far: grows
 *
 * 4 bytes a block, 40 MB for 10 million, until the report is made.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/guard.h"
#include "ledger/ledger_parts.h"
#include "ledger/median.h"

struct ages {
	size_t *end; /* by stack: where its next time goes */
	u32 *times;
};

static int age_add(void *ctx, const struct ledger_block *block)
{
	struct ages *ages = ctx;

	ages->times[ages->end[block->stack]++] = block->time;
	return 0;
}

/* Age at now of a block that was allocated at time; a clock that went back makes it 0. */
static u32 age(u32 now, u32 time)
{
	return now > time ? now - time : 0;
}

static void site_fill(const struct sites *sites, u32 stack, u32 now, u32 *times,
		      struct ledger_site *out)
{
	const struct site *site = sites_at(sites, stack);

	*out = (struct ledger_site){
		.stack = stack,
		.live_bytes = site->live_bytes,
		.live_blocks = site->live_blocks,
		.peak_bytes = sites_share(sites, site),
		.total_bytes = site->total_bytes,
		.total_allocations = site->total_allocations,
		.total_frees = site->total_frees,
		.temporary = site->temporary,
		.largest = site->largest,
	};
	for (u64 i = 0; i < site->live_blocks; i++) {
		times[i] = age(now, times[i]);
		if (out->oldest_age < times[i])
			out->oldest_age = times[i];
	}
	if (site->live_blocks)
		out->median_age = median_u32(times, site->live_blocks);
}

/* Where each stack's part begins, into end[]; returns how many stacks ever allocated. */
static size_t parts_lay_out(const struct sites *sites, size_t *end)
{
	size_t nstacks = chunks_end(&sites->all);
	size_t count = 0, at = 0;

	for (size_t i = 0; i < nstacks; i++) {
		const struct site *site = chunks_get(&sites->all, i);

		end[i] = at;
		if (!site)
			continue;
		at += site->live_blocks;
		count += site->total_allocations != 0;
	}
	return count;
}

int ledger_sites(const struct ledger *ledger, u32 now, struct ledger_site **sites, size_t *count,
		 struct err *err)
{
	const struct sites *all = &ledger->sites;
	size_t nstacks = chunks_end(&all->all);
	_cleanup_free_ size_t *end = calloc(nstacks + 1, sizeof(*end));
	_cleanup_free_ u32 *times = calloc(blocks_count(&ledger->blocks) + 1, sizeof(*times));
	struct ages ages = {end, times};
	struct ledger_site *out = NULL;
	size_t n = 0;

	if (end && times) {
		n = parts_lay_out(all, end);
		out = calloc(n + 1, sizeof(*out));
	}
	if (!out)
		return err_set(err, ENOMEM, "out of memory for the report of %llu live blocks",
			       (unsigned long long)blocks_count(&ledger->blocks));
	ledger_visit(ledger, age_add, &ages);
	n = 0;
	for (size_t i = 0; i < nstacks; i++) {
		const struct site *site = chunks_get(&all->all, i);

		if (!site || !site->total_allocations)
			continue;
		site_fill(all, (u32)i, now, times + (end[i] - site->live_blocks), &out[n]);
		if (ledger_is_sampled(ledger))
			estimates_site(&ledger->estimates, &out[n]);
		n++;
	}
	*sites = out;
	*count = n;
	return 0;
}
