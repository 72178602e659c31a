// SPDX-License-Identifier: MIT
/*
 * A forked child has copies of all that is ours in its parent, but for the channel,
 * and the switches of the jumps are off in it. In its first stop all of it is taken
 * out again.
 *
 * Unless it will return to the agent: if it was forked by a function that the agent
 * has called (a custom allocator, or a handler of a signal that came during malloc),
 * or by a handler of a signal that has interrupted the agent itself. Then the areas
 * stay in the child: calls are passed on to the target's own code, which is whole
 * again. The agent may be at work with the channel; it gets memory of its own for that,
 * with what the thread remembered of walks when it forked: its parent goes on before
 * its own first stop is seen.
 */
#include "probe/probes_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "attach/ptrace.h"
#include "base/guard.h"
#include "probe/agent_on_stack.h"
#include "proc/maps.h"

static enum agent_on_stack walk(const struct probes *probes, pid_t child,
				const struct proc_mem *mem, const struct thread_regs *regs)
{
	struct mem_reader memory = proc_mem_reader(mem);
	const struct mem_reader *was = unwinder_swap_memory(probes->unwinder, &memory);
	enum agent_on_stack found;

	if (!was)
		return AGENT_MAY_BE_THERE;
	found = agent_walk_stack(probes->unwinder, child, regs);
	unwinder_swap_memory(probes->unwinder, was);
	return found;
}

/* 0 or -errno; *inside: its thread will come back to an area. */
static int look_at_child(const struct probes *probes, pid_t child, const struct proc_mem *mem,
			 bool *inside)
{
	u32 n = areas_count(probes->areas);
	_cleanup_free_ struct address_range *ranges = calloc(n + 1, sizeof(*ranges));
	enum agent_on_stack found = AGENT_NOT_THERE;
	struct thread_regs regs;
	struct maps maps;
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = pt(PTRACE_GETREGS, child, 0, (u64)(uintptr_t)&regs.u);
	if (ret == 0)
		ret = maps_read(&maps, child, NULL);
	if (ret)
		return ret;
	for (u32 i = 0; i < n; i++) {
		u64 start = areas_start(probes->areas, i);

		ranges[i] = (struct address_range){start, start + AGENT_AREA_SIZE};
	}
	address_ranges_sort(ranges, n);
	ret = agent_scan_stack(&maps, mem, &regs, ranges, n, &found);
	if (ret == 0 && found == AGENT_MAY_BE_THERE)
		found = walk(probes, child, mem, &regs);
	*inside = found != AGENT_NOT_THERE;
	maps_deinit(&maps);
	return ret;
}

/* The last ones that have forked: more than are ever on their way at a time. */
#define FORKS 16

struct probes_fork {
	pid_t child;
	struct channel_work work;
};

void probes_forks(struct probes *probes, struct thread *thread, pid_t child)
{
	struct probes_fork *fork;
	int ret;

	if (!probes->jumps || tracee_get_regs(thread))
		return;
	if (!probes->forks)
		probes->forks = calloc(FORKS, sizeof(*probes->forks));
	if (!probes->forks)
		return;
	fork = &probes->forks[probes->forks_n++ % FORKS];
	/* Without memory for it: when the child is cleaned. */
	ret = channel_map_keep_work(jumps_channel(probes->jumps), thread->regs.u.fs_base,
				    &fork->work);
	fork->child = ret ? 0 : child;
}

void probes_forget_forks(struct probes *probes)
{
	for (u32 i = 0; probes->forks && i < FORKS; i++)
		channel_work_deinit(&probes->forks[i].work);
	free(probes->forks);
	probes->forks = NULL;
}

/* NULL: its parent's fork has not been seen yet, so it stands there still. */
static const struct channel_work *kept_work(const struct probes *probes, pid_t child)
{
	for (u32 i = 0; probes->forks && i < FORKS; i++)
		if (probes->forks[i].child == child)
			return &probes->forks[i].work;
	return NULL;
}

/* The call that the child was born in goes on, with a channel that nobody reads. */
static int let_finish(const struct probes *probes, const struct inject_place *place,
		      struct err *err)
{
	struct channel_map *channel = jumps_channel(probes->jumps);
	const struct channel_work *work = kept_work(probes, place->tid);
	struct channel_work now = {0};
	struct thread_regs regs;
	int ret = 0;

	if (!work) {
		ret = pt(PTRACE_GETREGS, place->tid, 0, (u64)(uintptr_t)&regs.u);
		if (ret == 0)
			ret = channel_map_keep_work(channel, regs.u.fs_base, &now);
		if (ret)
			return err_sys(err, -ret, "cannot look at forked process %d",
				       (int)place->tid);
		work = &now;
	}
	ret = channel_map_for_child(channel, place, work, err);
	channel_work_deinit(&now);
	return ret;
}

static int clean_memory(const struct probes *probes, pid_t child, const struct proc_mem *mem,
			struct err *err)
{
	struct inject_place place = areas_place_of(probes->areas, child, mem);
	struct channel_map *channel = probes->jumps ? jumps_channel(probes->jumps) : NULL;
	bool inside = false;
	int ret = 0;

	if (channel)
		ret = channel_map_clean_child(channel, &place, err);
	if (channel && !ret) {
		ret = look_at_child(probes, child, mem, &inside);
		if (ret)
			err_sys(err, -ret, "cannot look at the stack of forked process %d",
				(int)child);
	}
	if (ret)
		return ret;
	return inside ? let_finish(probes, &place, err)
		      : areas_unmap_child(probes->areas, child, mem, err);
}

int probes_clean_child(const struct probes *probes, pid_t child, struct err *err)
{
	struct proc_mem mem;
	int ret = proc_mem_open(&mem, child, err);

	if (ret)
		return ret;
	ret = breakpoints_lift_child(probes->breakpoints, &mem);
	if (ret)
		err_sys(err, -ret, "cannot take the breakpoints out of forked process %d",
			(int)child);
	else
		ret = clean_memory(probes, child, &mem, err);
	proc_mem_close(&mem);
	/* It may have been killed meanwhile. */
	return ret == -ESRCH ? 0 : ret;
}
