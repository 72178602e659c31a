/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_SIGFRAME_X86_64_H
#define MEMATTACH_ATTACH_SIGFRAME_X86_64_H

#include "attach/regs_x86_64.h"
#include "base/err.h"
#include "proc/mem.h"

/*
 * Writes a signal frame with the registers regs, the signal mask and the
 * floating-point state of stopped thread tid onto its stack, below the red zone.
 * *sp is the stack pointer with which rt_sigreturn restores all that. 0 or
 * -errno (no room on the stack; the thread is gone).
 */
int sigframe_push(pid_t tid, const struct proc_mem *mem, const struct user_regs_struct *regs,
		  u64 mask, u64 *sp, struct err *err);

#endif
