// SPDX-License-Identifier: MIT
/*
 * The frame that the x86-64 kernel itself would push to call a signal handler
 * (arch/x86/include/asm/sigframe.h, struct rt_sigframe):
 *
 *	high addresses
 *	  interrupted rsp
 *	  red zone, 128 bytes
 *	  SIGFRAME_DATA bytes for what a call reads or writes
 *	  XSAVE area, 64-byte aligned, with sw_reserved filled in and the
 *	    second magic number behind it
 *	  uc_sigmask
 *	  uc_mcontext: the registers, and a pointer to the XSAVE area
 *	  uc_flags, uc_link, uc_stack
 *	sp -> here when rt_sigreturn is called (the return address is popped)
 */
#include "attach/sigframe_x86_64.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "attach/eintr_x86_64.h"
#include "attach/ptrace.h"
#include "base/guard.h"

#define RED_ZONE           128
#define UC_FP_XSTATE       1
#define UC_SIGCONTEXT_SS   2
#define XSTATE_MAX         16384
#define XSTATE_LEGACY      576 /* FXSAVE area and XSAVE header */
#define SW_RESERVED        464
#define SW_MAGIC1          0x46505853U
#define SW_MAGIC2          0x46505845U
#define XFEATURE_TILES     (3ULL << 17) /* AMX: the frame has no room for it unless asked for */
#define ALTSTACK_NO_CHANGE 0x7f /* an invalid ss_flags: sigreturn leaves the stack as it is */

/* struct ucontext of the kernel, as far as sigreturn reads it. */
struct context {
	u64 flags;
	u64 link;
	u64 stack_sp;
	u32 stack_flags, stack_pad;
	u64 stack_size;
	struct sigcontext mcontext;
	u64 mask;
};

struct sw_bytes {
	u32 magic1;
	u32 extended_size;
	u64 features;
	u32 size;
	u32 padding[7];
};

/* The size of the standard-format XSAVE area that holds these features. */
static u32 xstate_size(u64 features)
{
	u32 size = XSTATE_LEGACY;
	u32 a, b, c, d;

	for (u32 i = 2; i < 63; i++) {
		if (!(features & (1ULL << i)))
			continue;
		__cpuid_count(0xd, i, a, b, c, d);
		if (a + b > size)
			size = a + b;
	}
	return size;
}

/* Reads the thread's XSAVE area into buf and prepares it for a frame; returns its size with the magic number. */
static ssize_t read_xstate(pid_t tid, u8 *buf, size_t len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct sw_bytes sw = {.magic1 = SW_MAGIC1};
	u32 magic2 = SW_MAGIC2;
	int ret;

	ret = pt(PTRACE_GETREGSET, tid, NT_X86_XSTATE, (u64)(uintptr_t)&iov);
	if (ret)
		return ret;
	/* ptrace puts the features that the CPU has enabled, XCR0, at this place. */
	memcpy(&sw.features, buf + SW_RESERVED, sizeof(sw.features));
	sw.features &= ~XFEATURE_TILES;
	sw.size = xstate_size(sw.features);
	if (sw.size > iov.iov_len || sw.size + sizeof(magic2) > len)
		return -ENOSPC;
	sw.extended_size = sw.size + (u32)sizeof(magic2);
	memcpy(buf + SW_RESERVED, &sw, sizeof(sw));
	memcpy(buf + sw.size, &magic2, sizeof(magic2));
	return sw.extended_size;
}

static void fill(struct context *frame, const struct user_regs_struct *r, u64 mask, u64 xstate)
{
	struct sigcontext *m = &frame->mcontext;

	memset(frame, 0, sizeof(*frame));
	frame->flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS;
	frame->stack_flags = ALTSTACK_NO_CHANGE;
	frame->mask = mask;
	m->r8 = r->r8;
	m->r9 = r->r9;
	m->r10 = r->r10;
	m->r11 = r->r11;
	m->r12 = r->r12;
	m->r13 = r->r13;
	m->r14 = r->r14;
	m->r15 = r->r15;
	m->rdi = r->rdi;
	m->rsi = r->rsi;
	m->rbp = r->rbp;
	m->rbx = r->rbx;
	m->rdx = r->rdx;
	m->rax = r->rax;
	m->rcx = r->rcx;
	m->rsp = r->rsp;
	m->rip = r->rip;
	m->eflags = r->eflags;
	m->cs = (u16)r->cs;
	m->__pad0 = (u16)r->ss;
	memcpy((u8 *)m + offsetof(struct sigcontext, fpstate), &xstate, sizeof(xstate));
}

/*
 * sigreturn does not restart the call that the stop interrupted: the frame
 * holds the registers with which the thread makes it again.
 */
static void restart_call(struct user_regs_struct *regs)
{
	s64 result = (s64)regs->rax;

	if ((s64)regs->orig_rax < 0)
		return;
	if (result == -512 || result == -513 || result == -514) { /* ERESTARTSYS, NOINTR, NOHAND */
		regs->rax = regs->orig_rax;
		regs->rip -= 2;
	} else if (result == -EINTR && eintr_call_is_fragile(regs->orig_rax)) {
		regs->rax = regs->orig_rax;
		regs->rip -= 2;
	} else if (result == -516) { /* ERESTART_RESTARTBLOCK: the block does not survive */
		regs->rax = (u64)-EINTR;
	}
}

/* Keeps what stands between low and high. */
static int keep_before(struct sigframe *frame, const struct proc_mem *mem, u64 low, u64 high)
{
	frame->low = low;
	frame->length = high - low;
	frame->before = malloc(frame->length);
	if (!frame->before)
		return -ENOMEM;
	if (proc_mem_read(mem, low, frame->before, frame->length) == (ssize_t)frame->length)
		return 0;
	free(frame->before);
	return -EFAULT;
}

int sigframe_push(struct sigframe *frame, pid_t tid, const struct proc_mem *mem,
		  const struct user_regs_struct *regs, u64 mask, struct err *err)
{
	_cleanup_free_ u8 *buf = calloc(1, XSTATE_MAX);
	struct user_regs_struct again = *regs;
	struct context context;
	u64 xstate;
	ssize_t len;
	int ret;

	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	len = read_xstate(tid, buf, XSTATE_MAX);
	if (len < 0)
		return err_sys(err, (int)-len, "cannot read the FPU state of thread %d", (int)tid);
	/* Above the frame: if we die, a handler may run below it before the call is made. */
	frame->data = (regs->rsp - RED_ZONE - SIGFRAME_DATA) & ~15ULL;
	xstate = (frame->data - (u64)len) & ~63ULL;
	frame->sp = (xstate - sizeof(context) - sizeof(siginfo_t)) & ~15ULL;
	restart_call(&again);
	fill(&context, &again, mask, xstate);
	ret = keep_before(frame, mem, frame->sp, regs->rsp - RED_ZONE);
	if (ret)
		return err_sys(err, -ret, "cannot read the stack of thread %d", (int)tid);
	ret = proc_mem_write(mem, xstate, buf, (size_t)len);
	if (ret == 0)
		ret = proc_mem_write(mem, frame->sp, &context, sizeof(context));
	if (ret == 0)
		return 0;
	sigframe_pop(frame, mem);
	return err_sys(err, -ret, "cannot write to the stack of thread %d", (int)tid);
}

int sigframe_pop(struct sigframe *frame, const struct proc_mem *mem)
{
	int ret = proc_mem_write(mem, frame->low, frame->before, frame->length);

	free(frame->before);
	frame->before = NULL;
	return ret;
}
