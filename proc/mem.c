// SPDX-License-Identifier: MIT
#include "proc/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

int proc_mem_open(struct proc_mem *mem, pid_t pid, struct err *err)
{
	char path[32];

	mem->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem->fd = open(path, O_RDWR | O_CLOEXEC);
	if (mem->fd < 0)
		return err_sys(err, errno, "cannot open %s", path);
	return 0;
}

void proc_mem_close(struct proc_mem *mem)
{
	if (mem->fd >= 0)
		close(mem->fd);
	mem->fd = -1;
}

ssize_t proc_mem_read(const struct proc_mem *mem, u64 addr, void *buf, size_t len)
{
	struct iovec local = {.iov_base = buf, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
	ssize_t n;

	n = process_vm_readv(mem->pid, &local, 1, &remote, 1, 0);
	if (n >= 0)
		return n;
	/* EPERM and ENOSYS: a sandbox that filters the call; execute-only pages: EFAULT. */
	n = pread(mem->fd, buf, len, (off_t)addr);
	return n < 0 ? -errno : n;
}

int proc_mem_write(const struct proc_mem *mem, u64 addr, const void *buf, size_t len)
{
	ssize_t n;

	n = pwrite(mem->fd, buf, len, (off_t)addr);
	if (n < 0)
		return -errno;
	/* 0: the address space is gone, the process is exiting. */
	if (n == 0)
		return -ESRCH;
	return (size_t)n == len ? 0 : -EIO;
}

bool proc_mem_is_gone(const struct proc_mem *mem)
{
	char c;

	/* Without users left of the address space there is not even an address to be wrong: 0, end of file. */
	return pread(mem->fd, &c, 1, 0) == 0;
}

static ssize_t read_through(void *ctx, u64 addr, void *buf, size_t len)
{
	return proc_mem_read(ctx, addr, buf, len);
}

struct mem_reader proc_mem_reader(const struct proc_mem *mem)
{
	return (struct mem_reader){.read = read_through, .ctx = (void *)mem};
}
