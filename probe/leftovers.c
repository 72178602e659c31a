// SPDX-License-Identifier: MIT
/*
 * In this order, so that the target runs correctly from any point on:
 *
 *	with no thread stopped	the jumps' recording off, breakpoints out
 *	with all stopped	jumps out; threads out of displaced code
 *				(if one is in the agent, or will return into it: let
 *				all run, and try again a little later)
 *				channels, descriptors, handler, areas
 */
#include "probe/leftovers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "agent/abi.h"
#include "attach/inject.h"
#include "attach/ptrace.h"
#include "attach/tracee.h"
#include "base/vec.h"
#include "probe/agent_on_stack.h"
#include "probe/agent_rows.h"
#include "probe/area.h"
#include "probe/debug_register_x86_64.h"
#include "probe/leftovers_entry.h"
#include "probe/leftovers_find.h"
#include "probe/leftovers_lift.h"
#include "proc/identity.h"
#include "proc/status.h"

/* How long threads are let run on, in growing pieces, when one is in the agent or will return into it. */
#define PATIENCE_MS 3000
#define NAP_MS      1
#define NAP_MAX_MS  100

/* Ids of areas among those of modules, which are small. */
#define FIRST_AREA_ID 0x10000U

struct removal {
	pid_t pid;
	const struct leftovers_of *of;
	u64 entry; /* the target's, where system calls are made from */
	struct unwinder *unwinder;
	struct unwind_table rows; /* of the agent's code */
	u64 *known;               /* areas whose rows the unwinder has */
	size_t known_n, known_cap;
	bool wants_unwinder; /* a scan has found what a walk may deny */
	bool tried_unwinder;
};

static void nap(u32 ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

/* What is there now. */
static int find(struct traces *traces, struct maps *maps, const struct leftovers_of *of,
		const struct proc_mem *mem)
{
	int ret = maps_read(maps, mem->pid, NULL);

	if (ret)
		return ret;
	ret = traces_find(traces, maps, mem, of->owner, of->unfinished);
	if (ret) {
		traces_deinit(traces);
		maps_deinit(maps);
	}
	return ret;
}

int leftovers_lift(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem)
{
	struct traces traces;
	struct maps maps;
	int ret = find(&traces, &maps, of, mem);

	(void)pid;
	if (ret)
		return ret;
	ret = traces_lift(&traces, &maps, mem, false);
	traces_deinit(&traces);
	maps_deinit(&maps);
	return ret;
}

/* Areas of another build of memattach have other code, which our rows say nothing about. */
static bool has_our_code(const struct proc_mem *mem, u64 start)
{
	size_t n = (size_t)(agent_code_end - agent_code);
	u8 code[AGENT_CODE_MAX];

	return n <= sizeof(code) && proc_mem_read(mem, start + AGENT_CODE, code, n) == (ssize_t)n &&
	       memcmp(code, agent_code, n) == 0;
}

/* The unwinder has to know all areas. 0 or -errno: then it cannot be believed. */
static int tell_unwinder(struct removal *r, const struct traces *traces, const struct proc_mem *mem)
{
	for (size_t i = 0; i < traces->areas_n; i++) {
		u64 start = traces->areas[i];
		struct unwind_rows rows = {.rows = r->rows.rows, .n = r->rows.n, .base = start};
		bool known = false;

		for (size_t k = 0; k < r->known_n; k++)
			known = known || r->known[k] == start;
		/* Nobody has ever been in one that is unfinished. */
		if (known || start == r->of->unfinished)
			continue;
		if (!has_our_code(mem, start))
			return -ENOTSUP;
		if (vec_reserve((void **)&r->known, &r->known_cap, r->known_n + 1, sizeof(u64)) ||
		    unwinder_add_rows(r->unwinder, FIRST_AREA_ID + (u32)r->known_n, start,
				      start + AGENT_CONTROL, &rows, NULL))
			return -ENOMEM;
		r->known[r->known_n++] = start;
	}
	return 0;
}

/* With no thread stopped. */
static void get_unwinder(struct removal *r)
{
	if (!r->wants_unwinder || r->tried_unwinder || !r->of->unwinder)
		return;
	r->tried_unwinder = true;
	if (agent_rows_compile(&r->rows, NULL) == 0)
		r->unwinder = r->of->unwinder(r->of->ctx);
}

static void drop_unwinder(struct removal *r)
{
	for (size_t k = 0; k < r->known_n; k++)
		unwinder_remove_module(r->unwinder, FIRST_AREA_ID + (u32)k);
	free(r->known);
	unwind_table_deinit(&r->rows);
}

/* Gets the thread out of the areas; -EAGAIN if it has to run on first. */
static int move_out(struct areas *areas, struct thread *thread)
{
	debug_registers_reset(thread);
	areas_undo_trap(areas, thread);
	switch (areas_translate(areas, &thread->regs, true)) {
	case AREA_OUTSIDE:
		return 0;
	case AREA_IN_AGENT:
		return -EAGAIN;
	default:
		return tracee_set_regs(thread) ? -EAGAIN : 0;
	}
}

/* Whether the thread, which is in no area, will come back to one: 0 or -EAGAIN. */
static int look_at_stack(struct removal *r, const struct tracee *tracee,
			 const struct thread *thread, const struct maps *maps,
			 const struct traces *traces, const struct address_range *ranges)
{
	enum agent_on_stack found;

	if (agent_scan_stack(maps, tracee_mem(tracee), &thread->regs, ranges, traces->areas_n,
			     &found))
		return -EAGAIN;
	if (found == AGENT_MAY_BE_THERE && r->unwinder &&
	    tell_unwinder(r, traces, tracee_mem(tracee)) == 0)
		found = agent_walk_stack(r->unwinder, thread->tid, &thread->regs);
	r->wants_unwinder = r->wants_unwinder || found == AGENT_MAY_BE_THERE;
	return found == AGENT_NOT_THERE ? 0 : -EAGAIN;
}

/* Moves all threads out of the areas; -EAGAIN if one has to run on first. */
static int evacuate(struct removal *r, struct tracee *tracee, struct areas *areas,
		    const struct maps *maps, const struct traces *traces)
{
	struct threads *threads = tracee_threads(tracee);
	struct address_range *ranges = calloc(traces->areas_n + 1, sizeof(*ranges));
	int first = ranges ? 0 : -ENOMEM;

	for (size_t i = 0; ranges && i < traces->areas_n; i++)
		ranges[i] = (struct address_range){traces->areas[i],
						   traces->areas[i] + AGENT_AREA_SIZE};
	for (u32 i = 0; ranges && i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);
		int ret = -EAGAIN;

		if (thread->exiting)
			continue;
		/* One that could not be stopped may be anywhere. */
		if (thread->state == THREAD_STOPPED && tracee_get_regs(thread) == 0)
			ret = move_out(areas, thread);
		if (ret == 0)
			ret = look_at_stack(r, tracee, thread, maps, traces, ranges);
		if (ret && !first)
			first = ret;
	}
	free(ranges);
	return first;
}

static struct thread *caller(struct threads *threads)
{
	for (u32 i = 0; i < threads_count(threads); i++)
		if (remote_possible(threads_at(threads, i)))
			return threads_at(threads, i);
	return NULL;
}

static int unmap_channels(const struct inject_place *place, const struct traces *traces,
			  struct err *err)
{
	s64 result;
	int ret = 0;

	for (size_t i = 0; i < traces->channels_n && !ret; i++) {
		const struct address_range *range = &traces->channels[i];
		struct remote_call call = {
			.number = SYS_munmap,
			.args = {range->start, range->end - range->start},
		};

		ret = inject_checked(place, &call, "unmap the channel", &result, err);
	}
	for (size_t i = 0; i < traces->fds_n && !ret; i++) {
		struct remote_call call = {.number = SYS_close, .args = {(u64)traces->fds[i]}};

		ret = inject_checked(place, &call, "close a descriptor of ours", &result, err);
	}
	return ret;
}

/* From a thread that can make system calls. */
static int unmap(struct tracee *tracee, struct areas *areas, const struct traces *traces,
		 struct err *err)
{
	struct thread *thread = caller(tracee_threads(tracee));
	struct inject_place place;
	int ret;

	if (!thread)
		return -EAGAIN;
	place = areas_place(areas, thread);
	ret = unmap_channels(&place, traces, err);
	thread->regs_valid = false;
	return ret ? ret : areas_unmap(areas, thread, err);
}

/* With all threads stopped and everything as it is now: what was found before may be gone or reused. */
static int remove_found(struct removal *r, struct tracee *tracee, const struct maps *maps,
			const struct traces *traces, struct err *err)
{
	struct areas *areas = areas_create(tracee, false, err);
	int ret = areas ? 0 : -ENOMEM;

	for (size_t i = 0; i < traces->areas_n && !ret; i++)
		ret = areas_adopt(areas, traces->areas[i]);
	if (ret)
		err_set(err, ENOMEM, "out of memory");
	if (ret == 0)
		ret = traces_lift(traces, maps, tracee_mem(tracee), true);
	if (ret == 0 && traces->areas_n)
		ret = evacuate(r, tracee, areas, maps, traces);
	if (ret == 0 && traces_any(traces)) {
		areas_set_entry(areas, r->entry, NULL);
		ret = unmap(tracee, areas, traces, err);
	}
	areas_destroy(areas);
	return ret;
}

static int remove_stopped(struct removal *r, struct tracee *tracee, struct err *err)
{
	/* Nobody but us traces it: whatever is there is nobody's any more. */
	struct leftovers_of any = {.unfinished = r->of->unfinished};
	struct traces traces;
	struct maps maps;
	int ret = tracee_stop_all(tracee, err);

	if (ret == 0)
		ret = find(&traces, &maps, &any, tracee_mem(tracee));
	if (ret)
		return ret;
	if (leftovers_entry_busy(tracee, r->entry))
		ret = -EAGAIN;
	else
		ret = remove_found(r, tracee, &maps, &traces, err);
	/* Where the file is not to be had the code stays: nobody runs it. */
	if (ret == 0)
		leftovers_entry_restore(tracee, r->entry, &maps);
	traces_deinit(&traces);
	maps_deinit(&maps);
	return ret;
}

/* Forked meanwhile. The copies that they have of all this work as they are. */
static void release_newborns(struct tracee *tracee)
{
	pid_t child;

	while ((child = tracee_take_newborn(tracee)))
		tracee_release(child);
}

/*
 * One that waits in the kernel stays ours until we end, and nobody would look at it the next time. So
 * does a main thread that has ended before the others.
 */
static bool stays_ours(const struct tracee *tracee)
{
	struct threads *threads = tracee_threads(tracee);

	for (u32 i = 0; i < threads_count(threads); i++)
		if (!threads_at(threads, i)->exiting ||
		    threads_at(threads, i)->tid == tracee_pid(tracee))
			return true;
	return false;
}

static int remove_once(struct removal *r, u32 patience_ms, struct err *err)
{
	struct proc_status status;
	struct tracee *tracee;
	int ret;

	while (patience_ms-- > 0 && proc_status_read(&status, r->pid, NULL) == 0 && status.tracer)
		nap(1);
	tracee = tracee_seize(r->pid, err);
	if (!tracee)
		return -ESRCH;
	ret = remove_stopped(r, tracee, err);
	release_newborns(tracee);
	tracee_detach(tracee);
	tracee_detach_late(tracee);
	if (ret == -EAGAIN && stays_ours(tracee))
		ret = -EBUSY;
	tracee_destroy(tracee);
	return ret;
}

static bool is_anything_left(const struct removal *r, const struct proc_mem *mem)
{
	struct traces traces;
	struct maps maps;
	bool any;

	if (r->entry && remote_code_at(mem, r->entry))
		return true;
	if (find(&traces, &maps, r->of, mem))
		return false;
	any = traces_any(&traces);
	traces_deinit(&traces);
	maps_deinit(&maps);
	return any;
}

static int remove_all(struct removal *r, const struct proc_mem *mem, u32 patience_ms,
		      struct err *err)
{
	u32 spent = 0, ms = NAP_MS;
	int ret;

	/* A thread that has to run on first gets a moment without a tracer: signals that are due reach it. */
	for (;;) {
		err_reset(err);
		ret = remove_once(r, patience_ms, err);
		if (ret != -EAGAIN || spent >= PATIENCE_MS)
			break;
		get_unwinder(r);
		nap(ms);
		spent += ms;
		ms = ms * 2 > NAP_MAX_MS ? NAP_MAX_MS : ms * 2;
		/* Somebody else may have been faster. */
		if (!is_anything_left(r, mem))
			return 0;
	}
	if (ret != -EAGAIN && ret != -EBUSY)
		return ret;
	err_reset(err);
	return err_set(err, EBUSY,
		       "a thread of process %d still needs memory of an earlier memattach",
		       (int)r->pid);
}

static int remove_from(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem,
		       u32 patience_ms, struct err *err)
{
	struct removal r = {.pid = pid, .of = of};
	struct proc_identity identity;
	int ret = leftovers_lift(pid, of, mem);

	if (ret)
		return err_sys(err, -ret,
			       "cannot take out what an earlier memattach has left in process %d",
			       (int)pid);
	ret = proc_identity_read(&identity, pid, err);
	if (ret)
		return ret;
	r.entry = identity.entry;
	proc_identity_deinit(&identity);
	if (!is_anything_left(&r, mem))
		return 0;
	ret = remove_all(&r, mem, patience_ms, err);
	drop_unwinder(&r);
	return ret ? ret : 1;
}

int leftovers_remove(pid_t pid, const struct leftovers_of *of, u32 patience_ms, struct err *err)
{
	struct proc_mem mem;
	struct err ours = ERR_INIT;
	int ret = proc_mem_open(&mem, pid, err);

	if (ret)
		return ret;
	ret = remove_from(pid, of, &mem, patience_ms, &ours);
	proc_mem_close(&mem);
	if (ret < 0)
		return err_set(err, ours.code ? ours.code : -ret, "%s", ours.msg);
	return ret;
}
