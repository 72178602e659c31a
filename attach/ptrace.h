/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_PTRACE_H
#define MEMATTACH_ATTACH_PTRACE_H

#include <sys/ptrace.h>

#include "base/types.h"

/*
 * The one funnel for ptrace(2): returns 0 or -errno. -ESRCH is no failure of
 * ours: the thread is gone, or was killed out of its stop.
 */
int pt(int request, pid_t tid, u64 addr, u64 data);

/* PTRACE_PEEKUSER: the word at offset of struct user into *value. 0 or -errno. */
int pt_peekuser(pid_t tid, u64 offset, u64 *value);

/*
 * Waits for the next stop or the end of one thread that was just restarted.
 * 0, or -ESRCH: it is gone, or it is a leader that has died before its other
 * threads, of which waitpid says nothing until these have ended, too.
 */
int pt_wait(pid_t tid, int *status);

/* The same for a stop only: the end of the thread is left to whoever waits for it. */
int pt_wait_stop(pid_t tid, int *status);

#endif
