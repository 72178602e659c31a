// SPDX-License-Identifier: MIT
/*
 * The interpreter of call frame instructions (unwind/cfi_program.h).
 *
 * An instruction either changes the rules or advances the address; rules are
 * emitted whenever the address leaves them behind. Each instruction takes at
 * least one byte and none jumps back, so that a program of n bytes takes at most
 * n steps and emits at most n + 1 rows, whatever is in it.
 */
#include "unwind/cfi_program.h"

#include <dwarf.h>

#include "unwind/cursor.h"

struct machine {
	struct cursor in;
	const struct cfi_cie *cie;
	const struct cfi_state *initial; /* for DW_CFA_restore; NULL while running the CIE's own */
	struct cfi_state state;
	u64 loc, end;
	bool dirty; /* the rules at loc have not been emitted */
	unsigned depth;
	struct cfi_state remembered[CFI_REMEMBER_MAX];
	cfi_emit_fn emit;
	void *ctx;
	int error;
};

static struct cfi_rule *rule_of(struct cfi_state *state, u64 reg)
{
	switch (reg) {
	case CFI_RBP:
		return &state->rbp;
	case CFI_RSP:
		return &state->rsp;
	case CFI_RA:
		return &state->ra;
	default:
		return NULL;
	}
}

static void set(struct machine *m, u64 reg, enum cfi_rule_kind kind, s64 offset)
{
	struct cfi_rule *rule = rule_of(&m->state, reg);

	if (!rule)
		return;
	*rule = (struct cfi_rule){.kind = kind, .offset = offset};
	m->dirty = true;
}

static s64 factored(const struct machine *m, u64 n)
{
	return (s64)(n * (u64)m->cie->data_align);
}

static void set_expression(struct machine *m, struct cfi_rule *rule, enum cfi_rule_kind kind)
{
	u64 len = cursor_uleb(&m->in);
	const u8 *expr = cursor_bytes(&m->in, len);

	if (!expr || len > UINT32_MAX || !rule)
		return;
	*rule = (struct cfi_rule){.kind = kind, .expr_len = (u32)len, .expr = expr};
	m->dirty = true;
}

static void set_cfa(struct machine *m, u64 reg, s64 offset)
{
	m->state.cfa = (struct cfi_rule){.kind = CFI_OFFSET, .offset = offset};
	m->state.cfa_register = reg;
	m->dirty = true;
}

/* Only a CFA that is register + offset can have its parts changed one by one. */
static void change_cfa(struct machine *m, u64 reg, s64 offset)
{
	if (m->state.cfa.kind == CFI_OFFSET)
		set_cfa(m, reg, offset);
	else
		m->in.bad = true;
}

static void restore(struct machine *m, u64 reg)
{
	const struct cfi_rule *from;

	if (!m->initial) {
		m->in.bad = true;
		return;
	}
	from = rule_of((struct cfi_state *)m->initial, reg);
	if (!from)
		return;
	*rule_of(&m->state, reg) = *from;
	m->dirty = true;
}

static void flush(struct machine *m)
{
	if (m->dirty && m->emit && !m->error)
		m->error = m->emit(m->ctx, m->loc, &m->state);
	m->dirty = false;
}

static void advance_to(struct machine *m, u64 loc)
{
	if (!m->initial || loc < m->loc) {
		m->in.bad = true;
		return;
	}
	if (loc == m->loc)
		return;
	flush(m);
	m->loc = loc;
}

static void advance(struct machine *m, u64 delta)
{
	u64 bytes, loc;

	if (__builtin_mul_overflow(delta, m->cie->code_align, &bytes) ||
	    __builtin_add_overflow(m->loc, bytes, &loc))
		m->in.bad = true;
	else
		advance_to(m, loc);
}

static void remember(struct machine *m)
{
	if (m->depth == CFI_REMEMBER_MAX)
		m->in.bad = true;
	else
		m->remembered[m->depth++] = m->state;
}

static void recall(struct machine *m)
{
	if (m->depth == 0) {
		m->in.bad = true;
		return;
	}
	m->state = m->remembered[--m->depth];
	m->dirty = true;
}

/* Instructions that define the CFA. False if op is none of them. */
static bool step_cfa(struct machine *m, u8 op)
{
	struct cursor *in = &m->in;
	u64 reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = cursor_uleb(in);
		set_cfa(m, reg, (s64)cursor_uleb(in));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = cursor_uleb(in);
		set_cfa(m, reg, factored(m, (u64)cursor_sleb(in)));
		return true;
	case DW_CFA_def_cfa_register:
		change_cfa(m, cursor_uleb(in), m->state.cfa.offset);
		return true;
	case DW_CFA_def_cfa_offset:
		change_cfa(m, m->state.cfa_register, (s64)cursor_uleb(in));
		return true;
	case DW_CFA_def_cfa_offset_sf:
		change_cfa(m, m->state.cfa_register, factored(m, (u64)cursor_sleb(in)));
		return true;
	case DW_CFA_def_cfa_expression:
		set_expression(m, &m->state.cfa, CFI_VAL_EXPRESSION);
		return true;
	default:
		return false;
	}
}

/* Instructions that say where a register is. False if op is none of them. */
static bool step_register(struct machine *m, u8 op)
{
	struct cursor *in = &m->in;
	u64 reg = cursor_uleb(in);

	switch (op) {
	case DW_CFA_offset_extended:
		set(m, reg, CFI_OFFSET, factored(m, cursor_uleb(in)));
		return true;
	case DW_CFA_offset_extended_sf:
		set(m, reg, CFI_OFFSET, factored(m, (u64)cursor_sleb(in)));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		set(m, reg, CFI_OFFSET, factored(m, 0 - cursor_uleb(in)));
		return true;
	case DW_CFA_val_offset:
		set(m, reg, CFI_VAL_OFFSET, factored(m, cursor_uleb(in)));
		return true;
	case DW_CFA_val_offset_sf:
		set(m, reg, CFI_VAL_OFFSET, factored(m, (u64)cursor_sleb(in)));
		return true;
	case DW_CFA_restore_extended:
		restore(m, reg);
		return true;
	case DW_CFA_undefined:
		set(m, reg, CFI_UNDEFINED, 0);
		return true;
	case DW_CFA_same_value:
		set(m, reg, CFI_SAME, 0);
		return true;
	case DW_CFA_register:
		cursor_uleb(in);
		set(m, reg, CFI_REGISTER, 0);
		return true;
	case DW_CFA_expression:
		set_expression(m, rule_of(&m->state, reg), CFI_EXPRESSION);
		return true;
	case DW_CFA_val_expression:
		set_expression(m, rule_of(&m->state, reg), CFI_VAL_EXPRESSION);
		return true;
	case DW_CFA_GNU_args_size: /* the number just read is its operand */
		return true;
	default:
		return false;
	}
}

static void step(struct machine *m)
{
	struct cursor *in = &m->in;
	u8 op = (u8)cursor_uint(in, 1);

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		advance(m, op & 0x3f);
		return;
	case DW_CFA_offset:
		set(m, op & 0x3f, CFI_OFFSET, factored(m, cursor_uleb(in)));
		return;
	case DW_CFA_restore:
		restore(m, op & 0x3f);
		return;
	}
	switch (op) {
	case DW_CFA_nop:
		return;
	case DW_CFA_advance_loc1:
		advance(m, cursor_uint(in, 1));
		return;
	case DW_CFA_advance_loc2:
		advance(m, cursor_uint(in, 2));
		return;
	case DW_CFA_advance_loc4:
		advance(m, cursor_uint(in, 4));
		return;
	case DW_CFA_remember_state:
		remember(m);
		return;
	case DW_CFA_restore_state:
		recall(m);
		return;
	}
	/* DW_CFA_set_loc is for architectures that relax at link time: unknown here, like the rest. */
	if (!step_cfa(m, op) && !step_register(m, op))
		in->bad = true;
}

static void run(struct machine *m)
{
	while (!m->in.bad && !m->error && m->in.p < m->in.end && m->loc < m->end)
		step(m);
}

bool cfi_run_initial(struct cfi_cie *cie, const u8 *program, size_t len)
{
	struct machine m;

	m.in = (struct cursor){.p = program, .end = program + len};
	m.cie = cie;
	m.initial = NULL;
	m.state = (struct cfi_state){0};
	m.loc = 0;
	m.end = 1;
	m.dirty = false;
	m.depth = 0;
	m.emit = NULL;
	m.error = 0;
	run(&m);
	cie->initial = m.state;
	return !m.in.bad;
}

int cfi_run(const struct cfi_cie *cie, const u8 *program, size_t len, u64 start, u64 end,
	    cfi_emit_fn emit, void *ctx)
{
	struct machine m;

	m.in = (struct cursor){.p = program, .end = program + len};
	m.cie = cie;
	m.initial = &cie->initial;
	m.state = cie->initial;
	m.loc = start;
	m.end = end;
	m.dirty = true;
	m.depth = 0;
	m.emit = emit;
	m.ctx = ctx;
	m.error = 0;
	run(&m);
	if (m.in.bad) {
		/* Whatever was meant, it is not known from here on. */
		m.state = (struct cfi_state){0};
		m.dirty = true;
	}
	if (m.loc < end)
		flush(&m);
	return m.error;
}
