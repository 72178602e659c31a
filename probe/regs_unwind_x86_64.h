/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_REGS_UNWIND_X86_64_H
#define MEMATTACH_PROBE_REGS_UNWIND_X86_64_H

#include "attach/regs_x86_64.h"
#include "unwind/unwind.h"

/* From the kernel's order of registers to DWARF's. */
static inline void regs_to_unwind(const struct thread_regs *regs, struct unwind_regs *out)
{
	const struct user_regs_struct *u = &regs->u;

	*out = (struct unwind_regs){{u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp, u->rsp,
				     u->r8, u->r9, u->r10, u->r11, u->r12, u->r13, u->r14, u->r15,
				     u->rip}};
}

#endif
