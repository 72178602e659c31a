// SPDX-License-Identifier: MIT
/*
 * The rule for a place in the code, when the cache does not have it: the module
 * that is mapped there, its row, and where there is none, what the code looks like.
 *
 * memattach changes modules and rows only while all threads stand, but one of
 * them may stand in here. So nothing that is read is relied on: bounds are checked,
 * and the walk is made again when the generation has changed meanwhile.
 */
#include "agent/walk_state.h"

/* The last module that starts at or before pc. False: there is none, or it ends before pc. */
static bool find_module(const struct channel *channel, uint64_t pc, struct channel_module *found)
{
	uint32_t list = __atomic_load_n(&channel->list, __ATOMIC_ACQUIRE) & 1;
	uint32_t n = __atomic_load_n(&channel->modules_n[list], __ATOMIC_RELAXED);
	const struct channel_module *modules = channel_part(channel, channel->modules);
	uint32_t low = 0;

	modules += list * CHANNEL_MODULES;
	if (n > CHANNEL_MODULES)
		n = CHANNEL_MODULES;
	/* Invariant: modules below low start at or before pc; those from low + n on after it. */
	while (n > 0) {
		uint32_t half = n / 2;

		if (modules[low + half].start <= pc) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	if (low == 0)
		return false;
	*found = modules[low - 1];
	return pc >= found->start && pc < found->end;
}

static uint32_t find_row(const struct channel *channel, const struct channel_module *m, uint64_t pc)
{
	const struct unwind_row *rows = channel_part(channel, channel->rows);
	uint64_t offset = pc - m->base;

	if (!m->n || (uint64_t)m->first + m->n > channel->rows_max || offset > UINT32_MAX)
		return unwind_rule(UNWIND_NONE, 0, 0);
	return unwind_rows_find(rows + m->first, m->n, (uint32_t)offset);
}

/* `mov $__NR_rt_sigreturn, %eax; syscall`, or that with %rax, at this address? */
static bool is_sigreturn_at(uint64_t address, uint64_t end)
{
	uint8_t faulted = 0;
	uint64_t head;

	if (end < 9 || address > end - 9)
		return false;
	head = agent_load(address, &faulted);
	if ((head & 0xffffffffffffffULL) == 0x050f0000000fb8ULL)
		return true;
	/* The ninth byte. */
	return head == 0x0f0000000fc0c748ULL && agent_load(address + 1, &faulted) >> 56 == 5;
}

/* As code_is_sigreturn (unwind/code_shape.h): pc may be a return address minus 1. */
static bool is_sigreturn(const struct channel_module *m, uint64_t pc)
{
	return is_sigreturn_at(pc, m->end) || is_sigreturn_at(pc + 1, m->end);
}

static void remember(struct walker *w, uint64_t at, uint32_t rule)
{
	uint64_t *rules = channel_part(w->channel, w->channel->rules);

	if (!rule_fits_entry(rule) || channel_generation(w->channel) != w->generation)
		return;
	__atomic_store_n(&rules[at % CHANNEL_RULES],
			 (uint64_t)rule << RULE_TAG_BITS | rule_tag(at, w->key), __ATOMIC_RELAXED);
}

__attribute__((noinline, cold)) uint32_t agent_rule_search(struct walker *w, uint64_t at)
{
	uint32_t rule = unwind_rule(UNWIND_NONE, 0, 0);
	struct channel_module m;
	uint64_t pc = at - 1;

	if (!walk_plausible(pc))
		return rule;
	if (find_module(w->channel, pc, &m)) {
		rule = find_row(w->channel, &m, pc);
		if (unwind_rule_kind(rule) == UNWIND_NONE && is_sigreturn(&m, pc))
			rule = unwind_rule(UNWIND_SIGNAL, 0, 0);
	}
	remember(w, at, rule);
	return rule;
}
