// SPDX-License-Identifier: MIT
/*
 * Leaving: breakpoints out, threads out of displaced code, areas unmapped, in
 * this order, so that at each point a thread that ran on would run correctly.
 */
#include "probe/probes_internal.h"

#include <errno.h>

#include "attach/remote_x86_64.h"
#include "probe/debug_register_x86_64.h"

/* A thread that has run into one of our breakpoints and was not served: it has not executed the instruction. */
static void undo_trap(struct probes *probes, struct thread *thread)
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
	switch (areas_translate(probes->areas, &thread->regs)) {
	case AREA_OUTSIDE:
		return 0;
	case AREA_IN_AGENT:
		return -EBUSY;
	default:
		return tracee_set_regs(thread);
	}
}

static int clear_thread(struct probes *probes, struct thread *thread)
{
	int ret;

	/* One that waits in the kernel for its vfork child, or that is ending, is in nobody's slot. */
	if (thread->state != THREAD_STOPPED)
		return thread->in_vfork || thread->exiting ? 0 : -EBUSY;
	ret = tracee_get_regs(thread);
	if (ret == 0) {
		undo_trap(probes, thread);
		ret = move_out(probes, thread);
	}
	probes_thread_gone(probes, thread);
	return ret == -ESRCH ? 0 : ret;
}

static struct thread *caller(struct threads *threads)
{
	for (u32 i = 0; i < threads_count(threads); i++)
		if (remote_possible(threads_at(threads, i)))
			return threads_at(threads, i);
	return NULL;
}

int probes_remove(struct probes *probes, struct err *err)
{
	struct threads *threads = tracee_threads(probes->tracee);
	struct thread *thread;
	int first, ret;

	first = breakpoints_lift(probes->breakpoints, tracee_mem(probes->tracee));
	/* An address space that is gone needs no cleaning. */
	if (first == -ESRCH)
		return 0;
	if (first)
		err_sys(err, -first, "cannot take all breakpoints out of the target");
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
	thread = caller(threads);
	if (!thread)
		return -EAGAIN;
	return areas_unmap(probes->areas, thread, err);
}
