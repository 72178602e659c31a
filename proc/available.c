// SPDX-License-Identifier: MIT
#include "proc/available.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

u64 available_within(u64 machine, const struct cgroup_memory *cgroup, u64 address_space)
{
	u64 bytes = machine;
	u64 used = cgroup->usage - (cgroup->cache < cgroup->usage ? cgroup->cache : cgroup->usage);

	if (cgroup->limit && used >= cgroup->limit)
		return 0;
	if (cgroup->limit && cgroup->limit - used < bytes)
		bytes = cgroup->limit - used;
	return address_space < bytes ? address_space : bytes;
}

u64 available_memory(void)
{
	struct cgroup_memory cgroup;
	struct rlimit limit;

	cgroup_read(&cgroup, getpid());
	if (getrlimit(RLIMIT_AS, &limit))
		limit.rlim_cur = RLIM_INFINITY;
	return available_within(of_machine(), &cgroup, limit.rlim_cur);
}
