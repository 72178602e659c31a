/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_STATUS_H
#define MEMATTACH_PROC_STATUS_H

#include "base/err.h"
#include "base/types.h"

/* What memattach needs of /proc/PID/status (or /proc/PID/task/TID/status). Bytes, not kB. */
struct proc_status {
	char name[64]; /* Name, unescaped */
	char state;    /* R S D T t Z X I */
	pid_t tgid, ppid, tracer;
	u32 uid, gid; /* effective */
	u32 real_uid, saved_uid, real_gid, saved_gid;
	u32 seccomp; /* 0 none, 1 strict, 2 filter */
	bool no_new_privs;
	u32 threads;
	u64 vm_size, vm_rss, vm_hwm, vm_swap;
	u64 sig_pending, shared_pending, sig_blocked, sig_ignored,
		sig_caught; /* bit n-1: signal n */
	u64 cap_effective, cap_permitted;
	bool shadow_stack; /* returns are checked against a second stack (Linux 6.6) */
};

/*
 * Room for a status as text. Only the Groups line can be long: this holds some
 * 8,000 groups of a user; of a longer one the end is missing.
 */
#define PROC_STATUS_MAX 65536

/* Reads the status of a process or thread. -ESRCH if there is none. */
int proc_status_read(struct proc_status *status, pid_t tid, struct err *err);

/* The same from text, for tests and the fuzzer. Missing fields are 0. -EINVAL if there is not even a State. */
int proc_status_parse(struct proc_status *status, const char *text, size_t len, struct err *err);

#endif
