// SPDX-License-Identifier: MIT
#include "proc/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "proc/scan.h"

/* The entries of /proc/PID/task are thread ids in decimal, after "." and "..". */
static bool is_tid(const char *name, pid_t *tid)
{
	struct scan s = {.p = name, .end = name + strlen(name)};
	u64 value;

	if (!scan_u64(&s, 10, &value) || s.p != s.end || value == 0 || value > INT_MAX)
		return false;
	*tid = (pid_t)value;
	return true;
}

static int read_all(DIR *dir, pid_t **tids, size_t *count)
{
	struct dirent *entry;
	size_t cap = 0;
	pid_t tid;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (!is_tid(entry->d_name, &tid))
			continue;
		if (vec_reserve((void **)tids, &cap, *count + 1, sizeof(**tids)) != 0)
			return -ENOMEM;
		(*tids)[(*count)++] = tid;
	}
}

int proc_tasks(pid_t pid, pid_t **tids, size_t *count, struct err *err)
{
	char path[32];
	DIR *dir;
	int rc;

	*tids = NULL;
	*count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	rc = dir ? read_all(dir, tids, count) : -errno;
	if (dir)
		closedir(dir);
	/* A process that ends while its directory is open has an empty one, or none. */
	if (rc == -ENOENT || (rc == 0 && *count == 0))
		rc = -ESRCH;
	if (rc == 0)
		return 0;
	free(*tids);
	*tids = NULL;
	*count = 0;
	if (rc == -ESRCH)
		return err_set(err, ESRCH, "process %d is gone", (int)pid);
	return err_sys(err, -rc, "cannot list the threads in %s", path);
}
