/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_JUMP_SAFETY_X86_64_H
#define MEMATTACH_PROBE_JUMP_SAFETY_X86_64_H

#include "base/reader.h"
#include "base/types.h"

/*
 * May a function's first five bytes be replaced by a jump? All of it is asked
 * before anything is patched: the code that is looked at must be the target's own,
 * without probes.
 */
struct jump_question {
	u64 address; /* of the function in the target */
	u64 size;    /* bytes, from its symbol; 0: unknown */
	u64 limit;   /* if the size is unknown: bytes up to the next function or the text's end */
	const u8 *code; /* its bytes: as many as size, or limit, says */
	size_t available;
	u64 text, text_end;              /* the executable part of its module */
	const struct mem_reader *memory; /* the target's; NULL: what needs it is refused */
	bool symbol_inside;              /* a symbol lies in bytes 1 to 4 */
	bool branched_into;              /* jump_branches_into has found it */
	/*
	 * Named by the user, and to be wrapped: a frame is pushed below its caller's, so
	 * it must have no arguments on the stack. A function of the table has none, nor
	 * has one of known (ascending), to which this one may go on by a jump.
	 */
	bool custom;
	const u64 *known;
	size_t known_n;
};

/*
 * DESIGN section 5, "When a jump is safe", (a) to (c): the five bytes lie in one
 * function and one page (so that one write of them is complete or not done at
 * all); the whole function is decoded, no branch of it leads into bytes 1 to 4 and
 * no indirect jump can; what is displaced can run in a slot. If not, *why (static)
 * completes the sentence "a jump is not safe: ...". That a slot is near enough is
 * left to relocate_prologue.
 */
bool jump_is_safe(const struct jump_question *q, const char **why);

/* One of the functions that are to be patched; ascending by address. */
struct jump_range {
	u64 address, size;
	bool hit; /* set by jump_branches_into */
};

/*
 * Sets hit for those of the n functions into whose bytes 1 to 4 something leads
 * that looks like a branch with a 32-bit distance (e8, e9, 0f 80 to 0f 8f, at any
 * byte of the text) and lies outside of the function: a part of it that the
 * compiler has put elsewhere, say. text has len bytes and is at text_address in
 * the target; where it is read in pieces, let them overlap by 5 bytes.
 */
void jump_branches_into(const u8 *text, size_t len, u64 text_address, struct jump_range *ranges,
			size_t n);

enum jump_calls {
	JUMP_CALLS_NOTHING, /* neither a call nor a jump leads out of the function */
	/*
	 * It calls something else: a pointer, a PLT stub that is not bound yet, or a
	 * function which may itself call one of them, as mi_realloc does.
	 */
	JUMP_CALLS_OTHERS,
	JUMP_CALLS_ONE, /* it calls one of them, or jumps there, itself or by way of the PLT */
};

/*
 * Whether the function calls one of the n targets, ascending. Of q only the
 * function's place, code and memory count. What it calls is not looked into.
 */
enum jump_calls jump_calls_any(const struct jump_question *q, const u64 *targets, size_t n);

/*
 * Whether all that the function calls, or goes on to by a jump, is among the n targets,
 * ascending. Another one might switch to another stack, and come back whenever it likes:
 * a frame of ours in between has to be there then. Of q the same counts as above.
 */
bool jump_calls_only(const struct jump_question *q, const u64 *targets, size_t n);

#endif
