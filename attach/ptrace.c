// SPDX-License-Identifier: MIT
#include "attach/ptrace.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "proc/stat.h"

/* How often waitpid is asked before the thread may sleep longer than a stop takes to come. */
#define EAGER_TRIES 2000

int pt(int request, pid_t tid, u64 addr, u64 data)
{
	errno = 0;
	if (ptrace((enum __ptrace_request)request, tid, (void *)(uintptr_t)addr,
		   (void *)(uintptr_t)data) == -1 &&
	    errno)
		return -errno;
	return 0;
}

int pt_peekuser(pid_t tid, u64 offset, u64 *value)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKUSER, tid, (void *)(uintptr_t)offset, NULL);
	if (errno)
		return -errno;
	*value = (u64)word;
	return 0;
}

static pid_t look_for_stop(pid_t tid, int *status)
{
	siginfo_t info;

	info.si_pid = 0;
	if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | __WALL | WNOHANG))
		return -1;
	*status = info.si_status << 8 | 0x7f;
	return info.si_pid;
}

static int wait_for(pid_t tid, int *status, bool end)
{
	struct timespec nap = {.tv_nsec = 50000};
	struct proc_stat stat;
	pid_t done;

	for (int tries = 0;; tries++) {
		done = end ? waitpid(tid, status, __WALL | WNOHANG) : look_for_stop(tid, status);
		if (done == tid)
			return 0;
		if (done < 0 && errno != EINTR)
			return errno == ECHILD ? -ESRCH : -errno;
		if (tries < EAGER_TRIES)
			continue;
		if (proc_stat_read(&stat, tid, NULL) || stat.state == 'Z' || stat.state == 'X')
			return -ESRCH;
		nanosleep(&nap, NULL);
	}
}

int pt_wait(pid_t tid, int *status)
{
	return wait_for(tid, status, true);
}

int pt_wait_stop(pid_t tid, int *status)
{
	return wait_for(tid, status, false);
}
