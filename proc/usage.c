// SPDX-License-Identifier: MIT
#include "proc/usage.h"

#include <string.h>

#include "base/guard.h"
#include "proc/cgroup.h"
#include "proc/sampler.h"
#include "proc/smaps.h"
#include "proc/stack_pointers.h"

static void read_kinds(struct proc_usage *usage, pid_t pid)
{
	_cleanup_free_ u64 *pointers = NULL;
	struct smaps_totals totals;
	size_t n;

	if (stack_pointers_read(pid, &pointers, &n) != 0)
		n = 0;
	if (smaps_read(&totals, pid, "smaps", pointers, n, NULL) == 0) {
		usage->pss = totals.pss;
		usage->heap_rss = totals.heap;
		usage->anonymous_rss = totals.anonymous;
		usage->stack_rss = totals.stack;
		usage->file_rss = totals.file;
		usage->shared_rss = totals.shared;
		return;
	}
	usage->estimated = true;
	if (smaps_read(&totals, pid, "smaps_rollup", NULL, 0, NULL) == 0)
		usage->pss = totals.pss;
}

int proc_usage_read(struct proc_usage *usage, pid_t pid, struct err *err)
{
	struct proc_sampler sampler;
	struct cgroup_memory memory;
	struct proc_sample sample;
	int rc;

	memset(usage, 0, sizeof(*usage));
	rc = proc_sampler_init(&sampler, pid, err);
	if (rc != 0)
		return rc;
	rc = proc_sampler_read(&sampler, &sample);
	proc_sampler_deinit(&sampler);
	if (rc != 0)
		return err_sys(err, -rc, "cannot read the memory figures of process %d", (int)pid);
	usage->rss = sample.vm_rss;
	usage->vsz = sample.vm_size;
	usage->swap = sample.vm_swap;
	usage->hwm = sample.vm_hwm;
	usage->minor_faults = sample.minor_faults;
	usage->major_faults = sample.major_faults;
	usage->threads = sample.threads;
	read_kinds(usage, pid);
	cgroup_read(&memory, pid);
	usage->cgroup_limit = memory.limit;
	usage->cgroup_usage = memory.usage;
	usage->cgroup_cache = memory.cache;
	return 0;
}
