/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_REMOTE_X86_64_H
#define MEMATTACH_ATTACH_REMOTE_X86_64_H

#include "attach/sigframe_x86_64.h"
#include "attach/thread.h"
#include "base/err.h"
#include "base/types.h"
#include "proc/mem.h"

/*
 * System calls made by a stopped thread of the target on our behalf.
 *
 * The code is written over instructions that the target will not run meanwhile
 * and taken away again:
 *
 *	syscall			ours
 *	mov $15, %eax		only reached if memattach died meanwhile:
 *	syscall			rt_sigreturn from the frame that we left on the stack
 *
 * So a thread whose tracer dies half-way restores itself.
 */
#define REMOTE_CODE_SIZE 9

/* Whether that code stands at `code`: a memattach that was killed has left it there. */
bool remote_code_at(const struct proc_mem *mem, u64 code);

/* Whether the thread's present stop is one from which a call can be made: it must not be about to get a signal. */
bool remote_possible(const struct thread *thread);

/*
 * Memory that a call reads or writes: it is put on the thread's stack for the
 * time of the call, and what stands there afterwards is copied back. An argument
 * REMOTE_DATA + n means the address of its byte n.
 */
struct remote_data {
	void *bytes;
	size_t length; /* at most REMOTE_DATA_MAX */
};

#define REMOTE_DATA     0xfedcba9800000000ULL
#define REMOTE_DATA_MAX SIGFRAME_DATA

struct remote_call {
	long number;
	u64 args[6];
	struct remote_data data; /* length 0: none */
};

/*
 * Makes a system call in tid, a thread in a ptrace-stop, with code at `code`
 * (REMOTE_CODE_SIZE bytes of executable memory, which are restored). *result is
 * what the call returned (negative: its -errno). Registers, signal mask and a
 * system call that the stop interrupted are as before. 0, -ESRCH if the thread
 * died, or another -errno, then nothing was changed.
 */
int remote_syscall(pid_t tid, const struct proc_mem *mem, u64 code, const struct remote_call *call,
		   s64 *result, struct err *err);

#endif
