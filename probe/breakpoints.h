/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_BREAKPOINTS_H
#define MEMATTACH_PROBE_BREAKPOINTS_H

#include "attach/tracee.h"
#include "base/err.h"
#include "base/types.h"
#include "probe/allocators.h"
#include "probe/area.h"

/*
 * The int3 bytes in the target. One is planted with a single byte written, which
 * is safe while threads run, and stays until detach: a thread goes past it by
 * running the displaced instruction in a slot (probe/area.h). Where no slot can
 * be had, every other thread is stopped for one single step.
 */
struct breakpoints;

enum breakpoint_use {
	USE_ENTRY = 1,      /* first byte of an allocator function: spec tells which */
	USE_RETURN = 2,     /* somebody called an allocator from just before here */
	USE_RENDEZVOUS = 4, /* r_brk of the dynamic linker */
};

struct breakpoint {
	u64 address;
	u64 slot;     /* 0: step */
	u32 module;   /* id of symbols/modules.h, to forget it with its module */
	u8 uses;      /* enum breakpoint_use, or'ed */
	u8 displaced; /* bytes whose instructions are in the slot; 0: step */
	u8 original
		[PROLOGUE_DISPLACED]; /* what the target has there: displaced bytes, at least 1 */
	u8 length;                    /* of the first instruction; 0: step */
	bool custom;                  /* a function that the user named */
	bool planted;                 /* the int3 is there */
	bool jump;       /* a jump to the slot's stub is there: nobody runs into it any more */
	bool lifted;     /* the original byte is there again; a thread may yet come from it */
	bool slot_tried; /* a slot was asked for and there is none */
	struct call_spec spec;
};

struct breakpoints *breakpoints_create(struct tracee *tracee, struct areas *areas, struct err *err);
void breakpoints_destroy(struct breakpoints *breakpoints);

/* The breakpoint at address, or NULL. Valid until the next plant or forget. */
struct breakpoint *breakpoints_find(const struct breakpoints *breakpoints, u64 address);

/*
 * Makes ready a breakpoint at address, which belongs to a private file mapping,
 * or adds a use to the one there. spec may be NULL unless use is USE_ENTRY. 0;
 * -EBUSY if another debugger's breakpoint is there; -errno with err filled.
 */
int breakpoints_add(struct breakpoints *breakpoints, u64 address, u32 module,
		    enum breakpoint_use use, const struct call_spec *spec, struct err *err);

/*
 * Writes the int3 of all that were added: one byte each and nothing else, since the
 * first thread to run into one waits until the last is there. 0 or -errno.
 */
int breakpoints_plant(struct breakpoints *breakpoints, struct err *err);

/*
 * Puts the original byte back under a planted breakpoint that is not needed any
 * more. It is still found: threads may have run into it. 0 or -errno.
 */
int breakpoints_retire(struct breakpoints *breakpoints, struct breakpoint *bp);

/* The jump to its slot's stub has been written over it. */
void breakpoints_note_jump(struct breakpoints *breakpoints, struct breakpoint *bp);

/* The breakpoint at position i < breakpoints_count, in the order in which they were added. */
struct breakpoint *breakpoints_at(const struct breakpoints *breakpoints, u32 i);

/* Forgets all breakpoints of a module that has been unmapped. */
void breakpoints_forget_module(struct breakpoints *breakpoints, u32 module);

/* Forgets all, without writing: the address space is gone. */
void breakpoints_forget_all(struct breakpoints *breakpoints);

/*
 * Puts every original byte back into mem (the target's, or that of a forked
 * child), where our int3 or jump is still there. Returns the first -errno, but
 * tries all. Where a jump is, all threads must be stopped.
 */
int breakpoints_lift(const struct breakpoints *breakpoints, const struct proc_mem *mem);

/*
 * The same in a forked child, which has what there was when it was born: since then the
 * parent's breakpoints may have become jumps, have been retired, or be gone with their module.
 */
int breakpoints_lift_child(const struct breakpoints *breakpoints, const struct proc_mem *mem);

/*
 * Makes a thread that stands on breakpoint bp (pc at it or, after the int3,
 * behind that) go past it: sets its pc to the slot, or, without one, steps it
 * over with all others stopped. The thread is stopped afterwards. -errno; -EAGAIN
 * when the step was cut short and pc is back on the breakpoint.
 */
int breakpoints_pass(struct breakpoints *breakpoints, struct breakpoint *bp, struct thread *thread);

/*
 * Finds a slot for the breakpoint at address, if it has none; an area is mapped for
 * it if need be and possible, in the stopped thread.
 */
void breakpoints_find_slot(struct breakpoints *breakpoints, u64 address, struct thread *thread);

u32 breakpoints_count(const struct breakpoints *breakpoints);

#endif
