// SPDX-License-Identifier: MIT
#include "proc/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc/slurp.h"
#include "proc/stat.h"
#include "proc/status.h"

static int open_file(pid_t pid, const char *name, struct err *err)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ESRCH)
		return err_set(err, ESRCH, "there is no process %d", (int)pid);
	return err_sys(err, errno, "cannot open %s", path);
}

int proc_sampler_init(struct proc_sampler *sampler, pid_t pid, struct err *err)
{
	int status_fd, stat_fd;

	sampler->status_fd = sampler->stat_fd = -1;
	status_fd = open_file(pid, "status", err);
	if (status_fd < 0)
		return status_fd;
	stat_fd = open_file(pid, "stat", err);
	if (stat_fd < 0) {
		close(status_fd);
		return stat_fd;
	}
	sampler->status_fd = status_fd;
	sampler->stat_fd = stat_fd;
	return 0;
}

void proc_sampler_deinit(struct proc_sampler *sampler)
{
	if (sampler->status_fd >= 0)
		close(sampler->status_fd);
	if (sampler->stat_fd >= 0)
		close(sampler->stat_fd);
	sampler->status_fd = sampler->stat_fd = -1;
}

int proc_sampler_read(const struct proc_sampler *sampler, struct proc_sample *sample)
{
	struct proc_status status;
	struct proc_stat stat;
	char text[PROC_STATUS_MAX];
	ssize_t len;

	memset(sample, 0, sizeof(*sample));
	len = slurp_fd(sampler->status_fd, text, sizeof(text));
	if (len < 0)
		return (int)len;
	if (proc_status_parse(&status, text, (size_t)len, NULL) != 0)
		return -EIO;
	len = slurp_fd(sampler->stat_fd, text, sizeof(text));
	if (len < 0)
		return (int)len;
	if (proc_stat_parse(&stat, text, (size_t)len, NULL) != 0)
		return -EIO;
	/* What has no address space has no Vm lines: a zombie, a kernel thread. */
	if (status.vm_size == 0)
		return -ESRCH;
	sample->vm_size = status.vm_size;
	sample->vm_rss = status.vm_rss;
	sample->vm_hwm = status.vm_hwm;
	sample->vm_swap = status.vm_swap;
	sample->threads = status.threads;
	sample->minor_faults = stat.minor_faults;
	sample->major_faults = stat.major_faults;
	return 0;
}
