// SPDX-License-Identifier: MIT
/*
 * An area is found among the target's mappings by its permissions, its alignment
 * and its header. It stands in the target's memory, so nothing in it is trusted
 * further than this: a byte is only written where an int3 stands, in executable
 * memory that is not shared, and only within that process.
 */
#include "probe/leftovers.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "agent/abi.h"
#include "attach/ptrace.h"
#include "attach/remote_x86_64.h"
#include "attach/tracee.h"
#include "base/guard.h"
#include "base/vec.h"
#include "probe/area.h"
#include "probe/debug_register_x86_64.h"
#include "probe/leftovers_entry.h"
#include "proc/identity.h"
#include "proc/maps.h"
#include "proc/status.h"

/* How often threads are let run on when one is in the agent or will return into an area. */
#define TRIES    200
#define NAP_NS   1000000
#define SCAN_MAX (8UL << 20)

struct found {
	u64 *starts;
	size_t n, cap;
};

static bool is_area(const struct proc_mem *mem, u64 start, const struct leftovers_of *of)
{
	struct agent_header header;

	if (proc_mem_read(mem, start, &header, sizeof(header)) != (ssize_t)sizeof(header))
		return false;
	if (header.magic[0] != AGENT_MAGIC_0 || header.magic[1] != AGENT_MAGIC_1)
		return start == of->unfinished && !header.magic[0] && !header.magic[1];
	return !of->owner || header.owner == (u64)of->owner;
}

static int find_areas(const struct maps *maps, const struct proc_mem *mem,
		      const struct leftovers_of *of, struct found *found)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct map *map = &maps->items[i];
		u64 start = (map->start + AGENT_AREA_SIZE - 1) & ~(AGENT_AREA_SIZE - 1);

		if (map->inode || map->shared || map->write || !map->exec)
			continue;
		for (; start < map->end && map->end - start >= AGENT_AREA_SIZE;
		     start += AGENT_AREA_SIZE) {
			if (!is_area(mem, start, of))
				continue;
			if (vec_reserve((void **)&found->starts, &found->cap, found->n + 1,
					sizeof(u64)))
				return -ENOMEM;
			found->starts[found->n++] = start;
		}
	}
	return 0;
}

static void lift_table(const struct maps *maps, const struct proc_mem *mem, const u64 *table,
		       size_t n)
{
	for (size_t i = 0; i < n; i++) {
		u64 address = AGENT_ENTRY_ADDRESS(table[i]);
		u8 byte = AGENT_ENTRY_BYTE(table[i]), now;
		const struct map *map = table[i] ? maps_find(maps, address) : NULL;

		if (!map || !map->exec || map->shared ||
		    proc_mem_read(mem, address, &now, 1) != 1 || now != BREAKPOINT_BYTE)
			continue;
		/* A failure shows when the areas are removed: they stay then. */
		proc_mem_write(mem, address, &byte, 1);
	}
}

static int lift(const struct maps *maps, const struct proc_mem *mem, const struct found *found)
{
	_cleanup_free_ u64 *table = malloc(AGENT_SLOT_COUNT * sizeof(u64));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < found->n; i++) {
		ssize_t n = proc_mem_read(mem, found->starts[i] + AGENT_TABLE, table,
					  AGENT_SLOT_COUNT * sizeof(u64));

		if (n > 0)
			lift_table(maps, mem, table, (size_t)n / sizeof(u64));
	}
	return 0;
}

/* Finds the areas and lifts their breakpoints. */
static int find_and_lift(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem,
			 struct found *found)
{
	struct maps maps;
	int ret = maps_read(&maps, pid, NULL);

	if (ret)
		return ret;
	ret = find_areas(&maps, mem, of, found);
	if (ret == 0 && found->n)
		ret = lift(&maps, mem, found);
	maps_deinit(&maps);
	return ret;
}

int leftovers_lift(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem)
{
	struct found found = {0};
	int ret = find_and_lift(pid, of, mem, &found);

	free(found.starts);
	return ret ? ret : (int)found.n;
}

static bool in_found(const struct found *found, u64 value)
{
	for (size_t i = 0; i < found->n; i++)
		if (value - found->starts[i] < AGENT_AREA_SIZE)
			return true;
	return false;
}

/*
 * Will the thread come back to an area: is there an address in one on its stack?
 * A signal that came while it was in a slot, with no tracer to move it, has left one.
 */
static bool will_return(const struct maps *maps, const struct proc_mem *mem,
			const struct found *found, u64 sp)
{
	const struct map *map = maps_find(maps, sp);
	u64 end, words[512];

	if (!map)
		return false;
	end = map->end - sp > SCAN_MAX ? sp + SCAN_MAX : map->end;
	for (sp &= ~7ULL; sp < end; sp += sizeof(words)) {
		ssize_t n = proc_mem_read(mem, sp, words, sizeof(words));

		for (ssize_t i = 0; i < n / (ssize_t)sizeof(words[0]); i++)
			if (in_found(found, words[i]))
				return true;
		if (n < (ssize_t)sizeof(words))
			break;
	}
	return false;
}

/* Moves all threads out of the areas; -EAGAIN if one has to run on first. */
static int evacuate(struct tracee *tracee, struct areas *areas, const struct maps *maps,
		    const struct found *found)
{
	struct threads *threads = tracee_threads(tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);

		if (thread->state != THREAD_STOPPED || tracee_get_regs(thread))
			continue;
		debug_registers_reset(thread);
		areas_undo_trap(areas, thread);
		switch (areas_translate(areas, &thread->regs, true)) {
		case AREA_IN_AGENT:
			return -EAGAIN;
		case AREA_OUTSIDE:
			break;
		default:
			if (tracee_set_regs(thread))
				continue;
		}
		if (will_return(maps, tracee_mem(tracee), found, regs_sp(&thread->regs)))
			return -EAGAIN;
	}
	return 0;
}

static struct thread *caller(struct threads *threads)
{
	for (u32 i = 0; i < threads_count(threads); i++)
		if (remote_possible(threads_at(threads, i)))
			return threads_at(threads, i);
	return NULL;
}

/* With all threads stopped and the areas as they are now: what was found before may be gone or reused. */
static int remove_stopped(struct tracee *tracee, const struct leftovers_of *of, u64 entry,
			  const struct maps *maps, struct err *err)
{
	struct areas *areas = areas_create(tracee, false, err);
	struct found found = {0};
	struct thread *thread;
	int ret = areas ? find_areas(maps, tracee_mem(tracee), of, &found) : -ENOMEM;

	for (size_t i = 0; i < found.n && !ret; i++)
		ret = areas_adopt(areas, found.starts[i]);
	if (ret)
		err_set(err, ENOMEM, "out of memory");
	else if (leftovers_entry_busy(tracee, entry))
		ret = -EAGAIN;
	else if (found.n)
		ret = lift(maps, tracee_mem(tracee), &found);
	if (ret == 0 && found.n)
		ret = evacuate(tracee, areas, maps, &found);
	if (ret == 0 && found.n) {
		areas_set_entry(areas, entry, NULL);
		thread = caller(tracee_threads(tracee));
		ret = thread ? areas_unmap(areas, thread, err) : -EAGAIN;
	}
	/* Where the file is not to be had the code stays: nobody runs it. */
	if (ret == 0)
		leftovers_entry_restore(tracee, entry, maps);
	areas_destroy(areas);
	free(found.starts);
	return ret;
}

static int remove_once(struct tracee *tracee, const struct leftovers_of *of, u64 entry,
		       struct err *err)
{
	struct maps maps;
	int ret = tracee_stop_all(tracee, err);

	if (ret == 0)
		ret = maps_read(&maps, tracee_pid(tracee), err);
	if (ret)
		return ret;
	ret = remove_stopped(tracee, of, entry, &maps, err);
	maps_deinit(&maps);
	return ret;
}

static struct tracee *seize_when_free(pid_t pid, u32 patience_ms, struct err *err)
{
	struct timespec nap = {.tv_nsec = NAP_NS};
	struct proc_status status;

	while (patience_ms-- > 0 && proc_status_read(&status, pid, NULL) == 0 && status.tracer)
		nanosleep(&nap, NULL);
	return tracee_seize(pid, err);
}

static int remove_all(pid_t pid, const struct leftovers_of *of, u64 entry, u32 patience_ms,
		      struct err *err)
{
	struct timespec nap = {.tv_nsec = NAP_NS};
	int ret = -EAGAIN;

	/* A thread that has to run on first gets a moment without a tracer: signals that are due reach it. */
	for (int i = 0; i < TRIES && ret == -EAGAIN; i++) {
		struct tracee *tracee = seize_when_free(pid, patience_ms, err);

		if (!tracee)
			return -ESRCH;
		ret = remove_once(tracee, of, entry, err);
		tracee_detach(tracee);
		tracee_destroy(tracee);
		if (ret == -EAGAIN)
			nanosleep(&nap, NULL);
	}
	if (ret == -EAGAIN)
		return err_set(
			err, EBUSY,
			"a thread of process %d still needs memory of a memattach that was killed",
			(int)pid);
	return ret;
}

int leftovers_remove(pid_t pid, const struct leftovers_of *of, u32 patience_ms, struct err *err)
{
	struct proc_identity identity;
	struct found found = {0};
	struct proc_mem mem;
	struct err ours = ERR_INIT;
	int ret = proc_mem_open(&mem, pid, err);

	if (ret)
		return ret;
	ret = find_and_lift(pid, of, &mem, &found);
	if (ret)
		err_sys(&ours, -ret, "cannot look for traces of an earlier memattach in process %d",
			(int)pid);
	else
		ret = proc_identity_read(&identity, pid, &ours);
	if (ret == 0) {
		if (found.n || (identity.entry && remote_code_at(&mem, identity.entry)))
			ret = remove_all(pid, of, identity.entry, patience_ms, &ours);
		proc_identity_deinit(&identity);
	}
	free(found.starts);
	proc_mem_close(&mem);
	if (ret)
		return err_set(err, ours.code ? ours.code : -ret, "%s", ours.msg);
	return (int)found.n;
}
