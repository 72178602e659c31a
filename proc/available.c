// SPDX-License-Identifier: MIT
#include "proc/available.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proc/cgroup.h"
#include "proc/slurp.h"

u64 available_parse(const char *text)
{
	const char *line = strstr(text, "MemAvailable:");
	unsigned long kilobytes;

	return line && sscanf(line, "MemAvailable: %lu kB", &kilobytes) == 1 &&
			       kilobytes <= UINT64_MAX / 1024
		       ? (u64)kilobytes * 1024
		       : 0;
}

static u64 of_machine(void)
{
	char text[4096];
	ssize_t n = slurp_path("/proc/meminfo", text, sizeof(text));
	u64 bytes = n > 0 ? available_parse(text) : 0;

	return bytes ? bytes : (u64)sysconf(_SC_PHYS_PAGES) * (u64)sysconf(_SC_PAGESIZE);
}

u64 available_memory(void)
{
	u64 bytes = of_machine(), used;
	struct cgroup_memory cgroup;
	struct rlimit limit;

	cgroup_read(&cgroup, getpid());
	used = cgroup.usage - (cgroup.cache < cgroup.usage ? cgroup.cache : cgroup.usage);
	if (cgroup.limit && used >= cgroup.limit)
		return 0;
	if (cgroup.limit && cgroup.limit - used < bytes)
		bytes = cgroup.limit - used;
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < bytes)
		bytes = limit.rlim_cur;
	return bytes;
}
