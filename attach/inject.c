// SPDX-License-Identifier: MIT
#include "attach/inject.h"

#include <errno.h>
#include <string.h>

#include "attach/ptrace.h"
#include "attach/tracee.h"
#include "proc/status.h"

#define MARGIN 0x1000UL
#define LOWEST 0x11000UL

static struct thread *find_caller(const struct inject_place *place)
{
	struct threads *threads = tracee_threads(place->tracee);
	struct thread *given = place->tid ? threads_find(threads, place->tid) : NULL;

	if (given && remote_possible(given))
		return given;
	for (u32 i = 0; i < threads_count(threads); i++)
		if (remote_possible(threads_at(threads, i)))
			return threads_at(threads, i);
	return NULL;
}

int inject_begin(struct inject_place *place, struct err *err)
{
	struct thread *thread;
	int ret;

	if (!place->tracee)
		return 0;
	thread = place->tid ? threads_find(tracee_threads(place->tracee), place->tid) : NULL;
	place->stopped = thread && thread->state == THREAD_STOPPED ? thread->tid : 0;
	ret = tracee_hold(place->tracee, err);
	thread = ret ? NULL : find_caller(place);
	if (thread) {
		place->tid = thread->tid;
		return 0;
	}
	inject_end(place);
	return ret ? ret
		   : err_set(err, EAGAIN,
			     "no thread of the target can make a system call at the moment");
}

void inject_end(struct inject_place *place)
{
	struct thread *thread;

	if (!place->tracee)
		return;
	thread = threads_find(tracee_threads(place->tracee), place->tid);
	if (thread)
		thread->regs_valid = false;
	thread =
		place->stopped ? threads_find(tracee_threads(place->tracee), place->stopped) : NULL;
	tracee_unhold(place->tracee, thread);
}

int inject_call(const struct inject_place *place, const struct remote_call *call, s64 *result,
		struct err *err)
{
	struct proc_status status;
	int ret = 0, undo;

	if (proc_status_read(&status, place->tid, NULL))
		return -ESRCH;
	if (status.seccomp)
		ret = tracee_options(place->tid, PTRACE_O_SUSPEND_SECCOMP);
	if (ret)
		return err_sys(err, -ret,
			       "the target filters its system calls (seccomp), and the filter "
			       "cannot be suspended");
	ret = remote_syscall(place->tid, place->mem, place->code, call, result, err);
	if (status.seccomp) {
		undo = tracee_options(place->tid, 0);
		if (!ret)
			ret = undo;
	}
	return ret;
}

int inject_checked(const struct inject_place *place, const struct remote_call *call,
		   const char *what, s64 *result, struct err *err)
{
	int ret = inject_call(place, call, result, err);

	if (ret)
		return ret;
	if (*result < 0 && *result > -4096)
		return err_sys(err, (int)-*result, "the target cannot %s", what);
	return 0;
}

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

u64 inject_find_gap(const struct maps *maps, u64 address, u64 size, u64 reach)
{
	size_t i = maps->n;

	while (i > 0 && maps->items[i - 1].start > address)
		i--;
	for (; i > 0; i--) {
		const struct map *above = &maps->items[i - 1];
		u64 floor = i > 1 ? maps->items[i - 2].end : LOWEST;
		u64 start;

		if (strcmp(above->path, "[stack]") == 0 || above->start < size + MARGIN)
			continue;
		start = (above->start - size - MARGIN) & ~(size - 1);
		if (distance(start, address) >= reach)
			break;
		if (start >= floor + MARGIN && start >= LOWEST)
			return start;
	}
	return 0;
}
