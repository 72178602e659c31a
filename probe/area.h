/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AREA_H
#define MEMATTACH_PROBE_AREA_H

#include "attach/tracee.h"
#include "base/err.h"
#include "base/types.h"

/*
 * Areas: anonymous executable memory that we map into the target, private and
 * not inherited by its forks, for the slots in which displaced instructions
 * run. An instruction with a rip-relative operand needs a slot within 2 GB, so
 * there is one area near each cluster of modules. All are unmapped on detach.
 */
struct areas;

struct areas *areas_create(struct tracee *tracee, struct err *err);

/* Frees what is ours; the target's side is areas_unmap. */
void areas_destroy(struct areas *areas);

/*
 * Where system calls are made from until there is an area: the address of code
 * that the target will not run again, the program's entry point.
 */
void areas_set_entry(struct areas *areas, u64 entry);

/* The address of a free slot within 2 GB of address, in an area that exists; 0 if there is none. */
u64 areas_take_slot(struct areas *areas, u64 address);

/* Gives back a slot that nothing jumps to any more. */
void areas_give_slot(struct areas *areas, u64 slot);

/*
 * Maps one more area near address, making the system call in a stopped thread.
 * If the target filters system calls the filter is suspended for it; where that
 * is not permitted nothing is injected. 0 or -errno; then there is no area near
 * address, and breakpoints there are stepped over.
 */
int areas_map(struct areas *areas, u64 address, struct thread *thread, struct err *err);

/* Whether pc lies in one of the areas. */
bool areas_contain(const struct areas *areas, u64 pc);

/* Whether there is any area. */
bool areas_any(const struct areas *areas);

/* Whether a thread is needed to map one near address: areas_take_slot would fail, and mapping has not been refused. */
bool areas_wanted(const struct areas *areas, u64 address);

/* Unmaps all, in a stopped thread that stands outside them. 0 or -errno. */
int areas_unmap(struct areas *areas, struct thread *thread, struct err *err);

#endif
