// SPDX-License-Identifier: MIT
/*
 * What on a stack leads to an area:
 *
 *	a return address	only that of the call of the probed function: in the agent
 *				call *(%rsp) stands in front of it, in a stub a call
 *	a signal frame		rip, eflags, cs one after the other (struct sigcontext
 *				of the kernel), with rip in an area
 *
 * Calls within the agent need no looking for: their thread stands in the agent.
 * A stack holds remnants of calls that are over, in parts of frames that nobody
 * has written to since; what a scan finds may be one. So a walk has the last
 * word, if it gets to the end of the stack.
 */
#include "probe/agent_on_stack.h"

#include <string.h>

#include "agent/abi.h"
#include "probe/regs_unwind_x86_64.h"

#define SCAN_MAX   (8UL << 20)
#define STACKS_MAX 16
#define WORDS      2048
/* A signal frame's words are looked at together: rsp, rip, eflags, cs. */
#define OVERLAP 3

#define CALL_REL32     0xe8
#define USER_CS        0x33
#define EFLAGS_ALWAYS  0x202UL /* bit 1, and interrupts enabled */
#define EFLAGS_HIGHEST 22

struct scan {
	const struct maps *maps;
	const struct proc_mem *mem;
	const struct address_range *areas;
	size_t n;
	u64 stacks[STACKS_MAX]; /* places from which to scan on, each in another mapping */
	u32 stacks_n;
	bool found;
};

bool agent_is_return(const struct proc_mem *mem, u64 address)
{
	static const u8 call[] = {0xff, 0x14, 0x24}; /* call *(%rsp) */
	u8 code[AGENT_JUMP];

	if (proc_mem_read(mem, address - sizeof(code), code, sizeof(code)) != (ssize_t)sizeof(code))
		return false;
	if (address % AGENT_SLOT_SIZE == AGENT_SLOT_RETURN && code[0] == CALL_REL32)
		return true;
	return memcmp(code + sizeof(code) - sizeof(call), call, sizeof(call)) == 0;
}

/* words: rsp, rip, eflags, cs. */
static bool is_signal_frame(const u64 *words)
{
	return (words[3] & 0xffff) == USER_CS && (words[2] & EFLAGS_ALWAYS) == EFLAGS_ALWAYS &&
	       words[2] >> EFLAGS_HIGHEST == 0;
}

/* What a signal has interrupted may be on another stack. */
static void add_stack(struct scan *scan, u64 sp)
{
	const struct map *map = maps_find(scan->maps, sp);

	if (!map || !map->read)
		return;
	for (u32 i = 0; i < scan->stacks_n; i++)
		if (maps_find(scan->maps, scan->stacks[i]) == map)
			return;
	if (scan->stacks_n == STACKS_MAX)
		scan->found = true;
	else
		scan->stacks[scan->stacks_n++] = sp;
}

/* The words behind the first, which belongs to the piece before. */
static void scan_words(struct scan *scan, const u64 *words, size_t n)
{
	for (size_t i = 1; i < n && !scan->found; i++) {
		bool frame = i + 2 < n && is_signal_frame(words + i - 1);

		if (address_ranges_find(scan->areas, scan->n, words[i]) >= 0)
			scan->found = frame || agent_is_return(scan->mem, words[i]);
		else if (frame)
			add_stack(scan, words[i - 1]);
	}
}

static int scan_stack(struct scan *scan, u64 sp)
{
	const struct map *map = maps_find(scan->maps, sp);
	u64 words[WORDS], end;

	sp &= ~7ULL;
	if (!map || sp < map->start)
		return 0;
	end = map->end - sp > SCAN_MAX ? sp + SCAN_MAX : map->end;
	/* One word of nothing in front, so that the first is the second. */
	words[0] = 0;
	while (sp < end && !scan->found) {
		size_t want = end - sp < sizeof(words) - 8 ? end - sp : sizeof(words) - 8;
		ssize_t got = proc_mem_read(scan->mem, sp, words + 1, want);

		if (got < 0)
			return (int)got;
		scan_words(scan, words, 1 + (size_t)got / 8);
		if (got < (ssize_t)want || want <= OVERLAP * 8)
			break;
		sp += want - OVERLAP * 8;
		words[0] = words[want / 8 - OVERLAP];
	}
	return 0;
}

int agent_scan_stack(const struct maps *maps, const struct proc_mem *mem,
		     const struct thread_regs *regs, const struct address_range *areas, size_t n,
		     enum agent_on_stack *found)
{
	struct scan scan = {.maps = maps, .mem = mem, .areas = areas, .n = n};
	int ret = 0;

	*found = AGENT_NOT_THERE;
	if (address_ranges_find(areas, n, regs_pc(regs)) >= 0) {
		*found = AGENT_IS_THERE;
		return 0;
	}
	add_stack(&scan, regs_sp(regs));
	for (u32 i = 0; i < scan.stacks_n && !ret && !scan.found; i++)
		ret = scan_stack(&scan, scan.stacks[i]);
	if (scan.found)
		*found = AGENT_MAY_BE_THERE;
	return ret;
}

enum agent_on_stack agent_walk_stack(struct unwinder *unwinder, pid_t tid,
				     const struct thread_regs *regs)
{
	u64 pcs[UNWIND_MAX_DEPTH];
	struct unwind_regs start;
	enum unwind_end end;
	u32 count;

	regs_to_unwind(regs, &start);
	end = unwinder_walk(unwinder, tid, &start, pcs, UNWIND_MAX_DEPTH, &count);
	if (unwinder_met_agent(unwinder))
		return AGENT_IS_THERE;
	/* Frame pointers may lead past our frame: from a function without rows to its caller's caller. */
	return end == UNWIND_OUTERMOST && unwinder_is_sure(unwinder) ? AGENT_NOT_THERE
								     : AGENT_MAY_BE_THERE;
}
