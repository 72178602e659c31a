// SPDX-License-Identifier: MIT
/*
 * Mapping areas and unmapping them, by system calls made in the target.
 *
 * With the first area the agent becomes the handler of SIGTRAP. ptrace sees the
 * signal before it, so it runs only if memattach has been killed.
 */
#include "probe/area_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/ptrace.h"
#include "attach/inject.h"
#include "base/vec.h"
#include "proc/maps.h"
#include "proc/status.h"

#define SIGSET_SIZE 8

/*
 * SA_NODEFER, SA_ONSTACK, SA_RESTORER, SA_SIGINFO: flags of struct sigaction in
 * the kernel. An int3 while SIGTRAP is blocked ends the process, so it must not be
 * in the agent's handler, nor in the target's own that it calls.
 */
#define ACTION_FLAGS 0x4c000004UL

/* SA_RESETHAND: once would not be enough. */
#define ACTION_ONCE 0x80000000UL

struct inject_place areas_place(const struct areas *areas, const struct thread *thread)
{
	return (struct inject_place){
		.tid = thread ? thread->tid : 0,
		.mem = tracee_mem(areas->tracee),
		.code = areas->entry,
		.tracee = areas->tracee,
	};
}

struct inject_place areas_place_of(const struct areas *areas, pid_t child,
				   const struct proc_mem *mem)
{
	return (struct inject_place){.tid = child, .mem = mem, .code = areas->entry};
}

/* Exchanges the action of SIGTRAP: set may be NULL, was is what it has been. */
static int trap_action(const struct inject_place *place, const struct agent_sigaction *set,
		       struct agent_sigaction *was, struct err *err)
{
	struct agent_sigaction both[2] = {{0}};
	struct remote_call call = {
		.number = SYS_rt_sigaction,
		.args = {SIGTRAP, set ? REMOTE_DATA : 0, REMOTE_DATA + sizeof(both[0]),
			 SIGSET_SIZE},
		.data = {both, sizeof(both)},
	};
	s64 result;
	int ret;

	if (set)
		both[0] = *set;
	ret = inject_checked(place, &call, "change the action of SIGTRAP", &result, err);
	*was = both[1];
	return ret;
}

static struct agent_header new_header(void)
{
	return (struct agent_header){
		.magic = {AGENT_MAGIC_0, AGENT_MAGIC_1},
		.owner = (u64)getpid(),
	};
}

/* The agent in area as the handler of SIGTRAP, in the place of previous. */
static struct agent_sigaction agent_action(u64 area, const struct agent_sigaction *previous)
{
	struct agent_sigaction agent = {
		.handler = area + AGENT_CODE + AGENT_ENTRY_HANDLER,
		.flags = ACTION_FLAGS,
		.restorer = area + AGENT_CODE + AGENT_ENTRY_RESTORER,
	};

	/* The target's own handler must find what it had: its mask, its way back. */
	if (previous->handler > (u64)(uintptr_t)SIG_IGN) {
		agent.mask = previous->mask & ~(1ULL << (SIGTRAP - 1));
		agent.flags |= previous->flags & ~ACTION_ONCE;
		if (previous->restorer)
			agent.restorer = previous->restorer;
	}
	return agent;
}

static int install_agent(const struct inject_place *place, u64 area, struct err *err)
{
	struct agent_header header = new_header();
	struct agent_sigaction agent, was;
	int ret;

	/* What it replaces must be known to the agent before it can be called. */
	ret = trap_action(place, NULL, &header.previous, err);
	if (ret)
		return ret;
	header.installed = 1;
	ret = proc_mem_write(place->mem, area, &header, sizeof(header));
	if (ret)
		return err_sys(err, -ret, "cannot write to the target");
	agent = agent_action(area, &header.previous);
	return trap_action(place, &agent, &was, err);
}

bool areas_agent_is_lost(const struct areas *areas)
{
	u64 trap = 1ULL << (SIGTRAP - 1);
	struct proc_status status;

	return areas->n && proc_status_read(&status, tracee_pid(areas->tracee), NULL) == 0 &&
	       !((status.sig_caught | status.sig_ignored) & trap);
}

int areas_restore_agent(struct areas *areas, struct err *err)
{
	struct inject_place place = areas_place(areas, NULL);
	u64 area = areas->items[0].start;
	struct agent_sigaction agent, was;
	struct agent_header header;
	int ret;

	if (proc_mem_read(place.mem, area, &header, sizeof(header)) != (ssize_t)sizeof(header) ||
	    !header.installed)
		return 0;
	agent = agent_action(area, &header.previous);
	ret = inject_begin(&place, err);
	if (ret)
		return ret;
	ret = trap_action(&place, &agent, &was, err);
	inject_end(&place);
	return ret;
}

/* The page with the switch, which forked children find off. */
static int furnish_control(struct areas *areas, const struct inject_place *place, u64 start,
			   struct err *err)
{
	struct remote_call protect = {
		.number = SYS_mprotect,
		.args = {start + AGENT_CONTROL, AGENT_AREA_SIZE - AGENT_CONTROL,
			 PROT_READ | PROT_WRITE},
	};
	struct remote_call advise = {
		.number = SYS_madvise,
		.args = {start + AGENT_CONTROL, AGENT_AREA_SIZE - AGENT_CONTROL, MADV_WIPEONFORK},
	};
	s64 result;
	int ret = inject_checked(place, &protect, "make a page writable", &result, err);

	if (ret == 0)
		ret = inject_checked(place, &advise, "have a page wiped in its children", &result,
				     err);
	return ret ? ret : areas_switch(areas, &areas->control);
}

/* Fills a fresh area: header, code, and a link from the one before. */
static int furnish(struct areas *areas, const struct inject_place *place, struct err *err)
{
	size_t n = areas->n - 1;
	u64 start = areas->items[n].start;
	struct agent_header header = new_header();
	int ret;

	ret = proc_mem_write(place->mem, start + AGENT_CODE, agent_code,
			     (size_t)(agent_code_end - agent_code));
	if (ret == 0)
		ret = proc_mem_write(place->mem, start, &header, sizeof(header));
	if (ret == 0 && n)
		ret = proc_mem_write(
			place->mem, areas->items[n - 1].start + offsetof(struct agent_header, next),
			&start, sizeof(start));
	if (ret)
		return err_sys(err, -ret, "cannot write to the target");
	if (areas->jumps)
		ret = furnish_control(areas, place, start, err);
	return n || ret ? ret : install_agent(place, start, err);
}

static int map_at(struct areas *areas, u64 start, const struct inject_place *place, struct err *err)
{
	struct remote_call map = {
		.number = SYS_mmap,
		.args = {start, AGENT_AREA_SIZE, PROT_READ | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (u64)-1, 0},
	};
	s64 result;
	int ret;

	if (vec_reserve((void **)&areas->items, &areas->cap, areas->n + 1, sizeof(struct area)))
		return err_set(err, ENOMEM, "out of memory");
	ret = inject_call(place, &map, &result, err);
	if (ret)
		return ret;
	if (result < 0 && result > -4096)
		return err_sys(err, (int)-result, "the target cannot map %lu KB at %#lx",
			       AGENT_AREA_SIZE / 1024, start);
	/* From here on it is there and must be unmapped, whatever happens next. */
	areas->items[areas->n++] = (struct area){.start = (u64)result};
	if ((u64)result == start)
		return furnish(areas, place, err);
	/* A kernel before 4.17 takes the address for a hint. Useless to us, but to be unmapped. */
	areas->items[areas->n - 1].used = AGENT_SLOT_COUNT;
	return err_set(err, EEXIST, "the target mapped memory elsewhere than at %#lx", start);
}

/* For the guardian: an area without a header cannot be told from the target's own memory. */
static void note_unfinished(struct areas *areas, u64 start)
{
	if (areas->unfinished)
		__atomic_store_n(areas->unfinished, start, __ATOMIC_SEQ_CST);
}

static int map_near(struct areas *areas, u64 address, const struct inject_place *place,
		    struct err *err)
{
	struct maps maps;
	u64 start;
	int ret;

	ret = maps_read(&maps, tracee_pid(areas->tracee), err);
	if (ret)
		return ret;
	start = inject_find_gap(&maps, address, AGENT_AREA_SIZE, AREA_REACH);
	maps_deinit(&maps);
	if (!start) {
		areas->refused = true;
		return err_set(err, ENOMEM, "no free address space within 2 GB of %#lx", address);
	}
	note_unfinished(areas, start);
	ret = map_at(areas, start, place, err);
	note_unfinished(areas, 0);
	/* Another thread was faster with the same gap: not final. All else is. */
	if (ret && ret != -EEXIST && ret != -ESRCH)
		areas->refused = true;
	return ret;
}

int areas_map(struct areas *areas, u64 address, struct thread *thread, struct err *err)
{
	struct inject_place place = areas_place(areas, thread);
	int ret = inject_begin(&place, err);

	if (ret)
		return ret;
	ret = map_near(areas, address, &place, err);
	inject_end(&place);
	return ret;
}

int areas_adopt(struct areas *areas, u64 start)
{
	if (vec_reserve((void **)&areas->items, &areas->cap, areas->n + 1, sizeof(struct area)))
		return -ENOMEM;
	areas->items[areas->n++] = (struct area){.start = start, .used = AGENT_SLOT_COUNT};
	return 0;
}

/*
 * The target's own action again, unless the target has set another one
 * meanwhile. The kernel itself resets the action to the default when a thread
 * that blocks SIGTRAP runs into an int3: that was our doing.
 */
static int remove_agent(const struct areas *areas, const struct inject_place *place,
			struct err *err)
{
	struct agent_header header;
	struct agent_sigaction now;
	u64 area = 0;
	int ret;

	for (size_t i = 0; i < areas->n && !area; i++) {
		u64 start = areas->items[i].start;

		if (proc_mem_read(place->mem, start, &header, sizeof(header)) ==
			    (ssize_t)sizeof(header) &&
		    header.magic[0] == AGENT_MAGIC_0 && header.installed)
			area = start;
	}
	if (!area)
		return 0;
	ret = trap_action(place, NULL, &now, err);
	if (ret)
		return ret;
	if (now.handler != area + AGENT_CODE + AGENT_ENTRY_HANDLER &&
	    now.handler != (u64)(uintptr_t)SIG_DFL)
		return 0;
	return trap_action(place, &header.previous, &now, err);
}

static int unmap_all(const struct areas *areas, const struct inject_place *place, struct err *err)
{
	int ret = remove_agent(areas, place, err);

	for (size_t i = areas->n; i-- > 0 && !ret;) {
		struct remote_call call = {
			.number = SYS_munmap,
			.args = {areas->items[i].start, AGENT_AREA_SIZE},
		};
		s64 result;

		ret = inject_checked(place, &call, "unmap memory of ours", &result, err);
	}
	return ret;
}

int areas_unmap(struct areas *areas, struct thread *thread, struct err *err)
{
	struct threads *threads = tracee_threads(areas->tracee);
	struct inject_place place;
	int ret;

	/* Processes that share the memory have signal actions of their own. */
	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *other = threads_at(threads, i);

		if (!other->own_process || other->state != THREAD_STOPPED || other->has_status)
			continue;
		place = areas_place(areas, other);
		ret = remove_agent(areas, &place, err);
		other->regs_valid = false;
		if (ret && ret != -ESRCH)
			return ret;
	}
	place = areas_place(areas, thread);
	ret = unmap_all(areas, &place, err);
	thread->regs_valid = false;
	if (ret == 0)
		areas_forget(areas);
	return ret;
}

int areas_unmap_child(const struct areas *areas, pid_t child, const struct proc_mem *mem,
		      struct err *err)
{
	struct inject_place place = areas_place_of(areas, child, mem);

	return areas->n ? unmap_all(areas, &place, err) : 0;
}
