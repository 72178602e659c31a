/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_IDENTITY_H
#define MEMATTACH_PROC_IDENTITY_H

#include "base/err.h"
#include "base/types.h"

/* What program a process runs. Strings are malloc'ed and owned; release with proc_identity_deinit. */
struct proc_identity {
	char *exe;      /* where /proc/PID/exe points; "" if it cannot be read */
	char **command; /* the arguments from /proc/PID/cmdline; at most 4096 of them */
	size_t command_n;
	u64 entry; /* the program's entry point (AT_ENTRY); 0 if unknown */
};

/* Reads it. 0, -ENOMEM or -ESRCH with err filled. */
int proc_identity_read(struct proc_identity *identity, pid_t pid, struct err *err);
void proc_identity_deinit(struct proc_identity *identity);

#endif
