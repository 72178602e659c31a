/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_REGS_X86_64_H
#define MEMATTACH_ATTACH_REGS_X86_64_H

#include <stddef.h>
#include <sys/user.h>

#include "base/types.h"

/* The registers of a stopped thread, and what the calling convention says they mean. */
struct thread_regs {
	struct user_regs_struct u;
};

#define REGS_PC_OFFSET offsetof(struct user, regs.rip)

static inline u64 regs_pc(const struct thread_regs *regs)
{
	return regs->u.rip;
}

static inline u64 regs_sp(const struct thread_regs *regs)
{
	return regs->u.rsp;
}

static inline u64 regs_return_value(const struct thread_regs *regs)
{
	return regs->u.rax;
}

/* Integer argument n of a function, counted from 1, on its first instruction; n is 1 to 6. */
static inline u64 regs_argument(const struct thread_regs *regs, unsigned int n)
{
	switch (n) {
	case 1:
		return regs->u.rdi;
	case 2:
		return regs->u.rsi;
	case 3:
		return regs->u.rdx;
	case 4:
		return regs->u.rcx;
	case 5:
		return regs->u.r8;
	default:
		return regs->u.r9;
	}
}

#define REGS_MAX_ARGUMENTS 6

/* The length of the breakpoint instruction, int3, and so how far pc is past it in its stop. */
#define BREAKPOINT_BYTE   0xcc
#define BREAKPOINT_LENGTH 1

#endif
