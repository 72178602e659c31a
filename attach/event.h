/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_EVENT_H
#define MEMATTACH_ATTACH_EVENT_H

#include "base/types.h"

/*
 * What a wait status of a traced thread means. Each comment says how to restart
 * the thread; see ptrace(2), "Stopped states".
 */
enum trace_event {
	/* SIGTRAP that may be a breakpoint of ours: probe decides; resume with 0, or with SIGTRAP if it is the target's. */
	EVENT_TRAP,
	/* A signal is about to be delivered: resume with that signal, which keeps its siginfo. */
	EVENT_SIGNAL,
	/* The process was stopped (SIGSTOP, ^Z): PTRACE_LISTEN, so that it stays stopped and SIGCONT is noticed. */
	EVENT_GROUP_STOP,
	/* PTRACE_INTERRUPT, a group stop that ended, or the first stop of a new thread: resume with 0. */
	EVENT_STOP,
	/* The thread made another one or a process; message is its tid: resume with 0, and see to the new one. */
	EVENT_CLONE,
	EVENT_FORK,
	EVENT_VFORK,
	/* The vfork child has exec'ed or exited: resume with 0. */
	EVENT_VFORK_DONE,
	/* A new image is in place; message is the tid that the thread had before: resume with 0. */
	EVENT_EXEC,
	/* The thread is about to end, its memory is still there: resume with 0. */
	EVENT_EXIT,
	/* The system call of PTRACE_SYSCALL begins or ends: only seen by remote system calls. */
	EVENT_SYSCALL,
	/* The thread is gone; nothing to restart. */
	EVENT_GONE,
	/* A child of ours that is not traced has ended; nothing to restart. */
	EVENT_STRANGER,
};

/* The meaning of a wait status (waitpid with __WALL, after PTRACE_SEIZE with TRACESYSGOOD). */
enum trace_event trace_event_decode(int status);

/* The signal to resume an EVENT_SIGNAL or EVENT_TRAP stop with, or of a group stop. */
int trace_event_signal(int status);

#endif
