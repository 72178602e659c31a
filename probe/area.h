/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AREA_H
#define MEMATTACH_PROBE_AREA_H

#include "agent/abi.h"
#include "attach/inject.h"
#include "attach/tracee.h"
#include "base/err.h"
#include "base/types.h"
#include "probe/relocate_x86_64.h"

/*
 * Areas: memory that we map into the target (its layout is in agent/abi.h), for
 * the slots in which displaced instructions run and for the agent that takes
 * over if we are killed. An instruction with a rip-relative operand needs a slot
 * within 2 GB, so there is one area near each cluster of modules. All are
 * unmapped on detach.
 */
struct areas;

/* jumps: they shall have a control page, for jump probes. NULL with err filled when out of memory. */
struct areas *areas_create(struct tracee *tracee, bool jumps, struct err *err);

/* Frees what is ours; the target's side is areas_unmap. */
void areas_destroy(struct areas *areas);

/*
 * Where system calls are made from: the address of code that the target will
 * not run again, the program's entry point. *unfinished, if not NULL, holds where
 * an area is being mapped until it has its header.
 */
void areas_set_entry(struct areas *areas, u64 entry, u64 *unfinished);

/* The address of a free slot within 2 GB of address, in an area that exists; 0 if there is none. */
u64 areas_take_slot(struct areas *areas, u64 address);

/*
 * Writes a slot, and in the table of its area that it is for the function or
 * breakpoint at address, under which stands its first original byte. 0 or -errno.
 */
int areas_write_slot(struct areas *areas, u64 at, u64 address, const struct agent_slot *slot);

/* Gives back a slot that nothing jumps to any more. 0 is no slot. */
void areas_give_slot(struct areas *areas, u64 slot);

/*
 * Maps one more area near address, with all threads stopped for the system calls, which
 * are made in thread if that is possible (NULL: in any).
 * If the target filters system calls the filter is suspended for it; where that
 * is not permitted nothing is injected. 0 or -errno; then there is no area near
 * address, and breakpoints there are stepped over.
 */
int areas_map(struct areas *areas, u64 address, struct thread *thread, struct err *err);

/*
 * The kernel takes the handler of SIGTRAP away when a thread that blocks the
 * signal runs into an int3. Whether that has happened, and how to put the agent
 * back, with all threads stopped. 0 or -errno.
 */
bool areas_agent_is_lost(const struct areas *areas);
int areas_restore_agent(struct areas *areas, struct err *err);

/* Where system calls can be made, preferably in thread, which may be NULL: see inject_begin. */
struct inject_place areas_place(const struct areas *areas, const struct thread *thread);

/* The same in a forked child with the memory mem. */
struct inject_place areas_place_of(const struct areas *areas, pid_t child,
				   const struct proc_mem *mem);

/*
 * Tells the agent of all areas, and of those to come, where the channel is: calls
 * are recorded. All 0: they are passed on. 0 or -errno.
 */
int areas_switch(struct areas *areas, const struct agent_control *control);

/* Takes charge of an area that another memattach has left at start. 0 or -ENOMEM. */
int areas_adopt(struct areas *areas, u64 start);

/* Whether address is in an area, whose beginning goes to *start. */
bool areas_find(const struct areas *areas, u64 address, u64 *start);

/* How many there are, and where they begin. */
u32 areas_count(const struct areas *areas);
u64 areas_start(const struct areas *areas, u32 i);

/* Whether there is any area. */
bool areas_any(const struct areas *areas);

/* Whether mapping one near address is wanted: areas_take_slot would fail, and mapping has not been refused. */
bool areas_wanted(const struct areas *areas, u64 address);

enum area_place {
	AREA_OUTSIDE,       /* not in an area: nothing to do */
	AREA_AT_BREAKPOINT, /* the displaced instruction has not been executed */
	AREA_BEHIND,        /* it has been executed */
	AREA_IN_AGENT,      /* in the agent's code, or where nothing can be said: let it run on */
};

/*
 * Where a thread with these registers stands. If it is in a slot, *regs is
 * changed to what it would be in the target's own text (a rewritten call that
 * is half done is undone); the caller writes them back. jumps: also in the slots
 * of jump probes, whose functions must be whole again.
 */
enum area_place areas_translate(const struct areas *areas, struct thread_regs *regs, bool jumps);

/*
 * If the kept stop of the thread (has_status) is for a breakpoint that an area's
 * table names: forgets the stop, with pc at the breakpoint, as if the int3 had
 * never been. For when nobody is there to serve it.
 */
void areas_undo_trap(const struct areas *areas, struct thread *thread);

/*
 * Puts the target's SIGTRAP action back and unmaps all, in a stopped thread that
 * stands outside them. 0 or -errno.
 */
int areas_unmap(struct areas *areas, struct thread *thread, struct err *err);

/* The same in a forked child, which stands in its first stop and has copies of all. */
int areas_unmap_child(const struct areas *areas, pid_t child, const struct proc_mem *mem,
		      struct err *err);

/* exec: the address space is gone, with all areas. */
void areas_forget(struct areas *areas);

#endif
