// SPDX-License-Identifier: MIT
/*
 * Our side of the areas: which slots are taken, and what stands in them. How
 * they get into the target and out again is in area_map.c.
 */
#include "probe/area_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "attach/ptrace.h"
#include "base/guard.h"
#include "base/vec.h"

struct areas *areas_create(struct tracee *tracee, bool jumps, struct err *err)
{
	struct areas *areas = calloc(1, sizeof(*areas));

	if (!areas) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	areas->tracee = tracee;
	areas->jumps = jumps;
	return areas;
}

void areas_destroy(struct areas *areas)
{
	if (!areas)
		return;
	free(areas->items);
	free(areas->free_slots);
	free(areas);
}

void areas_set_entry(struct areas *areas, u64 entry, u64 *unfinished)
{
	areas->entry = entry;
	areas->unfinished = unfinished;
}

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

bool area_reaches(u64 start, u64 address)
{
	return distance(start, address) < AREA_REACH;
}

/* One that was given back last of all: a thread may be about to return to it from a call yet. */
u64 areas_take_slot(struct areas *areas, u64 address)
{
	for (size_t i = 0; i < areas->n; i++) {
		struct area *area = &areas->items[i];

		if (area_reaches(area->start, address) && area->used < AGENT_SLOT_COUNT)
			return area->start + AGENT_SLOTS + AGENT_SLOT_SIZE * area->used++;
	}
	for (size_t i = 0; i < areas->free_n; i++) {
		u64 slot = areas->free_slots[i];

		if (!area_reaches(slot, address))
			continue;
		memmove(areas->free_slots + i, areas->free_slots + i + 1,
			(--areas->free_n - i) * sizeof(u64));
		return slot;
	}
	return 0;
}

/* The area that address is in, NULL if it is in none. */
static const struct area *area_of(const struct areas *areas, u64 address)
{
	for (size_t i = 0; i < areas->n; i++)
		if (address - areas->items[i].start < AGENT_AREA_SIZE)
			return &areas->items[i];
	return NULL;
}

bool areas_find(const struct areas *areas, u64 address, u64 *start)
{
	const struct area *area = area_of(areas, address);

	if (area)
		*start = area->start;
	return area != NULL;
}

static u64 table_entry(u64 slot)
{
	u64 start = slot & ~(AGENT_AREA_SIZE - 1);

	return start + AGENT_TABLE + (slot - start - AGENT_SLOTS) / AGENT_SLOT_SIZE * sizeof(u64);
}

int areas_write_slot(struct areas *areas, u64 at, u64 address, const struct agent_slot *slot)
{
	const struct proc_mem *mem = tracee_mem(areas->tracee);
	u64 entry = AGENT_ENTRY(address, slot->original[0]);
	/* The code first: the agent believes the table. */
	int ret = proc_mem_write(mem, at, slot, sizeof(*slot));

	return ret ? ret : proc_mem_write(mem, table_entry(at), &entry, sizeof(entry));
}

void areas_give_slot(struct areas *areas, u64 slot)
{
	u64 none = 0;

	/* A slot that cannot be struck from the table or noted as free is merely not used again. */
	if (slot &&
	    proc_mem_write(tracee_mem(areas->tracee), table_entry(slot), &none, sizeof(none)) ==
		    0 &&
	    vec_reserve((void **)&areas->free_slots, &areas->free_cap, areas->free_n + 1,
			sizeof(u64)) == 0)
		areas->free_slots[areas->free_n++] = slot;
}

u32 areas_count(const struct areas *areas)
{
	return (u32)areas->n;
}

u64 areas_start(const struct areas *areas, u32 i)
{
	return areas->items[i].start;
}

bool areas_any(const struct areas *areas)
{
	return areas->n > 0;
}

bool areas_wanted(const struct areas *areas, u64 address)
{
	if (areas->refused || !areas->entry)
		return false;
	for (size_t i = 0; i < areas->n; i++)
		if (area_reaches(areas->items[i].start, address) &&
		    areas->items[i].used < AGENT_SLOT_COUNT)
			return false;
	for (size_t i = 0; i < areas->free_n; i++)
		if (area_reaches(areas->free_slots[i], address))
			return false;
	return true;
}

/* The first byte of a rewritten call: push of an imm32 (probe/relocate_x86_64.c, put_push). */
#define PUSH_IMM32 0x68

enum area_place areas_translate(const struct areas *areas, struct thread_regs *regs, bool jumps)
{
	const struct proc_mem *mem = tracee_mem(areas->tracee);
	u64 pc = regs_pc(regs), at = pc & ~(AGENT_SLOT_SIZE - 1);
	const struct area *area = area_of(areas, pc);
	struct agent_slot slot;
	u64 entry;

	if (!area)
		return AREA_OUTSIDE;
	if (pc - area->start < AGENT_SLOTS || pc - area->start >= AGENT_CONTROL)
		return AREA_IN_AGENT;
	if (proc_mem_read(mem, table_entry(at), &entry, sizeof(entry)) != (ssize_t)sizeof(entry) ||
	    proc_mem_read(mem, at, &slot, sizeof(slot)) != (ssize_t)sizeof(slot) || !entry ||
	    pc - at >= AGENT_SLOT_CODE || (slot.flags & AGENT_SLOT_JUMP && !jumps))
		return AREA_IN_AGENT;
	for (u32 i = 1; i < slot.steps && i < AGENT_SLOT_STEPS; i++) {
		if (pc != at + slot.to[i])
			continue;
		regs->u.rip = AGENT_ENTRY_ADDRESS(entry) + slot.from[i];
		return AREA_BEHIND;
	}
	if (pc != at && slot.flags & AGENT_SLOT_PROLOGUE)
		return AREA_IN_AGENT;
	/* A call of which the first half, a push, is done. */
	if (pc != at && slot.steps == 1 && slot.code[0] == PUSH_IMM32)
		regs->u.rsp += sizeof(u64);
	regs->u.rip = AGENT_ENTRY_ADDRESS(entry);
	return AREA_AT_BREAKPOINT;
}

/* Whether a table names a breakpoint at address. Reads them all: not for a hot path. */
static bool is_breakpoint(const struct areas *areas, u64 address)
{
	_cleanup_free_ u64 *table = malloc(AGENT_SLOT_COUNT * sizeof(u64));

	for (size_t i = 0; i < areas->n && table; i++) {
		ssize_t n = proc_mem_read(tracee_mem(areas->tracee),
					  areas->items[i].start + AGENT_TABLE, table,
					  AGENT_SLOT_COUNT * sizeof(u64));

		for (ssize_t k = 0; k < n / (ssize_t)sizeof(u64); k++)
			if (table[k] && AGENT_ENTRY_ADDRESS(table[k]) == address)
				return true;
	}
	return false;
}

void areas_undo_trap(const struct areas *areas, struct thread *thread)
{
	u64 pc = regs_pc(&thread->regs);
	siginfo_t info;

	if (!thread->has_status || trace_event_decode(thread->status) != EVENT_TRAP ||
	    pt(PTRACE_GETSIGINFO, thread->tid, 0, (u64)(uintptr_t)&info) ||
	    info.si_code != SI_KERNEL)
		return;
	if (is_breakpoint(areas, pc - BREAKPOINT_LENGTH)) {
		if (tracee_set_pc(thread, pc - BREAKPOINT_LENGTH) == 0)
			tracee_drop_signal(thread);
	} else if (area_of(areas, pc) || is_breakpoint(areas, pc)) {
		/* The tracer that is gone had moved the pc already. */
		tracee_drop_signal(thread);
	}
}

int areas_switch(struct areas *areas, const struct agent_control *control)
{
	int first = 0;

	areas->control = *control;
	for (size_t i = 0; i < areas->n && areas->jumps; i++) {
		int ret = proc_mem_write(tracee_mem(areas->tracee),
					 areas->items[i].start + AGENT_CONTROL, &areas->control,
					 sizeof(areas->control));

		if (ret && !first)
			first = ret;
	}
	return first;
}

void areas_forget(struct areas *areas)
{
	areas->control = (struct agent_control){0};
	areas->n = 0;
	areas->free_n = 0;
	areas->refused = false;
}
