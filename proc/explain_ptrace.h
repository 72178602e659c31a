/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_EXPLAIN_PTRACE_H
#define MEMATTACH_PROC_EXPLAIN_PTRACE_H

#include "base/err.h"
#include "base/types.h"
#include "proc/status.h"

/* What decides whether the kernel lets us trace a process, as far as /proc tells. */
struct ptrace_facts {
	struct proc_status self, target;
	int yama_scope; /* of /proc/sys/kernel/yama/ptrace_scope; -1: no Yama */
	u32 proc_owner; /* owner of the files in /proc/PID: root if the target is not dumpable */
	bool ns_reached; /* our capabilities count for the target: its user namespace is ours or below */
	bool is_descendant; /* the target was started by us, or by a child of ours */
	char tracer[64];    /* name of target.tracer's process */
};

/* Reads the facts. -ESRCH if the target is gone. */
int ptrace_facts_read(struct ptrace_facts *facts, pid_t pid);

/*
 * Why the facts make ptrace fail with EPERM and what to do, in one or two
 * lines, in the order in which the kernel asks. Pure: no process is asked.
 */
void ptrace_facts_explain(const struct ptrace_facts *facts, pid_t pid, char *text, size_t size);

#endif
