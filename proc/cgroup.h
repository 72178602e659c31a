/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_CGROUP_H
#define MEMATTACH_PROC_CGROUP_H

#include <limits.h>

#include "base/types.h"

/* The memory limit that a process runs into first, and what is used of it. Bytes. */
struct cgroup_memory {
	u64 limit; /* 0: none */
	u64 usage; /* of the cgroup that has the limit */
	u64 cache; /* of usage: page cache that the kernel gives up before it kills */
};

/* Where the memory controller of a process is: found in text of /proc. */
struct cgroup_place {
	bool v1;                   /* its own hierarchy, or the unified one (v2) */
	char path[PATH_MAX];       /* of the cgroup in its hierarchy: "/system.slice/x.service" */
	char mount_root[PATH_MAX]; /* the cgroup that is mounted there, "/" mostly */
	char mount_dir[PATH_MAX];  /* where */
};

/* The cgroup in the text of /proc/PID/cgroup: fills v1 and path. -ENOENT if there is none. */
int cgroup_parse_path(struct cgroup_place *place, const char *text, size_t len);

/* Its mount point in the text of /proc/self/mountinfo: fills mount_*. -ENOENT if there is none. */
int cgroup_parse_mount(struct cgroup_place *place, const char *text, size_t len);

/*
 * The directory of the cgroup, below mount_dir. -ENOENT if it is not visible here:
 * outside of what is mounted, or a path with ".." (which a process outside of our
 * cgroup namespace has).
 */
int cgroup_directory(const struct cgroup_place *place, char *dir, size_t size);

/*
 * Reads the lowest limit in dir and the directories above it, down to (and with)
 * mount_dir, which dir begins with.
 */
void cgroup_read_limits(struct cgroup_memory *memory, const char *mount_dir, const char *dir,
			bool v1);

/* All of this for a process; everything 0 when there is no limit or it cannot be read. */
void cgroup_read(struct cgroup_memory *memory, pid_t pid);

#endif
