/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_JUMP_PLAN_H
#define MEMATTACH_PROBE_JUMP_PLAN_H

#include "base/err.h"
#include "base/types.h"
#include "probe/breakpoints.h"
#include "probe/probes.h"
#include "proc/mem.h"

/* Whether a function may become a jump: the questions to probe/jump_safety_x86_64.h, asked of a process. */

/* Whether the processor and the kernel have what the agent needs. 0; -EOPNOTSUPP with err filled. */
int jump_plan_check_cpu(struct err *err);

/* The functions that are looked at together. */
struct jump_plan {
	const struct proc_mem *mem;
	const struct breakpoints *breakpoints;
	u64 *probed; /* all functions with a probe, ascending */
	size_t probed_n;
	u64 *known; /* without those that the user named: their arguments are in registers */
	size_t known_n;
	struct jump_range *ranges; /* of the functions, ascending */
	size_t ranges_n;
};

/*
 * Reads the text of their modules once. On success release with jump_plan_deinit.
 * 0 or -ENOMEM.
 */
int jump_plan_init(struct jump_plan *plan, const struct proc_mem *mem,
		   const struct breakpoints *breakpoints, const struct probe_function *functions,
		   size_t n);
void jump_plan_deinit(struct jump_plan *plan);

/*
 * Whether function, which has breakpoint bp, may become a jump; *leaf: it calls no
 * other function with a probe, as far as can be seen (functions that it calls may: not
 * one of an allocator's but a realloc does that). If not, *why says why.
 */
bool jump_plan_is_safe(const struct jump_plan *plan, const struct probe_function *function,
		       const struct breakpoint *bp, bool *leaf, const char **why);

#endif
