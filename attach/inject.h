/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_INJECT_H
#define MEMATTACH_ATTACH_INJECT_H

#include "attach/remote_x86_64.h"
#include "attach/tracee.h"
#include "base/err.h"
#include "proc/maps.h"
#include "proc/mem.h"

/* A stopped process or thread in which system calls can be made, and with which code. */
struct inject_place {
	pid_t tid;
	const struct proc_mem *mem;
	u64 code;              /* REMOTE_CODE_SIZE bytes that the target will not run meanwhile */
	struct tracee *tracee; /* that it belongs to; NULL: a process with no other threads */
	pid_t stopped;         /* the thread that stood still before inject_begin; 0: none */
};

/*
 * Calls are made with all threads stopped: the code may be another thread's, and
 * memory below the stack pointer another's stack (a coroutine's, in the heap). For
 * the time until inject_end they are, if they are not anyway; a thread is chosen
 * in which calls are possible, place->tid if that is one. -EAGAIN with err filled
 * if there is none at the moment.
 */
int inject_begin(struct inject_place *place, struct err *err);

/* All run again, but for the thread that had been stopped before. */
void inject_end(struct inject_place *place);

/*
 * Makes one call there; *result is what it returned. A seccomp filter is suspended
 * for it, since it might kill the target for a call that it does not expect. 0;
 * -ESRCH if the thread is gone; -errno with err filled.
 */
int inject_call(const struct inject_place *place, const struct remote_call *call, s64 *result,
		struct err *err);

/* The same for a call that is not expected to fail; what is "map memory" and so on. */
int inject_checked(const struct inject_place *place, const struct remote_call *call,
		   const char *what, s64 *result, struct err *err);

/*
 * The start of a free gap of size bytes, aligned to its size (a power of 2), below
 * address and at most reach bytes away; 0 if there is none.
 *
 * It is the highest gap below the module that has the address. Above a program
 * lies its heap, which grows upwards; below the lowest library the kernel itself
 * would put the next mapping, so a mapping there is what any mmap of the program's
 * own would have done. Never below a stack.
 */
u64 inject_find_gap(const struct maps *maps, u64 address, u64 size, u64 reach);

#endif
