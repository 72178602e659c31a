/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_SAMPLER_H
#define MEMATTACH_PROC_SAMPLER_H

#include "base/err.h"
#include "base/types.h"

/*
 * RSS, VSZ, swap and page faults of a process from files in /proc/PID that stay
 * open, so that a sample is two preads and no path lookup, and a PID that is
 * reused is never taken for the target.
 */
struct proc_sampler {
	int status_fd, stat_fd;
};

struct proc_sample {
	u64 vm_size, vm_rss, vm_hwm, vm_swap; /* bytes */
	u64 minor_faults, major_faults;       /* since the process began */
	u32 threads;
};

int proc_sampler_init(struct proc_sampler *sampler, pid_t pid, struct err *err);
void proc_sampler_deinit(struct proc_sampler *sampler);

/* 0; -ESRCH when the process is gone (or its memory is: a zombie has no VmRSS). */
int proc_sampler_read(const struct proc_sampler *sampler, struct proc_sample *sample);

#endif
