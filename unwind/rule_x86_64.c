// SPDX-License-Identifier: MIT
/*
 * From DWARF's rules to those of unwind/table.h. The few expressions that
 * compilers, the linker and glibc really use are compared byte for byte; they
 * are cheaper to recognize than to evaluate.
 */
#include "unwind/rule.h"

#include <dwarf.h>
#include <string.h>

#include "unwind/cursor.h"
#include "unwind/table.h"

/* Is expr `DW_OP_breg<reg> n` and after it exactly the bytes tail? Gives n. */
static bool is_breg(const struct cfi_rule *rule, u8 reg, const u8 *tail, size_t tail_len, s64 *n)
{
	struct cursor in = {.p = rule->expr, .end = rule->expr + rule->expr_len};

	if (cursor_uint(&in, 1) != (u64)(DW_OP_breg0 + reg))
		return false;
	*n = cursor_sleb(&in);
	if (in.bad || (size_t)(in.end - in.p) != tail_len)
		return false;
	return tail_len == 0 || !memcmp(in.p, tail, tail_len);
}

static bool fits(s64 offset)
{
	return offset % 8 == 0 && offset <= UNWIND_OFFSET_MAX && offset >= -UNWIND_OFFSET_MAX - 8;
}

/* Is the rule "saved at rsp + offset", as in glibc's __restore_rt? */
static bool saved_at_rsp(const struct cfi_rule *rule, s64 offset)
{
	s64 n;

	return rule->kind == CFI_EXPRESSION && is_breg(rule, CFI_RSP, NULL, 0, &n) && n == offset;
}

/* Offsets of rbp, rsp and rip in the ucontext to which rsp points; the CFA is the interrupted rsp. */
static bool is_signal_frame(const struct cfi_state *state)
{
	static const u8 deref[] = {DW_OP_deref};
	s64 n;

	return state->cfa.kind == CFI_VAL_EXPRESSION &&
	       is_breg(&state->cfa, CFI_RSP, deref, sizeof(deref), &n) && n == 160 &&
	       saved_at_rsp(&state->rbp, 120) && saved_at_rsp(&state->rsp, 160) &&
	       saved_at_rsp(&state->ra, 168);
}

/* ld's: rsp + 8 + ((rip & 15) >= n) << 3, where the second push of a PLT entry ends at byte n. */
static bool plt_threshold(const struct cfi_rule *cfa, u32 *threshold)
{
	u8 tail[] = {DW_OP_breg16, 0,          DW_OP_lit15, DW_OP_and, 0,
		     DW_OP_ge,     DW_OP_lit3, DW_OP_shl,   DW_OP_plus};
	const size_t at = 4;
	s64 n;
	u8 lit;

	if (cfa->expr_len != 2 + sizeof(tail))
		return false;
	lit = cfa->expr[2 + at];
	if (lit < DW_OP_lit0 || lit > DW_OP_lit15)
		return false;
	tail[at] = lit;
	*threshold = (u32)(lit - DW_OP_lit0);
	return is_breg(cfa, CFI_RSP, tail, sizeof(tail), &n) && n == 8;
}

/* Where rbp was saved, as a row's field. False if a row cannot say it. */
static bool rbp_field(const struct cfi_rule *rbp, u32 *field)
{
	s64 n;

	switch (rbp->kind) {
	case CFI_UNSPECIFIED:
	case CFI_SAME:
		*field = UNWIND_RBP_SAME;
		return true;
	case CFI_OFFSET:
		if (rbp->offset % 8 || rbp->offset >= 0 || rbp->offset <= -8 * UNWIND_RBP_AT_RBP)
			return false;
		*field = (u32)(-rbp->offset / 8);
		return true;
	case CFI_EXPRESSION:
		*field = UNWIND_RBP_AT_RBP;
		return is_breg(rbp, CFI_RBP, NULL, 0, &n) && n == 0;
	default:
		return false;
	}
}

static u32 rule_of_expression(const struct cfi_state *state, u32 rbp)
{
	static const u8 deref[] = {DW_OP_deref};
	u32 threshold;
	s64 n;

	if (is_breg(&state->cfa, CFI_RBP, deref, sizeof(deref), &n) && fits(n))
		return unwind_rule(UNWIND_RBP_DEREF, rbp, (s32)n);
	if (plt_threshold(&state->cfa, &threshold))
		return unwind_rule(UNWIND_PLT, rbp, (s32)threshold * 8);
	return unwind_rule(UNWIND_ASK, 0, 0);
}

u32 unwind_rule_of(const struct cfi_cie *cie, const struct cfi_state *state)
{
	const u32 ask = unwind_rule(UNWIND_ASK, 0, 0);
	u32 rbp;

	if (state->ra.kind == CFI_UNDEFINED)
		return unwind_rule(UNWIND_FIRST, 0, 0);
	if (cie->signal_frame)
		return is_signal_frame(state) ? unwind_rule(UNWIND_SIGNAL, 0, 0) : ask;
	if (state->ra.kind != CFI_OFFSET || state->ra.offset != -8 ||
	    state->rsp.kind != CFI_UNSPECIFIED || !rbp_field(&state->rbp, &rbp))
		return ask;
	if (state->cfa.kind == CFI_VAL_EXPRESSION)
		return rule_of_expression(state, rbp);
	if (state->cfa.kind != CFI_OFFSET || !fits(state->cfa.offset))
		return ask;
	if (state->cfa_register == CFI_RSP)
		return unwind_rule(UNWIND_RSP, rbp, (s32)state->cfa.offset);
	if (state->cfa_register == CFI_RBP)
		return unwind_rule(UNWIND_RBP, rbp, (s32)state->cfa.offset);
	return ask;
}
