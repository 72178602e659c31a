// SPDX-License-Identifier: MIT
#include "proc/target_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guard.h"

int target_root_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * For kernels before 5.6 and sandboxes that refuse openat2: one component at a
 * time, and a symlink is an error, since only the kernel could resolve it
 * inside the root without a race.
 */
static int walk(int root_fd, const char *path)
{
	int dir = dup(root_fd);

	if (dir < 0)
		return -errno;
	for (;;) {
		char name[NAME_MAX + 1];
		size_t len;
		int next;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len)
			return dir;
		if (len > NAME_MAX || (len == 2 && !memcmp(path, "..", 2))) {
			close(dir);
			return -EXDEV;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		next = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			next = -errno;
		close(dir);
		if (next < 0)
			return next;
		dir = next;
		path += len;
	}
}

/* An O_PATH descriptor of path inside root_fd, or -errno. */
static int open_path(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (root_fd < 0)
		return -EBADF;
	/* EAGAIN: a rename raced with a ".." of the path; not for ever, the target could go on. */
	for (int i = 0; i < 16; i++) {
		fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN)
			break;
	}
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	return walk(root_fd, path);
}

/* A descriptor for reading of what the O_PATH descriptor names, if that is a regular file. */
static int reopen_regular(int path_fd)
{
	char name[32];
	struct stat st;
	int fd;

	if (fstat(path_fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
	fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int target_file_open(int root_fd, const char *path)
{
	_cleanup_close_ int fd = open_path(root_fd, path);

	return fd < 0 ? fd : reopen_regular(fd);
}

int regular_file_open(const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : reopen_regular(fd);
}

int target_file_stat(int root_fd, const char *path, struct stat *st)
{
	_cleanup_close_ int fd = open_path(root_fd, path);

	if (fd < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}
