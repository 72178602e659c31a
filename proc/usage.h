/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_USAGE_H
#define MEMATTACH_PROC_USAGE_H

#include "base/err.h"
#include "base/types.h"

/* What the memory of a process is, read at a snapshot. Bytes. */
struct proc_usage {
	u64 rss, pss, vsz, swap, hwm;
	u64 minor_faults, major_faults;
	u32 threads;
	/* Resident bytes by kind, from smaps; they add up to about rss. */
	u64 heap_rss;      /* [heap], the brk area */
	u64 anonymous_rss; /* anonymous mappings: mmap'ed arenas, big blocks */
	u64 stack_rss; /* [stack], and anonymous mappings that hold a thread's stack pointer if known */
	u64 file_rss;     /* private file mappings: code and data of libraries */
	u64 shared_rss;   /* shared mappings, shmem */
	u64 cgroup_limit; /* the lowest memory limit on the way up the cgroup tree; 0: none */
	u64 cgroup_usage; /* of the cgroup with that limit, all its processes and its page cache */
	u64 cgroup_cache; /* the part of it that is page cache not used of late: given up before a kill */
	bool estimated; /* smaps could not be read: the kinds are 0; pss, too, if smaps_rollup could not */
};

/* Reads it all. What cannot be read is 0 and, for smaps, said in estimated. -ESRCH if the process is gone. */
int proc_usage_read(struct proc_usage *usage, pid_t pid, struct err *err);

#endif
