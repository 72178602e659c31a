/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_GUARDIAN_H
#define MEMATTACH_SESSION_GUARDIAN_H

#include "base/err.h"
#include "base/types.h"
#include "proc/mem.h"

/*
 * A process that does nothing but wait for memattach to end. If that happens
 * without guardian_dismiss (kill -9, a crash, the OOM killer), it takes the
 * breakpoints, the jumps and all else out of the target. The agent in the target (agent/)
 * keeps the target correct for the moment that this takes, and for ever if the
 * guardian is killed as well.
 */
#define GUARDIAN_NAME "memattach-guard"

struct guardian {
	pid_t pid; /* 0: none */
	/*
	 * In memory that memattach and guardian share: where an area is being mapped,
	 * until it has its header and can be told by that. NULL: none.
	 */
	u64 *unfinished;
};

/* Starts one for target pid. mem is the target's memory, already open. 0 or -errno with err filled. */
int guardian_start(struct guardian *guardian, pid_t pid, const struct proc_mem *mem,
		   struct err *err);

/* Waits, for some seconds at most, while the guardian of a memattach that was killed cleans pid up. */
void guardian_await(pid_t pid);

/* Everything is out of the target: the guardian ends. Does nothing if there is none. */
void guardian_dismiss(struct guardian *guardian);

#endif
