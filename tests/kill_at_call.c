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

bool kill_at_call(pid_t victim, unsigned int n, int *status)
{
	for (unsigned int calls = 0;;) {
		long sig = 0;

		*status = next_stop(victim);
		if (!WIFSTOPPED(*status))
			return false;
		if (WSTOPSIG(*status) == (SIGTRAP | 0x80)) {
			if (++calls == n)
				break;
		} else if (*status >> 16 == 0) {
			sig = WSTOPSIG(*status);
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
