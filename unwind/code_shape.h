/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_CODE_SHAPE_H
#define MEMATTACH_UNWIND_CODE_SHAPE_H

#include "base/reader.h"
#include "base/types.h"

/* What the bytes of code without unwind information tell about its frame. */

/*
 * Is pc, or pc + 1 (pc being a return address minus 1), the start of
 * `mov $__NR_rt_sigreturn, %eax; syscall`? musl's signal trampoline, and others
 * without CFI, are told by it, as gdb and libunwind do.
 */
bool code_is_sigreturn(const struct mem_reader *memory, u64 pc);

/*
 * Is the return address still, or again, at rsp: does a thread that stands at pc
 * stand at a function's first instruction (a breakpoint may have been put over
 * its first byte) or at a ret?
 */
bool code_has_bare_frame(const struct mem_reader *memory, u64 pc);

/* Do the bytes before pc end in a call instruction, direct or through a register or memory? */
bool code_follows_call(const struct mem_reader *memory, u64 pc);

#endif
