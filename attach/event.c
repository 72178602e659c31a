// SPDX-License-Identifier: MIT
#include "attach/event.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum trace_event trace_event_decode(int status)
{
	int sig;

	if (!WIFSTOPPED(status))
		return EVENT_GONE;
	sig = WSTOPSIG(status);
	switch (status >> 16) {
	case PTRACE_EVENT_STOP:
		/* Only these four stop a group; SIGTRAP here means any other reason. */
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
			return EVENT_GROUP_STOP;
		return EVENT_STOP;
	case PTRACE_EVENT_CLONE:
		return EVENT_CLONE;
	case PTRACE_EVENT_FORK:
		return EVENT_FORK;
	case PTRACE_EVENT_VFORK:
		return EVENT_VFORK;
	case PTRACE_EVENT_VFORK_DONE:
		return EVENT_VFORK_DONE;
	case PTRACE_EVENT_EXEC:
		return EVENT_EXEC;
	case PTRACE_EVENT_EXIT:
		return EVENT_EXIT;
	default:
		break;
	}
	if (sig == (SIGTRAP | 0x80))
		return EVENT_SYSCALL;
	return sig == SIGTRAP ? EVENT_TRAP : EVENT_SIGNAL;
}

int trace_event_signal(int status)
{
	return WIFSTOPPED(status) ? WSTOPSIG(status) & 0x7f : 0;
}
