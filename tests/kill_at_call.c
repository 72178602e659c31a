// SPDX-License-Identifier: MIT
#include "tests/kill_at_call.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

void kill_at_call_prepare(pid_t victim)
{
	ck_assert_msg(ptrace(PTRACE_SEIZE, victim, NULL,
			     (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) == 0,
		      "seize %d: %s", (int)victim, strerror(errno));
	ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, victim, NULL, NULL), 0);
}

static int next_stop(pid_t victim)
{
	int status;

	while (waitpid(victim, &status, __WALL) < 0)
		ck_assert_int_eq(errno, EINTR);
	return status;
}

/* The number of the call in whose stop the victim is; KILL_ANY_CALL at its end. */
static long call_number(pid_t victim)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, victim, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return KILL_ANY_CALL;
	return (long)info.entry.nr;
}

bool kill_at_call(pid_t victim, const struct moment *moment, int *status)
{
	bool signaled = !moment->sig, begun = moment->call == KILL_ANY_CALL;

	for (unsigned int calls = 0;;) {
		long sig = 0;

		*status = next_stop(victim);
		if (!WIFSTOPPED(*status))
			return false;
		if (WSTOPSIG(*status) == (SIGTRAP | 0x80)) {
			begun = begun || (signaled && call_number(victim) == moment->call);
			if (signaled && begun && ++calls == moment->n)
				break;
		} else if (*status >> 16 == 0) {
			sig = WSTOPSIG(*status);
			signaled = signaled || sig == moment->sig;
		}
		/* ESRCH: it was killed, which the next wait tells. */
		ptrace(PTRACE_SYSCALL, victim, NULL, (void *)sig);
	}
	kill(victim, SIGKILL);
	do
		*status = next_stop(victim);
	while (WIFSTOPPED(*status));
	return true;
}
