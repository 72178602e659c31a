// SPDX-License-Identifier: MIT
#include "ledger/sites.h"

/* 32 sites, 2 KB, in a chunk. */
#define SITE_SHIFT 5

void sites_init(struct sites *sites)
{
	*sites = (struct sites){0};
	chunks_init(&sites->all, sizeof(struct site), SITE_SHIFT);
}

void sites_deinit(struct sites *sites)
{
	chunks_deinit(&sites->all);
}

struct site *sites_reach(struct sites *sites, u32 stack)
{
	return chunks_reach(&sites->all, stack);
}

u64 sites_share(const struct sites *sites, const struct site *site)
{
	return site->epoch == sites->epoch ? site->share : site->live_bytes;
}

/* To be called before a site's live bytes change. */
static void settle_share(const struct sites *sites, struct site *site)
{
	site->share = sites_share(sites, site);
	site->epoch = sites->epoch;
}

void sites_add_live(struct sites *sites, struct site *site, u64 size, u32 time)
{
	settle_share(sites, site);
	site->live_bytes += size;
	site->live_blocks++;
	sites->live_bytes += size;
	if (sites->live_bytes > sites->peak_bytes) {
		sites->peak_bytes = sites->live_bytes;
		sites->peak_time = time;
		sites->epoch++;
	}
}

void sites_drop_live(struct sites *sites, struct site *site, u64 size)
{
	settle_share(sites, site);
	site->live_bytes -= size;
	site->live_blocks--;
	sites->live_bytes -= size;
}
