// SPDX-License-Identifier: MIT
/* The walker with memory read as the agent will read it: directly. Compiled, not run (tests/unwind.mk). */
#include "unwind/walk.h"

struct tables {
	const struct unwind_row *rows;
	size_t n;
	uint64_t start, end, stack_end;
};

static inline bool read_direct(void *ctx, uint64_t address, uint64_t *value)
{
	const struct tables *t = ctx;

	if (address & 7 || address > t->stack_end - 8)
		return false;
	*value = *(const uint64_t *)address;
	return true;
}

static inline uint32_t find(void *ctx, uint64_t address)
{
	const struct tables *t = ctx;

	if (address < t->start || address >= t->end)
		return unwind_rule(UNWIND_NONE, 0, 0);
	return unwind_rows_find(t->rows, t->n, (uint32_t)(address - t->start));
}

enum walk_result agent_walk(struct tables *t, struct walk_state *s, uint64_t *pcs, uint32_t max,
			    uint32_t *count);

enum walk_result agent_walk(struct tables *t, struct walk_state *s, uint64_t *pcs, uint32_t max,
			    uint32_t *count)
{
	return walk_stack(s, pcs, max, count, find, read_direct, t);
}
