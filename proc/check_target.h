/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_CHECK_TARGET_H
#define MEMATTACH_PROC_CHECK_TARGET_H

#include "base/err.h"
#include "base/types.h"

/*
 * Can pid be profiled at all? Everything that can be told without disturbing
 * it: no such process, a thread id that is no process id, a zombie, a kernel
 * thread, memattach itself or its ancestor under whose trace it runs, already
 * traced (by whom), an ELF class or machine that is not ours. 0, or -errno with a
 * message that says what is the matter and what to do.
 */
int proc_check_target(pid_t pid, struct err *err);

/*
 * Explains why ptrace(2) on pid failed with code: for EPERM which of Yama's
 * ptrace_scope, credentials, dumpable, missing CAP_SYS_PTRACE, user namespace or
 * container seccomp it was, as far as /proc tells, and what to do about it.
 * Fills err and returns -code.
 */
int proc_explain_ptrace(pid_t pid, int code, struct err *err);

#endif
