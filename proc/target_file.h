/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_TARGET_FILE_H
#define MEMATTACH_PROC_TARGET_FILE_H

#include "base/types.h"

/*
 * Opening files whose name a target chose. The path is resolved inside a root
 * directory, as the target would see it: no symlink leads out of that, none
 * of /proc's magic links is followed, and nothing but a regular file is ever
 * opened (a FIFO would block, a device might do something).
 */

/* The root directory of process pid, O_PATH: stays valid when the process ends. -errno on failure. */
int target_root_open(pid_t pid);

/*
 * Opens the regular file at path (a leading "/" means root_fd) for reading.
 * Returns a descriptor of the caller's, or -errno; -EINVAL if it is no regular
 * file.
 */
int target_file_open(int root_fd, const char *path);

/* The same for a path of our own mount namespace, such as /proc/PID/map_files/START-END. */
int regular_file_open(const char *path);

/* Like fstatat of path inside root_fd, following symlinks there. 0 or -errno. */
struct stat;
int target_file_stat(int root_fd, const char *path, struct stat *st);

#endif
