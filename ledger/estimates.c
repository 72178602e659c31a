// SPDX-License-Identifier: MIT
#include "ledger/estimates.h"

#include <errno.h>
#include <math.h>

/* 16 stacks, 3 KB, in a chunk. */
#define STACK_SHIFT 4

struct stack_estimates {
	struct estimate live, total;
	u128 frees, temporary; /* blocks */
	u128 share;            /* bytes */
	u64 epoch;
};

/* With a mean of 2^40 nothing comes near the bound. */
static u128 fixed(double figure)
{
	double scaled = ldexp(figure, ESTIMATE_SHIFT);

	return scaled < 0x1p126 ? (u128)(scaled + 0.5) : (u128)1 << 126;
}

void estimate_weigh(struct estimate *weight, u64 mean, u64 size)
{
	double bytes = (double)size, x = bytes / (double)mean;
	double p = -expm1(-x), variance;

	if (size == 0) {
		*weight = (struct estimate){.blocks = fixed(1)};
		return;
	}
	variance = exp(-x) / (p * p);
	*weight = (struct estimate){
		.bytes = fixed(bytes / p),
		.blocks = fixed(1 / p),
		.bytes_variance = fixed(variance * bytes * bytes),
		.blocks_variance = fixed(variance),
	};
}

void estimate_add(struct estimate *sum, const struct estimate *weight)
{
	sum->bytes += weight->bytes;
	sum->blocks += weight->blocks;
	sum->bytes_variance += weight->bytes_variance;
	sum->blocks_variance += weight->blocks_variance;
}

void estimate_drop(struct estimate *sum, const struct estimate *weight)
{
	sum->bytes -= weight->bytes;
	sum->blocks -= weight->blocks;
	sum->bytes_variance -= weight->bytes_variance;
	sum->blocks_variance -= weight->blocks_variance;
}

u64 estimate_round(u128 figure)
{
	u128 whole = (figure >> ESTIMATE_SHIFT) + (figure >> (ESTIMATE_SHIFT - 1) & 1);

	return whole > UINT64_MAX ? UINT64_MAX : (u64)whole;
}

u64 estimate_error(u128 variance)
{
	/* At most 2^54: the root of 128 bits less ESTIMATE_SHIFT. */
	return (u64)(sqrt(ldexp((double)variance, -ESTIMATE_SHIFT)) + 0.5);
}

void estimates_init(struct estimates *estimates, u64 mean)
{
	*estimates = (struct estimates){.mean = mean};
	chunks_init(&estimates->stacks, sizeof(struct stack_estimates), STACK_SHIFT);
}

void estimates_deinit(struct estimates *estimates)
{
	chunks_deinit(&estimates->stacks);
}

int estimates_reserve(struct estimates *estimates, u32 stack)
{
	return chunks_reach(&estimates->stacks, stack) ? 0 : -ENOMEM;
}

static struct stack_estimates *stack_at(const struct estimates *estimates, u32 stack)
{
	return chunks_at(&estimates->stacks, stack);
}

static u128 share_of(const struct estimates *estimates, const struct stack_estimates *stack)
{
	return stack->epoch == estimates->epoch ? stack->share : stack->live.bytes;
}

/* To be called before a stack's live bytes change. */
static void settle_share(const struct estimates *estimates, struct stack_estimates *stack)
{
	stack->share = share_of(estimates, stack);
	stack->epoch = estimates->epoch;
}

void estimates_add_live(struct estimates *estimates, const struct ledger_block *block, u32 time)
{
	struct stack_estimates *stack = stack_at(estimates, block->stack);
	struct estimate weight;

	estimate_weigh(&weight, estimates->mean, block->size);
	settle_share(estimates, stack);
	estimate_add(&stack->live, &weight);
	estimate_add(&estimates->live, &weight);
	if (estimates->live.bytes <= estimates->peak_bytes)
		return;
	estimates->peak_bytes = estimates->live.bytes;
	estimates->peak_variance = estimates->live.bytes_variance;
	estimates->peak_time = time;
	estimates->epoch++;
}

void estimates_drop_live(struct estimates *estimates, const struct ledger_block *block)
{
	struct stack_estimates *stack = stack_at(estimates, block->stack);
	struct estimate weight;

	estimate_weigh(&weight, estimates->mean, block->size);
	settle_share(estimates, stack);
	estimate_drop(&stack->live, &weight);
	estimate_drop(&estimates->live, &weight);
}

void estimates_count_alloc(struct estimates *estimates, const struct ledger_block *block)
{
	struct estimate weight;

	estimate_weigh(&weight, estimates->mean, block->size);
	estimate_add(&stack_at(estimates, block->stack)->total, &weight);
	estimate_add(&estimates->total, &weight);
}

void estimates_count_free(struct estimates *estimates, const struct ledger_block *block,
			  bool temporary)
{
	struct stack_estimates *stack = stack_at(estimates, block->stack);
	struct estimate weight;

	estimate_weigh(&weight, estimates->mean, block->size);
	stack->frees += weight.blocks;
	estimate_add(&estimates->frees, &weight);
	if (!temporary)
		return;
	stack->temporary += weight.blocks;
	estimate_add(&estimates->temporary, &weight);
}

void estimates_totals(const struct estimates *estimates, struct ledger_totals *totals)
{
	const struct estimates *e = estimates;

	totals->recorded_allocations = totals->total_allocations;
	totals->live_bytes = estimate_round(e->live.bytes);
	totals->live_blocks = estimate_round(e->live.blocks);
	totals->total_bytes = estimate_round(e->total.bytes);
	totals->total_allocations = estimate_round(e->total.blocks);
	totals->total_frees = estimate_round(e->frees.blocks);
	totals->unknown_frees = 0;
	totals->temporary = estimate_round(e->temporary.blocks);
	totals->peak_bytes = estimate_round(e->peak_bytes);
	totals->peak_time = e->peak_time;
	totals->live_bytes_error = estimate_error(e->live.bytes_variance);
	totals->live_blocks_error = estimate_error(e->live.blocks_variance);
	totals->total_bytes_error = estimate_error(e->total.bytes_variance);
	totals->total_allocations_error = estimate_error(e->total.blocks_variance);
	totals->total_frees_error = estimate_error(e->frees.blocks_variance);
	totals->temporary_error = estimate_error(e->temporary.blocks_variance);
	totals->peak_bytes_error = estimate_error(e->peak_variance);
}

void estimates_site(const struct estimates *estimates, struct ledger_site *site)
{
	const struct stack_estimates *stack = stack_at(estimates, site->stack);

	site->live_bytes = estimate_round(stack->live.bytes);
	site->live_blocks = estimate_round(stack->live.blocks);
	site->peak_bytes = estimate_round(share_of(estimates, stack));
	site->total_bytes = estimate_round(stack->total.bytes);
	site->total_allocations = estimate_round(stack->total.blocks);
	site->total_frees = estimate_round(stack->frees);
	site->temporary = estimate_round(stack->temporary);
	site->live_bytes_error = estimate_error(stack->live.bytes_variance);
	site->live_blocks_error = estimate_error(stack->live.blocks_variance);
	site->total_bytes_error = estimate_error(stack->total.bytes_variance);
	site->total_allocations_error = estimate_error(stack->total.blocks_variance);
}
