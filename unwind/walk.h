/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_WALK_H
#define MEMATTACH_UNWIND_WALK_H

/*
 * The one stack walker, for x86-64: from a frame to its caller by the rows of
 * unwind/table.h, until the outermost frame. It runs in memattach over a copy of
 * the stack and inside targets over the stack itself. So it has no libc, no
 * allocation and no state of its own; memory and rows come from two functions
 * of the caller's, which the compiler inlines.
 *
 * Code without rows (compiled without CFI, or by a JIT) is taken to keep a frame
 * pointer: [rbp] is the caller's rbp and [rbp + 8] the return address, as long
 * as that is plausible. Frames found so are guesses. They count once the walk
 * comes back to code that has rows; a walk that gets lost before gives them up,
 * rather than show callers that may never have been.
 *
 * It ends: the CFA grows with every frame except over a signal frame (the
 * handler may run on a stack of its own), and there are at most max frames.
 */
#include "unwind/table.h"

enum walk_result {
	WALK_OUTERMOST, /* the stack is whole */
	WALK_DEPTH,     /* cut: more than max frames */
	WALK_LOST,      /* cut: implausible, unreadable or no information */
	WALK_ASK,       /* this frame needs libdw: advance the state, then walk again */
	WALK_NEXT,      /* of walk_step only: the state is the caller's now */
};

/* The registers of a frame, as far as rows need them. */
struct walk_state {
	uint64_t pc, sp, bp;
	uint32_t trusted; /* how many of the frames are certain */
	bool exact;       /* pc was interrupted there; otherwise it is a return address */
	bool guessed;     /* found through a frame pointer alone */
};

/* Reads the 8 bytes at address. False if they cannot be read. */
typedef bool (*walk_read_fn)(void *ctx, uint64_t address, uint64_t *value);

/* The rule (unwind/table.h) of the code at address; UNWIND_NONE for unknown code. */
typedef uint32_t (*walk_find_fn)(void *ctx, uint64_t address);

#define WALK_INLINE static inline __attribute__((always_inline))

/* No code lies in the first page or above the user half of a 47-bit address space. */
#define WALK_LOWEST  0x1000ULL
#define WALK_HIGHEST 0x7fffffffffffULL

/* A frame with a frame pointer is not bigger than this. Bytes. */
#define WALK_FRAME_MAX (8ULL << 20)

/* Offsets in struct ucontext, to which rsp points in the signal trampoline. */
#define WALK_UCONTEXT_RBP 120
#define WALK_UCONTEXT_RSP 160
#define WALK_UCONTEXT_RIP 168

WALK_INLINE bool walk_plausible(uint64_t address)
{
	return address >= WALK_LOWEST && address <= WALK_HIGHEST;
}

/* The address to look up for a frame: a return address may be that of the next function already. */
WALK_INLINE uint64_t walk_lookup_pc(const struct walk_state *s)
{
	return s->exact ? s->pc : s->pc - 1;
}

WALK_INLINE enum walk_result walk_signal_frame(struct walk_state *s, walk_read_fn read, void *ctx)
{
	uint64_t context = s->sp, pc, sp, bp;

	if (!walk_plausible(context) || !read(ctx, context + WALK_UCONTEXT_RIP, &pc) ||
	    !read(ctx, context + WALK_UCONTEXT_RSP, &sp) ||
	    !read(ctx, context + WALK_UCONTEXT_RBP, &bp))
		return WALK_LOST;
	if (!walk_plausible(pc) || !walk_plausible(sp))
		return WALK_LOST;
	s->pc = pc;
	s->sp = sp;
	s->bp = bp;
	s->exact = true;
	return WALK_NEXT;
}

WALK_INLINE enum walk_result walk_frame_pointer(struct walk_state *s, walk_read_fn read, void *ctx)
{
	uint64_t bp = s->bp, saved, pc;

	/*
	 * By the psABI rbp is 0 in the outermost frame. In an interrupted one
	 * (exact) it may as well be a 0 that somebody computes with.
	 */
	if (bp == 0)
		return s->exact ? WALK_LOST : WALK_OUTERMOST;
	if (bp & 7 || bp < s->sp || bp - s->sp > WALK_FRAME_MAX || !walk_plausible(bp))
		return WALK_LOST;
	if (!read(ctx, bp, &saved) || !read(ctx, bp + 8, &pc))
		return WALK_LOST;
	if (pc == 0 && saved == 0)
		return WALK_OUTERMOST;
	if (!walk_plausible(pc))
		return WALK_LOST;
	s->pc = pc;
	s->sp = bp + 16;
	s->bp = saved;
	s->exact = false;
	return WALK_NEXT;
}

/* To the caller's frame by one rule. On any result but WALK_NEXT the state is as it was. */
WALK_INLINE enum walk_result walk_step(struct walk_state *s, uint32_t rule, walk_read_fn read,
				       void *ctx)
{
	uint64_t offset = (uint64_t)unwind_rule_offset(rule);
	uint32_t rbp = unwind_rule_rbp(rule);
	uint64_t cfa = s->sp + offset, pc, bp = s->bp;

	/* Nearly all rows say rsp + n: a branch that is predicted, and no table of jumps. */
	if (__builtin_expect(unwind_rule_kind(rule) != UNWIND_RSP, 0)) {
		switch (unwind_rule_kind(rule)) {
		case UNWIND_OURS:
			break;
		case UNWIND_RBP:
			cfa = s->bp + offset;
			break;
		case UNWIND_RBP_DEREF:
			if (!read(ctx, s->bp + offset, &cfa))
				return WALK_LOST;
			break;
		case UNWIND_PLT:
			cfa = s->sp + ((s->pc & 15) >= offset / 8 ? 16 : 8);
			break;
		case UNWIND_SIGNAL:
			return walk_signal_frame(s, read, ctx);
		case UNWIND_FIRST:
			return WALK_OUTERMOST;
		case UNWIND_NONE:
			return walk_frame_pointer(s, read, ctx);
		default:
			return WALK_ASK;
		}
	}
	if (cfa <= s->sp || cfa & 7 || !walk_plausible(cfa))
		return WALK_LOST;
	if (!read(ctx, cfa - 8, &pc))
		return WALK_LOST;
	if (pc == 0)
		return WALK_OUTERMOST;
	if (!walk_plausible(pc))
		return WALK_LOST;
	if (rbp != UNWIND_RBP_SAME &&
	    !read(ctx, rbp == UNWIND_RBP_AT_RBP ? s->bp : cfa - 8 * (uint64_t)rbp, &bp))
		return WALK_LOST;
	s->pc = pc;
	s->sp = cfa;
	s->bp = bp;
	s->exact = false;
	return WALK_NEXT;
}

/*
 * Walks on from s, whose frame is the last of the *count >= 1 in pcs, and adds
 * the lookup addresses of its callers, to at most max. After WALK_ASK, advance
 * s by other means, add that frame and call again. pcs gets return addresses
 * minus 1, and exact addresses of what a signal interrupted and of the signal
 * trampoline itself (which is entered, not returned into). Frames of the agent
 * are walked through and left out.
 */
WALK_INLINE enum walk_result walk_stack(struct walk_state *s, uint64_t *pcs, uint32_t max,
					uint32_t *count, walk_find_fn find, walk_read_fn read,
					void *ctx)
{
	for (;;) {
		uint32_t rule = find(ctx, walk_lookup_pc(s));
		enum unwind_row_kind kind = unwind_rule_kind(rule);
		enum walk_result result;

		if (kind == UNWIND_SIGNAL)
			pcs[*count - 1] = s->pc;
		else if (kind == UNWIND_OURS)
			--*count;
		if (kind != UNWIND_NONE || !s->guessed)
			s->trusted = *count;
		result = walk_step(s, rule, read, ctx);
		if (result == WALK_LOST)
			*count = s->trusted;
		if (result != WALK_NEXT)
			return result;
		s->guessed = kind == UNWIND_NONE;
		if (*count >= max)
			return WALK_DEPTH;
		pcs[(*count)++] = walk_lookup_pc(s);
	}
}

#endif
