/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_WAITING_H
#define MEMATTACH_PROC_WAITING_H

#include "base/types.h"

/* Where a thread waits in the kernel, from /proc/TID/syscall. */
struct proc_waiting {
	s64 number;   /* of its system call; -1: in none, a page fault */
	u64 argument; /* the first one of the call */
	u64 sp, pc;   /* where it will go on */
};

/* 0; -EAGAIN for a thread that runs just now; -ESRCH, or another -errno. */
int proc_waiting_read(struct proc_waiting *waiting, pid_t tid);

/* The same from the text of that file. -EINVAL if malformed. */
int proc_waiting_parse(struct proc_waiting *waiting, const char *text, size_t len);

#endif
