/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_PROBES_INTERNAL_H
#define MEMATTACH_PROBE_PROBES_INTERNAL_H

/* Shared by probes.c, probes_sample.c, improve.c, remove.c, clean_child.c, nesting.c; by nothing else. */
#include "probe/area.h"
#include "probe/breakpoints.h"
#include "probe/calls.h"
#include "probe/jumps.h"
#include "probe/probes.h"
#include "unwind/compile.h"

struct probes {
	struct tracee *tracee;
	struct unwinder *unwinder;
	struct areas *areas;
	struct breakpoints *breakpoints;
	struct jumps *jumps; /* NULL: breakpoints only */
	struct probe_function
		*considered; /* added, and not yet considered for a jump; own their names */
	size_t considered_n, considered_cap;
	struct unwind_table agent_rows; /* of the agent's code, in every area */
	u32 areas_known;                /* how many areas the walkers know of */
	bool areas_new;                 /* the agent's does not know of all of them yet */
	struct probes_fork *forks;      /* probe/clean_child.c; NULL: none so far */
	u32 forks_n;
	struct probe_host host;
	struct probes_config config;
	u64 sample_seed;
	u64 pcs[UNWIND_MAX_DEPTH + 1];
};

/*
 * Whether thread, which has a SIGTRAP and stands right behind bp, did not get it
 * from bp but from somebody who sent it.
 */
bool probes_was_sent(const struct thread *thread, const struct breakpoint *bp);

/* Remembers an added function for probes_improve. 0 or -ENOMEM. */
int probes_note_function(struct probes *probes, const struct probe_function *function);
void probes_forget_functions(struct probes *probes);
void probes_forget_areas(struct probes *probes);
void probes_forget_forks(struct probes *probes);

/* Whether the agent has called a function for the thread that has not returned yet. */
bool probes_has_open_call(const struct probes *probes, struct thread *thread);

/*
 * If the kept stop of a thread is for a breakpoint of ours that was not served:
 * forgets it, with pc at the breakpoint.
 */
void probes_undo_trap(struct probes *probes, struct thread *thread);

/* Whether thread stands at a return that a debug register watches for us. */
bool probes_watches(const struct thread *thread);

/*
 * With sampling: what of a call that begins is to be recorded, from call->ptr and call->size;
 * ptr becomes 0 if that block is not on the books.
 */
enum call_part probes_sample(const struct probes *probes, struct calls *calls, struct call *call);

/* A block is about to be recorded for a breakpoint: the agent must know that. */
void probes_block_comes(const struct probes *probes, u64 address);

/* The agent's filter has no block at address any more: it was freed, though the books may not know that yet. */
bool probes_block_is_out(const struct probes *probes, u64 address);

/*
 * A realloc of a recorded block, call->ptr, begins at a breakpoint. Sets call->filtered; unless it is set,
 * the event is settled if the realloc succeeds.
 */
void probes_realloc_begins(const struct probes *probes, struct call *call);

/* It has failed, or did not return: the block is on the books again, and in the agent's filter. */
void probes_realloc_undone(const struct probes *probes, const struct call *call);

/* The channel is there: the agent must know of all blocks recorded so far. */
void probes_fill_filter(struct probes *probes);

#endif
