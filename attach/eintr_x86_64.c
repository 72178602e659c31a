// SPDX-License-Identifier: MIT
/*
 * Most system calls interrupted by a ptrace-stop return -ERESTARTSYS and the
 * like, and the kernel restarts them by itself when rax and orig_rax are left
 * alone. Those in this table return -EINTR at once. Restarting one is what the
 * kernel does for the others: rax takes the number of the call again and rip
 * goes back over the two bytes of the syscall instruction.
 *
 * A call with a timeout starts over with the whole of it. Where a socket has
 * SO_RCVTIMEO or SO_SNDTIMEO, recv and send and their kind return -EINTR, too
 * (sock_intr_errno), so these are in the table.
 */
#include "attach/eintr_x86_64.h"

#include <errno.h>
#include <sys/syscall.h>

#define SYSCALL_LENGTH 2

bool eintr_call_is_fragile(u64 number)
{
	switch (number) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_splice:
	case SYS_sendfile:
	case SYS_copy_file_range:
	case SYS_fallocate:
		return true;
	default:
		return false;
	}
}

bool eintr_undo(struct thread *thread)
{
	struct user_regs_struct *u = &thread->regs.u;

	if ((s64)u->rax != -EINTR || (s64)u->orig_rax < 0 || !eintr_call_is_fragile(u->orig_rax))
		return false;
	u->rax = u->orig_rax;
	u->rip -= SYSCALL_LENGTH;
	thread->restarted_pc = u->rip;
	return true;
}

bool eintr_redo(struct thread *thread)
{
	struct user_regs_struct *u = &thread->regs.u;
	u64 pc = thread->restarted_pc;

	thread->restarted_pc = 0;
	if (!pc || u->rip != pc || u->rax != u->orig_rax)
		return false;
	u->rax = (u64)-EINTR;
	u->rip += SYSCALL_LENGTH;
	return true;
}
