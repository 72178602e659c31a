// SPDX-License-Identifier: MIT
#include "attach/remote_x86_64.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "attach/ptrace.h"
#include "attach/sigframe_x86_64.h"

static const u8 remote_code[REMOTE_CODE_SIZE] = {
	0x0f, 0x05,                   /* syscall */
	0xb8, 0x0f, 0x00, 0x00, 0x00, /* mov $15, %eax (rt_sigreturn) */
	0x0f, 0x05,                   /* syscall */
};

bool remote_possible(const struct thread *thread)
{
	if (thread->state != THREAD_STOPPED || thread->exiting || thread->group_stopped ||
	    thread->own_process)
		return false;
	return !thread->has_status || trace_event_decode(thread->status) == EVENT_STOP;
}

/* Restarts tid and waits for its next stop of this kind; others in between are of no interest. */
static int run_until(pid_t tid, int request, enum trace_event kind)
{
	int status, ret;

	for (int i = 0; i < 16; i++) {
		ret = pt(request, tid, 0, 0);
		if (ret)
			return ret;
		ret = pt_wait(tid, &status);
		if (ret)
			return ret;
		if (!WIFSTOPPED(status) || trace_event_decode(status) == EVENT_EXIT)
			return -ESRCH;
		if (trace_event_decode(status) == kind)
			return 0;
	}
	return -EIO;
}

/* Runs the call that regs describe, with the code in place, up to its end. */
static int run_call(pid_t tid, const struct user_regs_struct *regs, s64 *result)
{
	struct user_regs_struct after;
	int ret;

	ret = pt(PTRACE_SETREGS, tid, 0, (u64)(uintptr_t)regs);
	if (ret == 0)
		ret = run_until(tid, PTRACE_SYSCALL, EVENT_SYSCALL); /* its beginning */
	if (ret == 0)
		ret = run_until(tid, PTRACE_SYSCALL, EVENT_SYSCALL); /* its end */
	if (ret == 0)
		ret = pt(PTRACE_GETREGS, tid, 0, (u64)(uintptr_t)&after);
	if (ret == 0)
		*result = (s64)after.rax;
	return ret;
}

/*
 * The kernel restarts an interrupted system call on its way out of get_signal.
 * After our call the thread stands somewhere else, at the end of a system call;
 * with an interrupt pending it goes through get_signal once more, and stops there.
 */
static int settle(pid_t tid)
{
	int ret = pt(PTRACE_INTERRUPT, tid, 0, 0);

	return ret ? ret : run_until(tid, PTRACE_CONT, EVENT_STOP);
}

static u64 argument(u64 value, u64 data)
{
	return (value & ~0xffffffffULL) == REMOTE_DATA ? data + (value & 0xffffffff) : value;
}

static void set_call(struct user_regs_struct *regs, u64 code, u64 sp,
		     const struct remote_call *call, u64 data)
{
	regs->rip = code;
	regs->rsp = sp;
	regs->rax = (u64)call->number;
	regs->orig_rax = (u64)-1;
	regs->rdi = argument(call->args[0], data);
	regs->rsi = argument(call->args[1], data);
	regs->rdx = argument(call->args[2], data);
	regs->r10 = argument(call->args[3], data);
	regs->r8 = argument(call->args[4], data);
	regs->r9 = argument(call->args[5], data);
}

/* The call itself, with the code in place: everything that has to be taken back is taken back. */
static int make_call(pid_t tid, const struct proc_mem *mem, u64 code, u64 sp,
		     const struct user_regs_struct *saved, u64 mask, const struct remote_call *call,
		     s64 *result)
{
	struct user_regs_struct regs = *saved;
	const struct remote_data *data = &call->data;
	u64 all = ~0ULL, address = (sp - REMOTE_DATA_MAX) & ~15ULL;
	int ret = 0, undo;

	if (data->length)
		ret = proc_mem_write(mem, address, data->bytes, data->length);
	/* No handler may run between here and the restored registers. */
	if (ret == 0)
		ret = pt(PTRACE_SETSIGMASK, tid, sizeof(all), (u64)(uintptr_t)&all);
	if (ret)
		return ret;
	set_call(&regs, code, sp, call, address);
	ret = run_call(tid, &regs, result);
	if (ret == 0 && data->length &&
	    proc_mem_read(mem, address, data->bytes, data->length) != (ssize_t)data->length)
		ret = -EFAULT;
	undo = pt(PTRACE_SETREGS, tid, 0, (u64)(uintptr_t)saved);
	if (!ret)
		ret = undo;
	undo = pt(PTRACE_SETSIGMASK, tid, sizeof(mask), (u64)(uintptr_t)&mask);
	return ret ? ret : undo;
}

int remote_syscall(pid_t tid, const struct proc_mem *mem, u64 code, const struct remote_call *call,
		   s64 *result, struct err *err)
{
	u8 saved_code[REMOTE_CODE_SIZE];
	struct user_regs_struct saved;
	u64 mask, sp;
	int ret, undo;

	ret = pt(PTRACE_GETREGS, tid, 0, (u64)(uintptr_t)&saved);
	if (ret == 0)
		ret = pt(PTRACE_GETSIGMASK, tid, sizeof(mask), (u64)(uintptr_t)&mask);
	if (ret == 0 &&
	    proc_mem_read(mem, code, saved_code, sizeof(saved_code)) != (ssize_t)sizeof(saved_code))
		ret = -EFAULT;
	if (ret)
		return err_sys(err, -ret, "cannot prepare a system call in thread %d", (int)tid);
	ret = sigframe_push(tid, mem, &saved, mask, &sp, err);
	if (ret)
		return ret;
	ret = proc_mem_write(mem, code, remote_code, sizeof(remote_code));
	if (ret)
		return err_sys(err, -ret, "cannot write code to %#lx", code);
	ret = make_call(tid, mem, code, sp, &saved, mask, call, result);
	undo = proc_mem_write(mem, code, saved_code, sizeof(saved_code));
	/* The call may just have unmapped the place where its code stood. */
	if (!ret && undo != -EFAULT && undo != -EIO)
		ret = undo;
	if (ret == 0)
		ret = settle(tid);
	if (ret)
		err_sys(err, -ret, "a system call in thread %d failed half-way", (int)tid);
	return ret;
}
