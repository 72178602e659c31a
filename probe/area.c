// SPDX-License-Identifier: MIT
/*
 * Where an area goes: into the highest gap below the module that it serves.
 * Above a program lies its heap, which grows upwards; below the lowest library
 * the kernel itself would put the next mapping, so a mapping there is what any
 * mmap of the program's own would have done. Never below a stack.
 */
#include "probe/area.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "attach/ptrace.h"
#include "attach/remote_x86_64.h"
#include "base/vec.h"
#include "probe/relocate_x86_64.h"
#include "proc/maps.h"
#include "proc/status.h"

#define AREA_SIZE   (256 * 1024UL)
#define AREA_SLOTS  (AREA_SIZE / SLOT_SIZE)
#define AREA_MARGIN 0x1000UL
/* A displacement reaches 2 GB; the operand may lie anywhere in the module. */
#define AREA_REACH 0x70000000UL
#define LOWEST     0x11000UL

struct area {
	u64 start;
	u32 used; /* slots ever handed out */
};

struct areas {
	struct tracee *tracee;
	u64 entry;
	struct area *items;
	size_t n, cap;
	u64 *free_slots;
	size_t free_n, free_cap;
	bool refused;
};

struct areas *areas_create(struct tracee *tracee, struct err *err)
{
	struct areas *areas = calloc(1, sizeof(*areas));

	if (!areas) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	areas->tracee = tracee;
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

void areas_set_entry(struct areas *areas, u64 entry)
{
	areas->entry = entry;
}

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

static bool reaches(const struct area *area, u64 address)
{
	return distance(area->start, address) < AREA_REACH;
}

u64 areas_take_slot(struct areas *areas, u64 address)
{
	for (size_t i = areas->free_n; i-- > 0;) {
		u64 slot = areas->free_slots[i];

		if (distance(slot, address) < AREA_REACH) {
			areas->free_slots[i] = areas->free_slots[--areas->free_n];
			return slot;
		}
	}
	for (size_t i = 0; i < areas->n; i++) {
		struct area *area = &areas->items[i];

		if (reaches(area, address) && area->used < AREA_SLOTS)
			return area->start + SLOT_SIZE * area->used++;
	}
	return 0;
}

void areas_give_slot(struct areas *areas, u64 slot)
{
	/* Without memory for the list the slot is merely not used again. */
	if (slot && vec_reserve((void **)&areas->free_slots, &areas->free_cap, areas->free_n + 1,
				sizeof(u64)) == 0)
		areas->free_slots[areas->free_n++] = slot;
}

bool areas_contain(const struct areas *areas, u64 pc)
{
	for (size_t i = 0; i < areas->n; i++)
		if (pc - areas->items[i].start < AREA_SIZE)
			return true;
	return false;
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
		if (reaches(&areas->items[i], address) && areas->items[i].used < AREA_SLOTS)
			return false;
	for (size_t i = 0; i < areas->free_n; i++)
		if (distance(areas->free_slots[i], address) < AREA_REACH)
			return false;
	return true;
}

/* The start of a free gap for an area below address, 0 if there is none in reach. */
static u64 find_gap(const struct maps *maps, u64 address)
{
	size_t i = maps->n;

	while (i > 0 && maps->items[i - 1].start > address)
		i--;
	for (; i > 0; i--) {
		const struct map *above = &maps->items[i - 1];
		u64 floor = i > 1 ? maps->items[i - 2].end : LOWEST;
		u64 start;

		if (strcmp(above->path, "[stack]") == 0 || above->start < AREA_SIZE + AREA_MARGIN)
			continue;
		start = above->start - AREA_SIZE - AREA_MARGIN;
		if (distance(start, address) >= AREA_REACH)
			break;
		if (start >= floor + AREA_MARGIN && start >= LOWEST)
			return start;
	}
	return 0;
}

/* Suspends the target's seccomp filters for this thread. 0, or -errno if it may not be done. */
static int suspend_seccomp(const struct areas *areas, const struct thread *thread, bool *suspended)
{
	struct proc_status status;

	(void)areas;
	*suspended = false;
	if (proc_status_read(&status, thread->tid, NULL))
		return -ESRCH;
	if (!status.seccomp)
		return 0;
	*suspended = true;
	return tracee_options(thread, PTRACE_O_SUSPEND_SECCOMP);
}

static int remote(struct areas *areas, struct thread *thread, long number, const u64 args[6],
		  s64 *result, struct err *err)
{
	bool suspended;
	int ret = suspend_seccomp(areas, thread, &suspended);

	if (ret)
		return err_sys(err, -ret,
			       "the target filters its system calls (seccomp) and the filter "
			       "cannot be suspended");
	ret = remote_syscall(thread->tid, tracee_mem(areas->tracee), areas->entry, number, args,
			     result, err);
	if (suspended)
		tracee_options(thread, 0);
	/* The call may have left the thread in a later stop of the same kind. */
	thread->regs_valid = false;
	return ret;
}

static int map_at(struct areas *areas, u64 start, struct thread *thread, struct err *err)
{
	u64 map[6] = {start,
		      AREA_SIZE,
		      PROT_READ | PROT_EXEC,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		      (u64)-1,
		      0};
	u64 advise[6] = {start, AREA_SIZE, MADV_DONTFORK, 0, 0, 0};
	s64 result;
	int ret;

	if (vec_reserve((void **)&areas->items, &areas->cap, areas->n + 1, sizeof(struct area)))
		return err_set(err, ENOMEM, "out of memory");
	ret = remote(areas, thread, SYS_mmap, map, &result, err);
	if (ret)
		return ret;
	if (result < 0 && result > -4096)
		return err_sys(err, (int)-result, "the target cannot map %lu KB at %#lx",
			       AREA_SIZE / 1024, start);
	/* From here on it is there and must be unmapped, whatever happens next. */
	areas->items[areas->n++] = (struct area){.start = (u64)result};
	if ((u64)result != start)
		return err_set(err, EEXIST, "the target mapped memory elsewhere than at %#lx",
			       start);
	ret = remote(areas, thread, SYS_madvise, advise, &result, err);
	if (ret)
		return ret;
	return 0;
}

int areas_map(struct areas *areas, u64 address, struct thread *thread, struct err *err)
{
	struct maps maps;
	u64 start;
	int ret;

	ret = maps_read(&maps, tracee_pid(areas->tracee), err);
	if (ret)
		return ret;
	start = find_gap(&maps, address);
	maps_deinit(&maps);
	if (!start) {
		areas->refused = true;
		return err_set(err, ENOMEM, "no free address space within 2 GB of %#lx", address);
	}
	ret = map_at(areas, start, thread, err);
	/* Another thread was faster with the same gap: not final. All else is. */
	if (ret && ret != -EEXIST && ret != -ESRCH)
		areas->refused = true;
	return ret;
}

int areas_unmap(struct areas *areas, struct thread *thread, struct err *err)
{
	while (areas->n) {
		u64 args[6] = {areas->items[areas->n - 1].start, AREA_SIZE, 0, 0, 0, 0};
		s64 result;
		int ret = remote(areas, thread, SYS_munmap, args, &result, err);

		if (ret)
			return ret;
		areas->n--;
	}
	areas->free_n = 0;
	return 0;
}
