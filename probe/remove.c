// SPDX-License-Identifier: MIT
/*
 * Leaving: breakpoints out, threads out of displaced code, areas unmapped, in
 * this order, so that at each point a thread that ran on would run correctly.
 */
#include "probe/probes_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "attach/remote_x86_64.h"
#include "probe/agent_on_stack.h"
#include "probe/debug_register_x86_64.h"
#include "probe/stack_scan.h"
#include "proc/maps.h"
#include "proc/waiting.h"

/* It has not executed the instruction. */
void probes_undo_trap(struct probes *probes, struct thread *thread)
{
	u64 address = regs_pc(&thread->regs) - BREAKPOINT_LENGTH;
	const struct breakpoint *bp;

	if (!thread->has_status || trace_event_decode(thread->status) != EVENT_TRAP)
		return;
	if (probes_watches(thread)) {
		tracee_drop_signal(thread);
		return;
	}
	bp = breakpoints_find(probes->breakpoints, address);
	if (!bp || probes_was_sent(thread, bp))
		return;
	tracee_set_pc(thread, address);
	tracee_drop_signal(thread);
}

/* Gets the thread out of the areas. 0, -ESRCH if it is gone, or -errno if it could not be done. */
static int move_out(struct probes *probes, struct thread *thread)
{
	switch (areas_translate(probes->areas, &thread->regs, true)) {
	case AREA_OUTSIDE:
		return 0;
	case AREA_IN_AGENT:
		/* It runs on, and is looked at again. */
		return probes->jumps ? 0 : -EBUSY;
	default:
		return tracee_set_regs(thread);
	}
}

/* With all threads stopped: the books are only waited for where something has to be written there. */
static void forget_calls(struct probes *probes, struct thread *thread)
{
	const struct calls *calls = thread->calls;
	bool taken = false;

	for (u32 i = 0; calls && i < calls->n; i++)
		taken |= calls->items[i].taken;
	if (taken)
		probes->host.enter(probes->host.ctx);
	probes_thread_gone(probes, thread);
	if (taken)
		probes->host.leave(probes->host.ctx);
}

static int clear_thread(struct probes *probes, struct thread *thread)
{
	int ret;

	/* One that waits in the kernel is looked at there: see waits_inside. */
	if (thread->state != THREAD_STOPPED)
		return thread->in_vfork || thread->stuck || thread->exiting ? 0 : -EBUSY;
	ret = tracee_get_regs(thread);
	if (ret == 0) {
		probes_undo_trap(probes, thread);
		ret = move_out(probes, thread);
	}
	forget_calls(probes, thread);
	return ret == -ESRCH ? 0 : ret;
}

static struct thread *caller(struct threads *threads)
{
	for (u32 i = 0; i < threads_count(threads); i++)
		if (remote_possible(threads_at(threads, i)))
			return threads_at(threads, i);
	return NULL;
}

/*
 * Will the thread come back to an area? A walk of its stack tells, if it is sure of each
 * frame and gets to the end; or else what is on the stack.
 */
static int is_inside(struct probes *probes, struct thread *thread, const struct maps *maps,
		     const struct address_range *ranges, size_t n, bool *inside)
{
	enum agent_on_stack found = AGENT_IS_THERE;
	int ret = 0;

	if (address_ranges_find(ranges, n, regs_pc(&thread->regs)) < 0)
		found = agent_walk_stack(probes->unwinder, thread->tid, &thread->regs);
	if (found == AGENT_MAY_BE_THERE)
		ret = agent_scan_stack(maps, tracee_mem(probes->tracee), &thread->regs, ranges, n,
				       &found);
	*inside = found != AGENT_NOT_THERE;
	return ret;
}

static void note_address(void *ctx, size_t number, u64 at)
{
	(void)number;
	(void)at;
	*(bool *)ctx = true;
}

/*
 * The same for a thread that could not be stopped, since it waits in the kernel for its
 * vfork child or for a device: what it goes on with is not known, so no address on
 * its stack may be one of ours, not even a remnant.
 */
static int waits_inside(struct probes *probes, const struct thread *thread, const struct maps *maps,
			const struct address_range *ranges, size_t n, bool *inside)
{
	const struct proc_mem *mem = tracee_mem(probes->tracee);
	enum agent_on_stack found = AGENT_MAY_BE_THERE;
	struct proc_waiting waiting;
	struct thread_regs regs = {0};
	int ret = proc_waiting_read(&waiting, thread->tid);

	if (ret == -ESRCH)
		return 0;
	if (!ret) {
		/* What a signal has interrupted may be on another stack. */
		regs.u.rip = waiting.pc;
		regs.u.rsp = waiting.sp;
		ret = agent_scan_stack(maps, mem, &regs, ranges, n, &found);
	}
	if (ret || found != AGENT_NOT_THERE) {
		*inside = true;
		return 0;
	}
	return stack_scan(maps, mem, waiting.sp, ranges, n, note_address, inside);
}

static int somebody_inside(struct probes *probes, bool *inside)
{
	struct threads *threads = tracee_threads(probes->tracee);
	u32 n = areas_count(probes->areas);
	struct address_range *ranges = calloc(n + 1, sizeof(*ranges));
	struct maps maps;
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = maps_read(&maps, tracee_pid(probes->tracee), NULL);
	if (ret) {
		free(ranges);
		return ret;
	}
	for (u32 i = 0; i < n; i++) {
		u64 start = areas_start(probes->areas, i);

		ranges[i] = (struct address_range){start, start + AGENT_AREA_SIZE};
	}
	address_ranges_sort(ranges, n);
	for (u32 i = 0; i < threads_count(threads) && !ret && !*inside; i++) {
		struct thread *thread = threads_at(threads, i);

		if (thread->exiting)
			continue;
		if (thread->state != THREAD_STOPPED)
			ret = waits_inside(probes, thread, &maps, ranges, n, inside);
		else if (probes->jumps && tracee_get_regs(thread) == 0)
			ret = is_inside(probes, thread, &maps, ranges, n, inside);
	}
	free(ranges);
	maps_deinit(&maps);
	return ret;
}

/* Everything that we have mapped, from a thread that can make system calls. */
static int unmap(struct probes *probes, struct err *err)
{
	struct thread *thread = caller(tracee_threads(probes->tracee));
	int ret = 0;

	if (!thread)
		return -EAGAIN;
	if (probes->jumps)
		ret = jumps_close(probes->jumps, thread, err);
	return ret ? ret : areas_unmap(probes->areas, thread, err);
}

int probes_remove(struct probes *probes, struct err *err)
{
	struct threads *threads = tracee_threads(probes->tracee);
	struct thread *thread;
	bool inside = false;
	int first, ret;

	if (probes->jumps)
		jumps_switch_off(probes->jumps);
	first = breakpoints_lift(probes->breakpoints, tracee_mem(probes->tracee));
	/* An address space that is gone needs no cleaning. */
	if (first == -ESRCH)
		return 0;
	if (first)
		err_sys(err, -first, "cannot take all breakpoints out of the target");
	/* Nobody completes a record while all are stopped: who reads must not wait for one. */
	probes_stopped(probes);
	for (u32 i = threads_count(threads); i-- > 0;) {
		thread = threads_at(threads, i);
		ret = clear_thread(probes, thread);
		if (ret && !first) {
			first = ret;
			err_sys(err, -ret,
				"thread %d may still need memory of ours, which was left there",
				thread->tid);
		}
	}
	if (first || !areas_any(probes->areas))
		return first;
	ret = somebody_inside(probes, &inside);
	if (ret)
		return ret == -ESRCH ? 0 : err_sys(err, -ret, "cannot look at the target's stacks");
	return inside ? -EAGAIN : unmap(probes, err);
}
