// SPDX-License-Identifier: MIT
/*
 * The default back end: the walker of unwind/walk.h over a copied piece of the
 * stack (unwind/window.h), with the rows of each module (unwind/compile.h).
 *
 * Rules are remembered by address in a direct-mapped cache, so that most frames
 * need neither the search for the module nor that for the row; whenever the
 * modules change it is forgotten, by a new generation number.
 *
 * What rows cannot say is asked of libdw, one frame at a time: it walks from the
 * thread's own registers to that frame (the rule may need a register that rows do
 * not keep) and one further; its rsp, rbp and rip go back to the walker.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/vec.h"
#include "unwind/backend.h"
#include "unwind/code_shape.h"
#include "unwind/libdw_unwinder.h"
#include "unwind/stack_begin.h"
#include "unwind/table_cache.h"
#include "unwind/walk.h"
#include "unwind/window.h"

#define PC_CACHE_BITS 13

struct pc_entry {
	u64 pc;
	u32 rule;
	u32 generation; /* 0: never filled */
};

struct table_module {
	struct unwind_module module; /* fd and path are borrowed, for libdw */
	struct unwind_rows rows;
	const struct unwind_table *table; /* of the cache; NULL: the rows came without a file */
};

struct table_unwinder {
	pid_t pid;
	const struct mem_reader *memory;
	struct table_cache *tables;
	struct table_module *modules; /* ascending by start */
	size_t n_modules, cap_modules;
	struct libdw_unwinder *libdw; /* NULL until it is asked for the first time */
	u32 generation;
	/* In the last walk: code of the agent, a signal frame, and the first before the second. */
	bool met_agent, met_signal, in_agent_call;
	bool guessed; /* the last walk came by code without rows */
	struct pc_entry cache[1 << PC_CACHE_BITS];
	struct window window;
};

static void table_destroy(void *impl)
{
	struct table_unwinder *u = impl;

	if (!u)
		return;
	libdw_unwinder_destroy(u->libdw);
	table_cache_destroy(u->tables);
	free(u->modules);
	free(u);
}

static void *table_create(pid_t pid, const struct mem_reader *memory, struct err *err)
{
	struct table_unwinder *u = calloc(1, sizeof(*u));

	if (u)
		u->tables = table_cache_create();
	if (!u || !u->tables) {
		err_set(err, ENOMEM, "no memory for the table unwinder");
		table_destroy(u);
		return NULL;
	}
	u->pid = pid;
	u->memory = memory;
	u->window.memory = memory;
	u->generation = 1;
	return u;
}

/* Index of the first module that starts after address. */
static size_t upper_bound(const struct table_unwinder *u, u64 address)
{
	size_t low = 0, n = u->n_modules;

	while (n > 0) {
		size_t half = n / 2;

		if (u->modules[low + half].module.start <= address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low;
}

static void forget_rules(struct table_unwinder *u)
{
	if (++u->generation == 0) {
		memset(u->cache, 0, sizeof(u->cache));
		u->generation = 1;
	}
}

static int insert(struct table_unwinder *u, const struct table_module *m, struct err *err)
{
	size_t at;

	if (vec_reserve((void **)&u->modules, &u->cap_modules, u->n_modules + 1, sizeof(*m)))
		return err_set(err, ENOMEM, "no memory for %zu modules", u->n_modules + 1);
	at = upper_bound(u, m->module.start);
	memmove(u->modules + at + 1, u->modules + at, (u->n_modules - at) * sizeof(*m));
	u->modules[at] = *m;
	u->n_modules++;
	forget_rules(u);
	return 0;
}

static int table_add(void *impl, const struct unwind_module *module, struct err *err)
{
	struct table_unwinder *u = impl;
	struct table_module m = {.module = *module};
	int ret;

	m.table = table_cache_get(u->tables, module->fd);
	if (!m.table)
		return err_set(err, ENOMEM, "no memory for the unwind table of %s", module->path);
	m.rows = (struct unwind_rows){m.table->rows, m.table->n, module->bias + m.table->base};
	ret = insert(u, &m, err);
	if (ret) {
		table_cache_put(u->tables, m.table);
		return ret;
	}
	return u->libdw ? libdw_unwinder_add_module(u->libdw, module, err) : 0;
}

/* The cache keeps it although nobody uses it yet. */
static void table_prepare(void *impl, int fd)
{
	struct table_unwinder *u = impl;
	const struct unwind_table *table = table_cache_get(u->tables, fd);

	if (table)
		table_cache_put(u->tables, table);
}

static int table_add_rows(void *impl, u32 id, u64 start, u64 end, const struct unwind_rows *rows,
			  struct err *err)
{
	struct table_module m = {
		.module = {.id = id, .start = start, .end = end, .fd = -1, .path = ""},
		.rows = *rows,
	};

	return insert(impl, &m, err);
}

static int table_rows(const void *impl, u32 id, struct unwind_rows *rows)
{
	const struct table_unwinder *u = impl;

	for (size_t i = 0; i < u->n_modules; i++) {
		if (u->modules[i].module.id == id) {
			*rows = u->modules[i].rows;
			return 0;
		}
	}
	return -ENOENT;
}

static void table_remove(void *impl, u32 id)
{
	struct table_unwinder *u = impl;

	for (size_t i = 0; i < u->n_modules; i++) {
		if (u->modules[i].module.id != id)
			continue;
		if (u->modules[i].table)
			table_cache_put(u->tables, u->modules[i].table);
		u->n_modules--;
		memmove(u->modules + i, u->modules + i + 1,
			(u->n_modules - i) * sizeof(*u->modules));
		break;
	}
	forget_rules(u);
	if (u->libdw)
		libdw_unwinder_remove_module(u->libdw, id);
}

/* The module that is mapped at pc, or NULL. */
static const struct table_module *module_at(const struct table_unwinder *u, u64 pc)
{
	size_t at = upper_bound(u, pc);

	/* A library may be mapped into a hole of another one: look a little further down. */
	for (int tries = 0; at > 0 && tries < 8; tries++)
		if (pc < u->modules[--at].module.end)
			return &u->modules[at];
	return NULL;
}

static u32 module_rule(const struct table_module *m, u64 pc)
{
	u64 offset = pc - m->rows.base;

	if (!m->rows.n || offset > UINT32_MAX)
		return unwind_rule(UNWIND_NONE, 0, 0);
	return unwind_rows_find(m->rows.rows, m->rows.n, (u32)offset);
}

/* The slow path of find_rule: the module, the row and, without one, what the code looks like. */
static u32 search_rule(const struct table_unwinder *u, u64 pc)
{
	const struct table_module *m = module_at(u, pc);
	u32 rule = m ? module_rule(m, pc) : unwind_rule(UNWIND_NONE, 0, 0);

	if (unwind_rule_kind(rule) == UNWIND_NONE && code_is_sigreturn(u->memory, pc))
		rule = unwind_rule(UNWIND_SIGNAL, 0, 0);
	return rule;
}

static void note_kind(struct table_unwinder *u, enum unwind_row_kind kind)
{
	if (kind == UNWIND_NONE)
		u->guessed = true;
	if (kind == UNWIND_SIGNAL)
		u->met_signal = true;
	if (kind < UNWIND_OURS)
		return;
	u->met_agent = true;
	u->in_agent_call |= !u->met_signal;
}

static inline u32 find_rule(void *ctx, u64 pc)
{
	struct table_unwinder *u = ctx;
	/* Fibonacci hashing (Knuth, TAOCP 6.4): one multiplication. */
	struct pc_entry *e = &u->cache[pc * 0x9e3779b97f4a7c15ULL >> (64 - PC_CACHE_BITS)];

	if (__builtin_expect(e->pc != pc || e->generation != u->generation, 0)) {
		e->rule = search_rule(u, pc);
		e->pc = pc;
		e->generation = u->generation;
	}
	if (__builtin_expect(unwind_rule_kind(e->rule) >= UNWIND_SIGNAL ||
				     unwind_rule_kind(e->rule) == UNWIND_NONE,
			     0))
		note_kind(u, unwind_rule_kind(e->rule));
	return e->rule;
}

static inline bool read_stack(void *ctx, u64 address, u64 *value)
{
	struct table_unwinder *u = ctx;

	return window_read_u64(&u->window, address, value);
}

/* Looks for the frame of a walk state among libdw's, and for the one after it. */
struct ask {
	struct walk_state *state;
	u32 seen;
	bool found, advanced;
};

/* libdw follows any chain for as long as it lasts: stop at twice the depth that a walk can have. */
#define ASK_FRAMES_MAX (2 * UNWIND_MAX_DEPTH)

static bool ask_frame(void *ctx, const struct libdw_frame *frame)
{
	struct ask *ask = ctx;
	struct walk_state *s = ask->state;

	if (ask->found) {
		if (frame->sp == 0 || frame->pc == 0)
			return false;
		*s = (struct walk_state){
			.pc = frame->pc,
			.sp = frame->sp,
			.bp = frame->bp,
			.exact = frame->exact,
			.trusted = s->trusted,
		};
		ask->advanced = true;
		return false;
	}
	ask->found = frame->sp == s->sp &&
		     (frame->exact ? frame->pc : frame->pc - 1) == walk_lookup_pc(s);
	return ++ask->seen < ASK_FRAMES_MAX;
}

static struct libdw_unwinder *get_libdw(struct table_unwinder *u)
{
	if (u->libdw)
		return u->libdw;
	u->libdw = libdw_unwinder_create(u->pid, u->memory, NULL);
	for (size_t i = 0; u->libdw && i < u->n_modules; i++) {
		if (libdw_unwinder_add_module(u->libdw, &u->modules[i].module, NULL)) {
			libdw_unwinder_destroy(u->libdw);
			u->libdw = NULL;
		}
	}
	return u->libdw;
}

/*
 * One frame by libdw. From the thread's registers first: they are whole. Where
 * libdw does not get to the frame (code without CFI lies between), from the
 * three registers that are known of it.
 */
static enum walk_result ask_libdw(struct table_unwinder *u, const struct walk_request *request,
				  struct walk_state *s)
{
	struct libdw_unwinder *libdw = get_libdw(u);
	struct unwind_regs regs = *request->regs;
	struct ask ask = {.state = s};
	enum unwind_end end;

	if (!libdw || (request->entry && walk_request_return(request, u->memory, &regs)))
		return WALK_LOST;
	end = libdw_unwinder_frames(libdw, request->tid, &regs, LIBDW_ALL, ask_frame, &ask);
	if (!ask.found) {
		regs.r[6] = s->bp;
		regs.r[7] = s->sp;
		regs.r[16] = walk_lookup_pc(s);
		end = libdw_unwinder_frames(libdw, request->tid, &regs, LIBDW_RBP_RSP_RIP,
					    ask_frame, &ask);
	}
	if (ask.advanced)
		return WALK_NEXT;
	return ask.found && end == UNWIND_OUTERMOST ? WALK_OUTERMOST : WALK_LOST;
}

/* Does a word on the stack look like the return address of code that has rows? */
static bool is_return_address(const struct table_unwinder *u, u64 word)
{
	const struct table_module *m = module_at(u, word - 1);

	return m && unwind_rule_kind(module_rule(m, word - 1)) != UNWIND_NONE &&
	       code_follows_call(u->memory, word);
}

/*
 * Did a walk that got lost come to the function that libc starts the program in?
 * musl's has no unwind information and no frame pointer. But what the program
 * was started with comes next on the stack, and no return address before it.
 */
static bool is_program_start(struct table_unwinder *u, const struct walk_state *s)
{
	const struct table_module *m = module_at(u, walk_lookup_pc(s));
	u64 argc, word;

	if (s->exact || s->guessed || !m ||
	    unwind_rule_kind(module_rule(m, walk_lookup_pc(s))) != UNWIND_NONE ||
	    !stack_begins_above(&u->window, s->sp, &argc))
		return false;
	for (u64 at = s->sp; at < argc; at += 8)
		if (!window_read_u64(&u->window, at, &word) || is_return_address(u, word))
			return false;
	return true;
}

/* Is the return address of the innermost function at rsp, whether rows say so or not? */
static bool has_bare_frame(struct table_unwinder *u, const struct walk_request *request)
{
	u64 pc = request->regs->r[16];

	if (request->entry)
		return true;
	return unwind_rule_kind(find_rule(u, pc)) == UNWIND_NONE &&
	       code_has_bare_frame(u->memory, pc);
}

static enum unwind_end table_walk(void *impl, const struct walk_request *request, u64 *pcs, u32 max,
				  u32 *count)
{
	struct table_unwinder *u = impl;
	const u64 *r = request->regs->r;
	struct walk_state s = {.pc = r[16], .sp = r[7], .bp = r[6], .trusted = 1, .exact = true};
	enum walk_result result;

	u->met_agent = u->met_signal = u->in_agent_call = u->guessed = false;
	window_start(&u->window, s.sp);
	pcs[0] = s.pc;
	*count = 1;
	if (has_bare_frame(u, request))
		result = walk_step(&s, unwind_rule(UNWIND_RSP, 0, 8), read_stack, u);
	else
		result = walk_stack(&s, pcs, max, count, find_rule, read_stack, u);
	for (;;) {
		if (result == WALK_ASK)
			result = ask_libdw(u, request, &s);
		if (result != WALK_NEXT)
			break;
		if (*count == max)
			return UNWIND_DEPTH;
		pcs[(*count)++] = walk_lookup_pc(&s);
		result = walk_stack(&s, pcs, max, count, find_rule, read_stack, u);
	}
	if (result == WALK_LOST && is_program_start(u, &s))
		result = WALK_OUTERMOST;
	switch (result) {
	case WALK_OUTERMOST:
		return UNWIND_OUTERMOST;
	case WALK_DEPTH:
		return UNWIND_DEPTH;
	default:
		return UNWIND_LOST;
	}
}

static bool table_met_agent(const void *impl, bool call)
{
	const struct table_unwinder *u = impl;

	return call ? u->in_agent_call : u->met_agent;
}

static bool table_is_sure(const void *impl)
{
	return !((const struct table_unwinder *)impl)->guessed;
}

/* libdw goes on with the memory that it has: what it says of another one's frames is not believed. */
static const struct mem_reader *table_swap_memory(void *impl, const struct mem_reader *memory)
{
	struct table_unwinder *u = impl;
	const struct mem_reader *was = u->memory;

	u->memory = memory;
	u->window.memory = memory;
	return was;
}

const struct unwind_backend unwind_table_backend = {
	.swap_memory = table_swap_memory,
	.met_agent = table_met_agent,
	.is_sure = table_is_sure,
	.create = table_create,
	.destroy = table_destroy,
	.add_module = table_add,
	.remove_module = table_remove,
	.prepare = table_prepare,
	.rows = table_rows,
	.add_rows = table_add_rows,
	.walk = table_walk,
};
