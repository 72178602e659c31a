/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_ESTIMATES_H
#define MEMATTACH_LEDGER_ESTIMATES_H

#include "ledger/chunks.h"
#include "ledger/ledger.h"

/*
 * The figures of a ledger that sees only a random part of the allocations
 * (agent/sample.h): a block of size Z is recorded with probability
 *
 *	p = 1 - exp(-Z / mean)
 *
 * so one that was recorded stands for 1/p blocks and Z/p bytes. Sums of these
 * over the recorded blocks are unbiased estimates of the sums over all blocks
 * (Horvitz and Thompson 1952), and since each block was recorded or not
 * independently of the others, so are
 *
 *	sum of (1-p)/p^2 * Z^2      for bytes
 *	sum of (1-p)/p^2            for blocks
 *
 * of their variances. A block's weight follows from mean and Z alone and is
 * rounded to fixed point before it is added, so that what its free takes away is to
 * the last bit what its allocation has brought.
 */
typedef unsigned __int128 u128;

/* A sum, and the estimated variances of its two parts; 1 is 1 << ESTIMATE_SHIFT. Wraps around. */
#define ESTIMATE_SHIFT 20

struct estimate {
	u128 bytes, blocks;
	u128 bytes_variance, blocks_variance;
};

/* What one recorded block of this size stands for. mean > 0. A block of no bytes stands for itself. */
void estimate_weigh(struct estimate *weight, u64 mean, u64 size);

void estimate_add(struct estimate *sum, const struct estimate *weight);
void estimate_drop(struct estimate *sum, const struct estimate *weight);

/* A figure, and the standard error that belongs to a variance; UINT64_MAX if they are greater. */
u64 estimate_round(u128 figure);
u64 estimate_error(u128 variance);

/* All of them: in total and for each stack. Peak, share and epoch as in sites.h. */
struct estimates {
	u64 mean; /* 0: every allocation is recorded, and nothing of this is used */
	struct chunks stacks;
	struct estimate live, total, frees, temporary;
	u128 peak_bytes, peak_variance;
	u64 epoch;
	u32 peak_time;
};

void estimates_init(struct estimates *estimates, u64 mean);
void estimates_deinit(struct estimates *estimates);

/* Makes room for a stack. 0 or -ENOMEM. The others need it, and mean > 0. */
int estimates_reserve(struct estimates *estimates, u32 stack);

/* A block came to live at time, or ceased to live. */
void estimates_add_live(struct estimates *estimates, const struct ledger_block *block, u32 time);
void estimates_drop_live(struct estimates *estimates, const struct ledger_block *block);

/* An allocation, a free is counted. */
void estimates_count_alloc(struct estimates *estimates, const struct ledger_block *block);
void estimates_count_free(struct estimates *estimates, const struct ledger_block *block,
			  bool temporary);

/* Puts the estimates and their errors in place of what was counted. */
void estimates_totals(const struct estimates *estimates, struct ledger_totals *totals);
void estimates_site(const struct estimates *estimates, struct ledger_site *site);

#endif
