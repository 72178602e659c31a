// SPDX-License-Identifier: MIT
/*
 * From breakpoints to jumps: when, and what the agent has to know for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "probe/agent_rows.h"
#include "probe/mixed.h"
#include "probe/probes_internal.h"
#include "proc/status.h"

/* Ids of areas among those of modules, which are small. */
#define FIRST_AREA_ID 0x10000U

int probes_note_function(struct probes *probes, const struct probe_function *function)
{
	struct probe_function *f;

	if (!probes->jumps)
		return 0;
	if (vec_reserve((void **)&probes->considered, &probes->considered_cap,
			probes->considered_n + 1, sizeof(*probes->considered)))
		return -ENOMEM;
	f = &probes->considered[probes->considered_n];
	*f = *function;
	f->name = strdup(function->name);
	if (!f->name)
		return -ENOMEM;
	probes->considered_n++;
	return 0;
}

void probes_forget_functions(struct probes *probes)
{
	while (probes->considered_n)
		free((char *)probes->considered[--probes->considered_n].name);
}

bool probes_can_improve(const struct probes *probes)
{
	return probes->jumps && (probes->considered_n || jumps_waiting(probes->jumps));
}

struct ring_reader *probes_reader(const struct probes *probes)
{
	return probes->jumps ? jumps_reader(probes->jumps) : NULL;
}

static int add_module(void *ctx, u32 id, u64 start, u64 end)
{
	return probes_module_added(ctx, id, start, end, NULL);
}

int probes_module_added(struct probes *probes, u32 id, u64 start, u64 end, struct err *err)
{
	struct tables *tables = probes->jumps ? jumps_tables(probes->jumps) : NULL;
	struct unwind_rows rows;
	struct err full = ERR_INIT;
	int ret;

	if (!tables || unwinder_rows(probes->unwinder, id, &rows))
		return 0;
	ret = tables_add(tables, id, start, end, &rows, &full);
	if (ret == -ENOSPC) {
		log_warn(&probes->config.log, "%s", full.msg);
		ret = 0;
	}
	return ret ? err_set(err, -ret, "%s", full.msg) : 0;
}

/* Walks come by the agent's own code, too: it is a module like others. */
static int add_area(struct probes *probes, u32 i, u64 start, struct err *err)
{
	struct unwind_rows rows = {
		.rows = probes->agent_rows.rows, .n = probes->agent_rows.n, .base = start};
	u32 id = FIRST_AREA_ID + i;
	int ret = unwinder_add_rows(probes->unwinder, id, start, start + AGENT_CONTROL, &rows, err);

	return ret ? ret
		   : tables_add(jumps_tables(probes->jumps), id, start, start + AGENT_CONTROL,
				&rows, err);
}

static int add_areas(struct probes *probes, struct err *err)
{
	int ret = 0;

	if (!probes->agent_rows.rows)
		ret = agent_rows_compile(&probes->agent_rows, err);
	while (!ret && probes->areas_known < areas_count(probes->areas)) {
		ret = add_area(probes, probes->areas_known,
			       areas_start(probes->areas, probes->areas_known), err);
		probes->areas_known++;
		probes->areas_new = true;
	}
	return ret;
}

void probes_forget_areas(struct probes *probes)
{
	while (probes->areas_known)
		unwinder_remove_module(probes->unwinder, FIRST_AREA_ID + --probes->areas_known);
	unwind_table_deinit(&probes->agent_rows);
	probes->agent_rows = (struct unwind_table){0};
}

void probes_publish(struct probes *probes)
{
	struct tables *tables = probes->jumps ? jumps_tables(probes->jumps) : NULL;

	if (tables)
		tables_publish(tables);
}

/*
 * The agent goes on with a function by a return to where nobody has called from, and a signal
 * frame of ours has no counterpart on a shadow stack.
 */
static bool has_shadow_stacks(const struct probes *probes)
{
	struct threads *threads = tracee_threads(probes->tracee);
	struct proc_status status;

	for (u32 i = 0; i < threads_count(threads); i++)
		if (proc_status_read(&status, threads_at(threads, i)->tid, NULL) == 0 &&
		    status.shadow_stack)
			return true;
	return false;
}

/* The channel, and in it what is mapped. */
static int open_channel(struct probes *probes, struct thread *thread, struct err *err)
{
	struct threads *threads = tracee_threads(probes->tracee);
	int ret;

	if (jumps_is_open(probes->jumps))
		return 0;
	if (!threads_count(threads))
		return -ESRCH;
	if (has_shadow_stacks(probes))
		return err_set(err, EOPNOTSUPP,
			       "the processor checks the target's returns (shadow stacks)");
	ret = jumps_open(probes->jumps, thread ? thread : threads_at(threads, 0), err);
	if (ret == 0)
		probes_fill_filter(probes);
	if (ret == 0)
		ret = probes->host.each_module(probes->host.ctx, add_module, probes);
	if (ret == 0)
		probes_publish(probes);
	return ret;
}

static int consider_all(struct probes *probes, struct thread *thread)
{
	struct thread *stopped = NULL;
	struct jump_plan plan;
	int ret;

	for (size_t i = 0; i < probes->considered_n; i++)
		breakpoints_find_slot(probes->breakpoints, probes->considered[i].address, thread);
	ret = jump_plan_init(&plan, tracee_mem(probes->tracee), probes->breakpoints,
			     probes->considered, probes->considered_n);
	if (ret)
		return ret;
	/* Its registers are looked at. */
	if (!thread)
		thread = stopped = tracee_stop_one(probes->tracee);
	if (!thread)
		ret = -EAGAIN;
	for (size_t i = 0; i < probes->considered_n && !ret; i++)
		ret = jumps_consider(probes->jumps, &plan, &probes->considered[i], thread);
	if (stopped)
		tracee_resume_one(probes->tracee, stopped);
	jump_plan_deinit(&plan);
	if (ret != -EAGAIN)
		probes_forget_functions(probes);
	return ret;
}

/* All threads stand still, and none is in front of a breakpoint that it has run into. */
static void undo_traps(struct probes *probes)
{
	struct threads *threads = tracee_threads(probes->tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);

		if (thread->state == THREAD_STOPPED && tracee_get_regs(thread) == 0)
			probes_undo_trap(probes, thread);
	}
}

static int patch_stopped(struct probes *probes, struct thread *thread, struct err *err)
{
	int ret = tracee_hold(probes->tracee, err);

	if (ret == 0) {
		undo_traps(probes);
		mixed_share_all(probes);
		probes_publish(probes);
		probes->areas_new = false;
		ret = jumps_patch(probes->jumps, err);
	}
	tracee_unhold(probes->tracee, thread);
	return ret;
}

int probes_improve(struct probes *probes, struct thread *thread, struct err *err)
{
	struct err why_not = ERR_INIT;
	int ret;

	if (!probes->jumps)
		return 0;
	ret = open_channel(probes, thread, &why_not);
	if (ret == 0 && probes->considered_n)
		ret = consider_all(probes, thread);
	if (ret == 0)
		ret = add_areas(probes, &why_not);
	if (ret == 0 && (probes->areas_new || jumps_waiting(probes->jumps)))
		ret = patch_stopped(probes, thread, &why_not);
	if (ret == -ENOMEM)
		return err_set(err, ENOMEM, "out of memory");
	/* Not now, but at the next breakpoint that is hit. */
	if (ret == -EAGAIN)
		return 0;
	if (ret) {
		probes_forget_functions(probes);
		log_line(&probes->config.log,
			 probes->config.mode == PROBES_JUMP ? LOG_WARN : LOG_VERBOSE,
			 "breakpoints only, no jumps: %s", why_not.msg);
	}
	return 0;
}

void probes_thread_exits(struct probes *probes, struct thread *thread)
{
	struct channel_thread *entry;
	struct channel_map *map;
	u64 memo;

	/* The thread pointer of a vfork child is its parent's. */
	if (thread->own_process)
		return;
	entry = mixed_entry(probes, thread, false);
	if (!entry)
		return;
	map = jumps_channel(probes->jumps);
	memo = channel_map_memo(map, __atomic_exchange_n(&entry->memo, 0, __ATOMIC_RELAXED));
	if (memo < CHANNEL_MEMOS)
		__atomic_fetch_and(&map->ours->memos_taken[memo / 64], ~(1ULL << memo % 64),
				   __ATOMIC_RELAXED);
	entry->stack = entry->open = 0;
	entry->countdown = entry->fresh = 0;
	entry->random = 0;
	__atomic_store_n(&entry->key, 0, __ATOMIC_RELEASE);
}
