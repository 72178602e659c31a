/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_STAT_H
#define MEMATTACH_PROC_STAT_H

#include "base/err.h"
#include "base/types.h"

/* What memattach needs of /proc/PID/stat. */
struct proc_stat {
	char state;
	u64 flags;                      /* PF_* of the kernel's sched.h */
	u64 minor_faults, major_faults; /* of all threads since the process began */
	u64 start_time;                 /* clock ticks since boot: with the pid, an identity */
};

#define PROC_STAT_KTHREAD 0x00200000ULL /* PF_KTHREAD */

/* Reads the stat of a process. -ESRCH if there is none. */
int proc_stat_read(struct proc_stat *stat, pid_t pid, struct err *err);

/* The same from text, for the sampler, tests and the fuzzer. -EINVAL if malformed. */
int proc_stat_parse(struct proc_stat *stat, const char *text, size_t len, struct err *err);

#endif
