// SPDX-License-Identifier: MIT
#include "probe/nesting.h"

#include "probe/regs_unwind_x86_64.h"

/* Enough to see whether an allocator called another one. */
#define NESTING_DEPTH 32

/* Walks the stack of a thread on the first byte of a function; the first pc is that function. */
enum unwind_end nesting_walk(struct probes *probes, struct thread *thread, u64 entry, u32 max,
			     u32 *n)
{
	struct unwind_regs regs;

	regs_to_unwind(&thread->regs, &regs);
	regs.r[UNWIND_REGISTERS - 1] = entry;
	return unwinder_walk_entry(probes->unwinder, thread->tid, &regs, probes->pcs, max, n);
}

static bool walked_through(const struct probes *probes, u32 n, u64 pc)
{
	for (u32 i = 1; i < n; i++)
		if (probes->pcs[i] == pc)
			return true;
	return false;
}

/* What stands at the top of the stack sp on a function's first byte; 0 if it cannot be read. */
u64 nesting_return_address(const struct probes *probes, u64 sp)
{
	u64 address;

	if (proc_mem_read(tracee_mem(probes->tracee), sp, &address, sizeof(address)) !=
	    (ssize_t)sizeof(address))
		return 0;
	return address;
}

static bool same_module(const struct probes *probes, u64 a, u64 b)
{
	u32 of_a, of_b;

	return probes->host.is_code(probes->host.ctx, a, &of_a) &&
	       probes->host.is_code(probes->host.ctx, b, &of_b) && of_a == of_b;
}

/*
 * An allocator function that ends in a jump to another one (pvalloc of some):
 * that one finds stack pointer and return address as the first one did.
 */
bool nesting_is_tail_call(const struct probes *probes, const struct calls *calls, u64 entry, u64 sp)
{
	const struct call *open;

	if (!calls->n)
		return false;
	open = &calls->items[calls->n - 1];
	return open->sp == sp && open->entry != entry &&
	       nesting_return_address(probes, sp) == open->ret;
}

/*
 * There is an open call that this one seems to be nested in. It is, if the open
 * call is still on the stack: a thread that left it by longjmp may be deeper
 * now than it was then. A handler of a signal that interrupted it makes calls of
 * its own, which count.
 */
bool nesting_is_nested(struct probes *probes, struct thread *thread, struct calls *calls, u64 entry,
		       u32 alive)
{
	const struct call *open = &calls->items[alive - 1];
	enum unwind_end end;
	u32 n;

	/* Its return is not watched: it has been left, mostly, and something else stands there. */
	if (open->part == CALL_UNRECORDED && alive > calls->barrier &&
	    nesting_return_address(probes, open->sp) != open->ret)
		return false;
	end = nesting_walk(probes, thread, entry, NESTING_DEPTH, &n);
	if (alive == calls->barrier) {
		if (walked_through(probes, n, calls->interrupted))
			return false;
		if (end == UNWIND_OUTERMOST)
			calls->barrier = 0;
	}
	if (walked_through(probes, n, open->ret - 1))
		return true;
	/*
	 * The walk did not come by there. It may have lost its way, as in musl, which
	 * has no unwind information; then the return address where it was must do.
	 */
	if (end == UNWIND_OUTERMOST &&
	    (unwinder_is_sure(probes->unwinder) ||
	     !same_module(probes, n > 1 ? probes->pcs[1] : 0, open->entry)))
		return false;
	return nesting_return_address(probes, open->sp) == open->ret;
}
