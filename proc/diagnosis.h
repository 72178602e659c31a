/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_DIAGNOSIS_H
#define MEMATTACH_PROC_DIAGNOSIS_H

#include "base/types.h"
#include "proc/usage.h"

/*
 * Reads the figures for the user: sentences, each one finding with its numbers
 * and what follows from it (DESIGN section 8). Pure: no process is asked.
 */
struct diagnosis_input {
	struct proc_usage now, at_attach;
	double seconds; /* between the two */
	/* From the ledger; bytes and counts since attach. */
	u64 live_bytes, live_blocks, peak_bytes;
	u64 total_allocations, total_frees, unknown_frees, temporary;
	u64 swap_in, swap_out_delta; /* growth of swap; 0 when unknown */
	u64 lost_events;
	bool whole_life;      /* profiled from its first instruction: live is all there is */
	bool sampled;         /* the ledger's figures are estimates */
	u64 live_bytes_error; /* standard error, 0 if not sampled */
};

#define DIAGNOSIS_MAX 16

struct diagnosis {
	char *text[DIAGNOSIS_MAX]; /* malloc'ed; whole sentences, most important first */
	u32 n;
};

/* Fills d; release with diagnosis_deinit. 0 or -ENOMEM. */
int diagnose(struct diagnosis *d, const struct diagnosis_input *in);
void diagnosis_deinit(struct diagnosis *d);

#endif
