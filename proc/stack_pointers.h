/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_STACK_POINTERS_H
#define MEMATTACH_PROC_STACK_POINTERS_H

#include "base/types.h"

/*
 * The stack pointers of the threads of pid that wait in a system call, from
 * /proc/PID/task/TID/syscall, sorted, into a malloc'ed array that the caller
 * frees. No thread is stopped; one that runs just now is left out, and so is
 * any beyond the first STACK_POINTERS_MAX. 0, also when there are none; -ENOMEM.
 */
int stack_pointers_read(pid_t pid, u64 **pointers, size_t *n);

#define STACK_POINTERS_MAX 4096

/* The stack pointer in the text of one such file; false if there is none. */
bool stack_pointer_parse(const char *text, size_t len, u64 *pointer);

#endif
