// SPDX-License-Identifier: MIT
#include "attach/ptrace.h"

#include <errno.h>

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
