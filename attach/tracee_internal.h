/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_TRACEE_INTERNAL_H
#define MEMATTACH_ATTACH_TRACEE_INTERNAL_H

/* Shared by the files tracee*.c and by nothing else. */
#include <sys/ptrace.h>

#include "attach/pace.h"
#include "attach/tracee.h"

#define TRACE_OPTIONS                                                                              \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
	 PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

struct tracee {
	pid_t pid;
	struct threads *threads;
	struct proc_mem mem;
	/* Tids of threads with has_status, first come first served; a ring. */
	pid_t *queue;
	size_t queue_head, queue_n, queue_cap;
	/* Forked processes whose first stop was seen while stopping all. */
	pid_t *newborns;
	size_t newborns_n, newborns_cap;
	/* Children seen before the event of their parent, a ring: see tracee.c. */
	pid_t early[64];
	u32 early_at;
	u32 since_scan; /* events since all threads were looked at */
	u32 scan_at;    /* where the next look begins */
	u32 holds;      /* tracee_hold without tracee_unhold */
	struct pace pace;
};

/* Keeps a stop of thread for tracee_next. 0 or -ENOMEM. */
int tracee_queue_status(struct tracee *tracee, struct thread *thread, int status);

/*
 * Takes note of a wait status of tid: fills event and returns true if the session
 * has to see it, false if it needed nothing.
 */
bool tracee_note(struct tracee *tracee, pid_t tid, int status, struct tracee_event *event);

/*
 * Looks for a stop or end of tid (0: any child) without a wait. Signal stops stay
 * unreaped, see tracee.c. Returns the tid, 0 if there is nothing, or -errno.
 */
pid_t tracee_poll(pid_t tid, int *status);

/* An empty tracee for pid, with its memory open if open_memory. NULL and err on failure. */
struct tracee *tracee_create(pid_t pid, bool open_memory, struct err *err);

#endif
