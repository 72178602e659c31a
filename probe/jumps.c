// SPDX-License-Identifier: MIT
#include "probe/jumps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "base/vec.h"
#include "probe/calls.h"
#include "probe/jump_x86_64.h"
#include "probe/stack_scan.h"
#include "proc/waiting.h"

/* A function that is, or may become, a jump. */
struct jump {
	u64 address;
	u32 module;
	bool waiting;
};

struct jumps {
	struct tracee *tracee;
	struct areas *areas;
	struct breakpoints *breakpoints;
	struct probes_config config;
	struct probe_host host;
	struct channel_map channel;
	struct ring_reader *reader;
	struct tables *tables;
	struct jump *items;
	size_t n, cap;
	bool failed; /* there will be no channel */
};

struct jumps *jumps_create(struct tracee *tracee, struct areas *areas,
			   struct breakpoints *breakpoints, const struct probes_config *config,
			   const struct probe_host *host, struct err *err)
{
	struct jumps *j = calloc(1, sizeof(*j));

	if (!j) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	j->tracee = tracee;
	j->areas = areas;
	j->breakpoints = breakpoints;
	j->config = *config;
	j->host = *host;
	return j;
}

void jumps_destroy(struct jumps *j)
{
	if (!j)
		return;
	tables_destroy(j->tables);
	ring_reader_destroy(j->reader);
	channel_map_deinit(&j->channel);
	free(j->items);
	free(j);
}

bool jumps_is_open(const struct jumps *j)
{
	return j->channel.ours != NULL;
}

int jumps_open(struct jumps *j, struct thread *thread, struct err *err)
{
	struct inject_place place = areas_place(j->areas, thread);
	struct channel_settings settings = {.depth = j->config.depth, .sample = j->config.sample};
	int ret;

	if (j->failed)
		return -EOPNOTSUPP;
	if (jumps_is_open(j))
		return 0;
	j->failed = true;
	ret = jump_plan_check_cpu(err);
	if (ret)
		return ret;
	ret = channel_map_create(&j->channel, &place, &settings, err);
	thread->regs_valid = false;
	/* No thread can make a call now, but one will. */
	if (ret == -EAGAIN)
		j->failed = false;
	if (ret)
		return ret;
	j->reader = ring_reader_create(j->channel.ours, &j->host, err);
	j->tables = tables_create(j->channel.ours, j->channel.size, err);
	if (!j->reader || !j->tables) {
		jumps_close(j, thread, NULL);
		return -ENOMEM;
	}
	j->failed = false;
	return 0;
}

static int refuse(struct jumps *j, const struct probe_function *function, const char *why)
{
	log_line(&j->config.log, j->config.mode == PROBES_JUMP ? LOG_WARN : LOG_VERBOSE,
		 "%s is probed by a breakpoint, since a jump is not safe: %s", function->name, why);
	return 0;
}

static enum agent_shape shape_of(const struct call_spec *spec)
{
	switch (spec->kind) {
	case CALL_FREE:
		return spec->nests ? AGENT_SHAPE_NESTS : AGENT_SHAPE_FREE;
	case CALL_REALLOC:
		return AGENT_SHAPE_REALLOC;
	default:
		return spec->throws ? AGENT_SHAPE_NEW : AGENT_SHAPE_ALLOC;
	}
}

/*
 * Whether the first word at the thread pointer is its own address, as the ABI has it:
 * not before the C library has set it up, and never in a program without one. Allocators that
 * we know have thread-local variables, so a thread without it could not call them anyway.
 */
static bool has_thread_pointer(const struct jumps *j, struct thread *thread)
{
	u64 fs_base, word;

	if (tracee_get_regs(thread))
		return false;
	fs_base = thread->regs.u.fs_base;
	return fs_base &&
	       proc_mem_read(tracee_mem(j->tracee), fs_base, &word, sizeof(word)) ==
		       (ssize_t)sizeof(word) &&
	       word == fs_base;
}

/*
 * Is this one that nearly all calls go through, and is it a thread's own business to have a
 * thread pointer when it calls it? Then there is a short way: without sampling in the agent, else in the stub.
 */
static u8 short_way(const struct jumps *j, const struct agent_slot *slot,
		    const struct probe_function *function, struct thread *thread)
{
	bool size = slot->size == 1 && !slot->count, leaf = slot->flags & AGENT_SLOT_LEAF;
	bool product = slot->size && slot->count && slot->size + slot->count == 3;

	if (function->custom || !has_thread_pointer(j, thread))
		return 0;
	if (slot->shape == AGENT_SHAPE_FREE)
		return slot->ptr == 1 ? AGENT_SLOT_SIMPLE : 0;
	if (j->config.sample && !leaf)
		return 0;
	if (slot->shape != AGENT_SHAPE_ALLOC &&
	    !(slot->shape == AGENT_SHAPE_NEW && j->config.sample))
		return 0;
	if (size)
		return AGENT_SLOT_SIMPLE;
	return product ? AGENT_SLOT_SIMPLE | AGENT_SLOT_PRODUCT : 0;
}

/* Which AGENT_STUB_*; 0: one that leads to agent_enter. */
static u32 stub_for(const struct jumps *j, const struct agent_slot *slot)
{
	if (j->config.sample) {
		if (!(slot->flags & AGENT_SLOT_SIMPLE))
			return 0;
		if (slot->shape == AGENT_SHAPE_FREE)
			return AGENT_STUB_FREE;
		return slot->flags & AGENT_SLOT_PRODUCT ? AGENT_STUB_PRODUCT : AGENT_STUB_SIZE;
	}
	if (slot->shape == AGENT_SHAPE_NEW)
		return 0;
	return slot->shape == AGENT_SHAPE_FREE ? AGENT_STUB_CALL : AGENT_STUB_WRAP;
}

/* Completes the slot of the function's breakpoint: what the agent has to know, and the stub. */
static int write_stub(struct jumps *j, const struct breakpoint *bp,
		      const struct probe_function *function, bool leaf, struct thread *thread)
{
	const struct call_spec *spec = &bp->spec;
	struct agent_slot slot;
	u64 area;
	u32 which;

	if (proc_mem_read(tracee_mem(j->tracee), bp->slot, &slot, sizeof(slot)) !=
		    (ssize_t)sizeof(slot) ||
	    !areas_find(j->areas, bp->slot, &area))
		return -EFAULT;
	slot.shape = (u8)shape_of(spec);
	slot.flags |= (u8)((spec->frees ? AGENT_SLOT_FREES : 0) | (leaf ? AGENT_SLOT_LEAF : 0) |
			   (strstr(function->name, "align") ? AGENT_SLOT_ALIGNED : 0));
	slot.ptr = spec->ptr;
	slot.size = spec->size;
	slot.count = spec->count;
	slot.out = spec->out;
	slot.nothrow = function->nothrow;
	slot.flags |= short_way(j, &slot, function, thread);
	which = stub_for(j, &slot);
	if (which == AGENT_STUB_WRAP)
		slot.flags |= AGENT_SLOT_WRAPS;
	if (which)
		jump_copy_stub(slot.stub, bp->slot, area, which);
	else
		jump_encode_stub(slot.stub, bp->slot, area + AGENT_CODE + AGENT_ENTRY_CALL);
	return areas_write_slot(j->areas, bp->slot, bp->address, &slot);
}

int jumps_consider(struct jumps *j, const struct jump_plan *plan,
		   const struct probe_function *function, struct thread *thread)
{
	const struct breakpoint *bp = breakpoints_find(j->breakpoints, function->address);
	const char *why = NULL;
	bool leaf = false;
	int ret;

	if (!bp || bp->jump)
		return 0;
	for (size_t i = 0; i < j->n; i++)
		if (j->items[i].address == function->address)
			return 0;
	if (!jump_plan_is_safe(plan, function, bp, &leaf, &why))
		return refuse(j, function, why);
	if (vec_reserve((void **)&j->items, &j->cap, j->n + 1, sizeof(*j->items)))
		return -ENOMEM;
	ret = write_stub(j, bp, function, leaf, thread);
	if (ret)
		return refuse(j, function, "its slot cannot be written");
	j->items[j->n++] = (struct jump){
		.address = function->address, .module = function->module, .waiting = true};
	return 0;
}

bool jumps_waiting(const struct jumps *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->items[i].waiting)
			return true;
	return false;
}

/* The bytes that each waiting jump will cover, without the first: nobody may be there. */
struct covered {
	struct address_range *ranges;
	size_t n;
	bool *busy; /* by number of the range */
};

static void mark_busy(void *ctx, size_t number, u64 at)
{
	(void)at;
	((struct covered *)ctx)->busy[number] = true;
}

/*
 * Where the thread stands, and its stack; one that could not be stopped, since it waits in
 * the kernel, stops before it goes on from there. -ESRCH: it is gone; -EBUSY: it runs.
 */
static int stands_at(struct thread *thread, u64 *pc, u64 *sp)
{
	struct proc_waiting waiting;
	int ret;

	if (tracee_get_regs(thread) == 0) {
		*pc = regs_pc(&thread->regs);
		*sp = regs_sp(&thread->regs);
		return 0;
	}
	if (thread->exiting)
		return -ESRCH;
	ret = proc_waiting_read(&waiting, thread->tid);
	if (ret)
		return ret == -ESRCH ? ret : -EBUSY;
	*pc = waiting.pc;
	*sp = waiting.sp;
	return 0;
}

static int look_at_threads(const struct jumps *j, struct covered *covered)
{
	struct threads *threads = tracee_threads(j->tracee);
	struct maps maps;
	int ret = maps_read(&maps, tracee_pid(j->tracee), NULL);

	for (u32 i = 0; i < threads_count(threads) && !ret; i++) {
		u64 pc, sp;
		int at;

		ret = stands_at(threads_at(threads, i), &pc, &sp);
		if (ret == -ESRCH) {
			ret = 0;
		} else if (!ret) {
			at = address_ranges_find(covered->ranges, covered->n, pc);
			if (at >= 0)
				covered->busy[at] = true;
			ret = stack_scan(&maps, tracee_mem(j->tracee), sp, covered->ranges,
					 covered->n, mark_busy, covered);
		}
	}
	maps_deinit(&maps);
	return ret;
}

static int patch_one(struct jumps *j, struct jump *jump)
{
	struct breakpoint *bp = breakpoints_find(j->breakpoints, jump->address);
	u8 code[AGENT_JUMP];
	struct agent_slot slot;
	int ret;

	jump->waiting = false;
	if (!bp || !bp->slot || !jump_encode(code, bp->address, bp->slot + AGENT_SLOT_STUB))
		return 0;
	/* First the note by which it can be taken out again. */
	if (proc_mem_read(tracee_mem(j->tracee), bp->slot, &slot, sizeof(slot)) !=
	    (ssize_t)sizeof(slot))
		return -EFAULT;
	slot.flags |= AGENT_SLOT_JUMP;
	ret = areas_write_slot(j->areas, bp->slot, bp->address, &slot);
	if (ret == 0)
		ret = proc_mem_write(tracee_mem(j->tracee), bp->address, code, sizeof(code));
	if (ret)
		return ret;
	breakpoints_note_jump(j->breakpoints, bp);
	return 0;
}

static int patch_idle(struct jumps *j, const struct covered *covered)
{
	for (size_t i = 0; i < j->n; i++) {
		int at, ret;

		if (!j->items[i].waiting)
			continue;
		at = address_ranges_find(covered->ranges, covered->n, j->items[i].address + 1);
		if (at < 0 || covered->busy[at])
			continue;
		ret = patch_one(j, &j->items[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static bool somebody_returns_to(const struct jumps *j, u64 address)
{
	struct threads *threads = tracee_threads(j->tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		const struct calls *calls = threads_at(threads, i)->calls;

		for (u32 k = 0; calls && k < calls->n; k++)
			if (calls->items[k].ret == address)
				return true;
	}
	return false;
}

/* Where an allocator was called from before it became a jump, nobody needs to stop any more. */
static int retire_returns(struct jumps *j)
{
	int first = 0;

	for (u32 i = 0; i < breakpoints_count(j->breakpoints); i++) {
		struct breakpoint *bp = breakpoints_at(j->breakpoints, i);
		int ret = 0;

		if (bp->planted && bp->uses == USE_RETURN && !somebody_returns_to(j, bp->address))
			ret = breakpoints_retire(j->breakpoints, bp);
		if (ret && !first)
			first = ret;
	}
	return first;
}

static u64 theirs(const struct channel_map *map, const void *ours)
{
	return map->theirs + (u64)((const char *)ours - (const char *)map->ours);
}

static int switch_on(struct jumps *j)
{
	const struct channel_map *map = &j->channel;
	struct agent_control control = {.channel = map->theirs,
					.threads = theirs(map, map->threads)};

	if (j->config.sample)
		control.filter = theirs(map, map->filter);
	return areas_switch(j->areas, &control);
}

int jumps_patch(struct jumps *j, struct err *err)
{
	_cleanup_free_ struct address_range *ranges = calloc(j->n + 1, sizeof(*ranges));
	_cleanup_free_ bool *busy = calloc(j->n + 1, sizeof(*busy));
	struct covered covered = {.ranges = ranges, .busy = busy};
	int ret;

	if (!ranges || !busy)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < j->n; i++)
		if (j->items[i].waiting)
			ranges[covered.n++] = (struct address_range){
				j->items[i].address + 1, j->items[i].address + AGENT_JUMP};
	address_ranges_sort(ranges, covered.n);
	ret = look_at_threads(j, &covered);
	if (ret == 0)
		ret = switch_on(j);
	if (ret == 0)
		ret = patch_idle(j, &covered);
	if (ret == 0)
		ret = retire_returns(j);
	/* What is busy now will be idle soon; a process that is gone needs nothing. */
	if (ret && ret != -EBUSY && ret != -ESRCH)
		return err_sys(err, -ret, "cannot patch the target's allocator");
	return 0;
}

void jumps_forget_module(struct jumps *j, u32 module)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->n; i++)
		if (j->items[i].module != module)
			j->items[kept++] = j->items[i];
	j->n = kept;
	if (j->tables)
		tables_remove(j->tables, module);
}

int jumps_switch_off(struct jumps *j)
{
	static const struct agent_control off;

	return jumps_is_open(j) ? areas_switch(j->areas, &off) : 0;
}

int jumps_close(struct jumps *j, struct thread *thread, struct err *err)
{
	struct inject_place place = areas_place(j->areas, thread);
	int ret = channel_map_remove(&j->channel, &place, err);

	thread->regs_valid = false;
	return ret;
}

void jumps_forget(struct jumps *j)
{
	j->n = 0;
	j->channel.theirs = 0;
}

struct channel_map *jumps_channel(struct jumps *j)
{
	return &j->channel;
}

struct ring_reader *jumps_reader(const struct jumps *j)
{
	return j->reader;
}

struct tables *jumps_tables(const struct jumps *j)
{
	return j->tables;
}
