/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_SIGFRAME_X86_64_H
#define MEMATTACH_ATTACH_SIGFRAME_X86_64_H

#include "attach/regs_x86_64.h"
#include "base/err.h"
#include "proc/mem.h"

/* A signal frame on the stack of a stopped thread, and what stood there before. */
struct sigframe {
	u64 sp;   /* the stack pointer with which rt_sigreturn restores the thread */
	u64 data; /* SIGFRAME_DATA bytes above it that may be used as well */
	u64 low;
	size_t length;
	u8 *before;
};

#define SIGFRAME_DATA 256

/*
 * Writes a signal frame with the registers regs, the signal mask and the
 * floating-point state of stopped thread tid onto its stack, below the red zone.
 * The stack may be a small one in the middle of other data: what stood there is
 * kept. 0 or -errno (no room on the stack; the thread is gone); on success
 * release with sigframe_pop.
 */
int sigframe_push(struct sigframe *frame, pid_t tid, const struct proc_mem *mem,
		  const struct user_regs_struct *regs, u64 mask, struct err *err);

/* Puts what stood in its place back, and frees what is ours. 0 or -errno. */
int sigframe_pop(struct sigframe *frame, const struct proc_mem *mem);

#endif
