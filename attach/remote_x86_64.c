// SPDX-License-Identifier: MIT
#include "attach/remote_x86_64.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/ptrace.h"
#include "attach/sigframe_x86_64.h"

static const u8 remote_code[REMOTE_CODE_SIZE] = {
	0x0f, 0x05,                   /* syscall */
	0xb8, 0x0f, 0x00, 0x00, 0x00, /* mov $15, %eax (rt_sigreturn) */
	0x0f, 0x05,                   /* syscall */
};

bool remote_code_at(const struct proc_mem *mem, u64 code)
{
	u8 now[REMOTE_CODE_SIZE];

	return proc_mem_read(mem, code, now, sizeof(now)) == (ssize_t)sizeof(now) &&
	       memcmp(now, remote_code, sizeof(now)) == 0;
}

bool remote_possible(const struct thread *thread)
{
	if (thread->state != THREAD_STOPPED || thread->exiting || thread->own_process)
		return false;
	return !thread->has_status || trace_event_decode(thread->status) == EVENT_STOP;
}

/*
 * Restarts tid and waits for its next stop of this kind. SIGSTOP, which no mask
 * holds back, is put off until the call is over: *put_off counts it.
 */
static int run_until(pid_t tid, int request, enum trace_event kind, int *put_off)
{
	int status, ret;

	for (int i = 0; i < 16; i++) {
		enum trace_event event;

		ret = pt(request, tid, 0, 0);
		if (ret)
			return ret;
		ret = pt_wait_stop(tid, &status);
		if (ret)
			return ret;
		event = trace_event_decode(status);
		if (event == EVENT_EXIT) {
			/* Nobody else will see this stop. */
			pt(PTRACE_CONT, tid, 0, 0);
			return -ESRCH;
		}
		if (event == EVENT_SIGNAL && trace_event_signal(status) == SIGSTOP)
			(*put_off)++;
		/* Another thread has taken the SIGSTOP: this one is to stop with it. */
		if (event == EVENT_GROUP_STOP && kind != EVENT_STOP)
			(*put_off)++;
		/* In a stopped process the answer to an interrupt is a group stop. */
		if (event == kind || (kind == EVENT_STOP && event == EVENT_GROUP_STOP))
			return 0;
	}
	return -EIO;
}

/* Runs the call that the registers describe, with the code in place, up to its end. */
static int run_call(pid_t tid, s64 *result, int *put_off)
{
	struct user_regs_struct after;
	int ret = run_until(tid, PTRACE_SYSCALL, EVENT_SYSCALL, put_off); /* its beginning */

	if (ret == 0)
		ret = run_until(tid, PTRACE_SYSCALL, EVENT_SYSCALL, put_off); /* its end */
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
static int settle(pid_t tid, int put_off)
{
	int ret = pt(PTRACE_INTERRUPT, tid, 0, 0);

	if (ret == 0)
		ret = run_until(tid, PTRACE_CONT, EVENT_STOP, &put_off);
	if (ret == 0 && put_off)
		syscall(SYS_tkill, tid, SIGSTOP);
	return ret;
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

/* The call itself, with code and frame in place: everything else that it changes is taken back. */
static int make_call(pid_t tid, const struct proc_mem *mem, u64 code, const struct sigframe *frame,
		     const struct user_regs_struct *saved, u64 mask, const struct remote_call *call,
		     s64 *result, int *put_off)
{
	struct user_regs_struct regs = *saved;
	const struct remote_data *data = &call->data;
	u64 all = ~0ULL;
	int ret = 0, undo;

	set_call(&regs, code, frame->sp, call, frame->data);
	if (data->length)
		ret = proc_mem_write(mem, frame->data, data->bytes, data->length);
	/*
	 * Registers before the mask, and afterwards the mask before the registers: if
	 * we are killed in between, the thread runs the code above, and the frame
	 * restores both.
	 */
	if (ret == 0)
		ret = pt(PTRACE_SETREGS, tid, 0, (u64)(uintptr_t)&regs);
	if (ret)
		return ret;
	/* No handler may run between here and the restored registers. */
	ret = pt(PTRACE_SETSIGMASK, tid, sizeof(all), (u64)(uintptr_t)&all);
	if (ret == 0)
		ret = run_call(tid, result, put_off);
	if (ret == 0 && data->length &&
	    proc_mem_read(mem, frame->data, data->bytes, data->length) != (ssize_t)data->length)
		ret = -EFAULT;
	undo = pt(PTRACE_SETSIGMASK, tid, sizeof(mask), (u64)(uintptr_t)&mask);
	if (!ret)
		ret = undo;
	undo = pt(PTRACE_SETREGS, tid, 0, (u64)(uintptr_t)saved);
	return ret ? ret : undo;
}

/* With the registers saved: code and frame go in, the call is made, both come out. */
static int inject(pid_t tid, const struct proc_mem *mem, u64 code,
		  const struct user_regs_struct *saved, u64 mask, const struct remote_call *call,
		  s64 *result, int *put_off, struct err *err)
{
	u8 saved_code[REMOTE_CODE_SIZE];
	struct sigframe frame;
	int ret, undo;

	if (proc_mem_read(mem, code, saved_code, sizeof(saved_code)) != (ssize_t)sizeof(saved_code))
		return err_sys(err, EFAULT, "cannot read code at %#lx", code);
	ret = sigframe_push(&frame, tid, mem, saved, mask, err);
	if (ret)
		return ret;
	ret = proc_mem_write(mem, code, remote_code, sizeof(remote_code));
	if (ret == 0)
		ret = make_call(tid, mem, code, &frame, saved, mask, call, result, put_off);
	undo = proc_mem_write(mem, code, saved_code, sizeof(saved_code));
	if (!ret)
		ret = undo;
	undo = sigframe_pop(&frame, mem);
	return ret ? ret : undo;
}

int remote_syscall(pid_t tid, const struct proc_mem *mem, u64 code, const struct remote_call *call,
		   s64 *result, struct err *err)
{
	struct user_regs_struct saved;
	int ret, put_off = 0;
	u64 mask;

	ret = pt(PTRACE_GETREGS, tid, 0, (u64)(uintptr_t)&saved);
	if (ret == 0)
		ret = pt(PTRACE_GETSIGMASK, tid, sizeof(mask), (u64)(uintptr_t)&mask);
	if (ret)
		return err_sys(err, -ret, "cannot prepare a system call in thread %d", (int)tid);
	ret = inject(tid, mem, code, &saved, mask, call, result, &put_off, err);
	if (ret == 0)
		ret = settle(tid, put_off);
	if (ret)
		err_sys(err, -ret, "a system call in thread %d failed half-way", (int)tid);
	return ret;
}
