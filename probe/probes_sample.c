// SPDX-License-Identifier: MIT
/*
 * Sampling on this side: which calls that run into breakpoints are recorded, as the
 * agent decides it for those that come by a jump, and the agent's filter
 * (agent/sample_filter.h), which has to count all recorded blocks, whoever has
 * recorded them.
 */
#include <x86intrin.h>

#include "agent/sample.h"
#include "agent/sample_filter.h"
#include "probe/probes_internal.h"

static u8 *filter_of(const struct probes *probes)
{
	const struct channel_map *map = probes->jumps ? jumps_channel(probes->jumps) : NULL;

	return probes->config.sample && map && map->ours ? map->filter : NULL;
}

void probes_block_comes(const struct probes *probes, u64 address)
{
	u8 *filter = filter_of(probes);

	if (filter)
		sample_filter_add(filter, address);
}

void probes_block_gone(const struct probes *probes, u64 address)
{
	u8 *filter = filter_of(probes);

	if (filter)
		sample_filter_drop(filter, address);
}

bool probes_block_is_out(const struct probes *probes, u64 address)
{
	u8 *filter = filter_of(probes);

	return filter && sample_filter_ask(filter, address) == SAMPLE_FILTER_NO;
}

void probes_realloc_begins(const struct probes *probes, struct call *call)
{
	u8 *filter = filter_of(probes);

	call->filtered = filter != NULL;
	if (filter)
		sample_filter_yield(filter, call->ptr);
}

void probes_realloc_undone(const struct probes *probes, const struct call *call)
{
	if (!call->filtered)
		probes_block_comes(probes, call->ptr);
}

static void add_block(void *probes, u64 address)
{
	probes_block_comes(probes, address);
}

void probes_fill_filter(struct probes *probes)
{
	if (!filter_of(probes))
		return;
	probes->host.enter(probes->host.ctx);
	probes->host.each_block(probes->host.ctx, add_block, probes);
	probes->host.leave(probes->host.ctx);
}

/*
 * Which part of a call is recorded; call->ptr and call->size are set. Its own countdown will
 * do: a thread that makes some of its calls by jumps has two, and each call is
 * decided by one of them.
 */
enum call_part probes_sample(const struct probes *probes, struct calls *calls, struct call *call)
{
	u64 mean = probes->config.sample;

	if (!mean)
		return CALL_WHOLE;
	if (!calls->random)
		sample_begin(&calls->countdown, &calls->random, mean, (u64)(uintptr_t)calls,
			     probes->sample_seed, __rdtsc());
	if (call->ptr && !probes->host.has(probes->host.ctx, call->ptr))
		call->ptr = 0;
	if (sample_step(&calls->countdown, &calls->random, mean, call->size))
		return CALL_WHOLE;
	return call->ptr ? CALL_OLD_BLOCK : CALL_UNRECORDED;
}
