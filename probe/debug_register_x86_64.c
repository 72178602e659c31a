// SPDX-License-Identifier: MIT
#include "probe/debug_register_x86_64.h"

#include "attach/ptrace.h"

#define DR_OFFSET(n) (offsetof(struct user, u_debugreg) + sizeof(u64) * (n))

/* In DR7: the local enable bit of register n. Its length and type fields stay 0: execute, one byte. */
#define DR7_ENABLE(n) (1ULL << (2 * (n)))

static unsigned int number(const struct thread *thread, const struct call *call)
{
	const struct calls *calls = thread->calls;

	return (unsigned int)(call - calls->items);
}

static int set_enabled(struct thread *thread, unsigned int n, bool enabled)
{
	u64 control;
	int ret = pt_peekuser(thread->tid, DR_OFFSET(7), &control);

	if (ret)
		return ret;
	control = enabled ? control | DR7_ENABLE(n) : control & ~DR7_ENABLE(n);
	return pt(PTRACE_POKEUSER, thread->tid, DR_OFFSET(7), control);
}

int debug_register_set(struct thread *thread, const struct call *call)
{
	unsigned int n = number(thread, call);
	int ret = pt(PTRACE_POKEUSER, thread->tid, DR_OFFSET(n), call->ret);

	return ret ? ret : set_enabled(thread, n, true);
}

void debug_register_clear(struct thread *thread, const struct call *call)
{
	unsigned int n = number(thread, call);

	if (set_enabled(thread, n, false) == 0)
		pt(PTRACE_POKEUSER, thread->tid, DR_OFFSET(n), 0);
}

void debug_registers_reset(struct thread *thread)
{
	u64 control;

	if (pt_peekuser(thread->tid, DR_OFFSET(7), &control) == 0 && control)
		pt(PTRACE_POKEUSER, thread->tid, DR_OFFSET(7), 0);
}
