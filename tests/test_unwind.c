// SPDX-License-Identifier: MIT
/*
 * Stacks of real processes whose call chains are known, by each back end. A
 * chain is written as the names of functions from the innermost on: `name*30`
 * is 30 frames of it, `...` any number of frames, `?` a frame that has no name,
 * `.` any one frame.
 */
#include "tests/suites.h"
#include "tests/unwind_target.h"

#include <poll.h>

#include "proc/tasks.h"

#define BIT(kind)     (1U << (kind))
#define TABLE         BIT(UNWIND_TABLE)
#define TABLE_LIBDW   (BIT(UNWIND_TABLE) | BIT(UNWIND_LIBDW))
#define ALL_BACK_ENDS (TABLE_LIBDW | BIT(UNWIND_LIBUNWIND))

struct chain {
	const char *program, *shape, *frames;
	enum unwind_end end;
	unsigned kinds; /* the back ends that have to find it */
};

/* Does the stack from frame i on match the rest of a chain? */
static bool matches(const struct target *t, const struct stack *stack, u32 i, const char *frames)
{
	size_t len = strcspn(frames, " *");
	const char *rest = frames + strcspn(frames, " ");
	unsigned long times = frames[len] == '*' ? strtoul(frames + len + 1, NULL, 10) : 1;

	while (*rest == ' ')
		rest++;
	if (!*frames)
		return i == stack->n;
	if (!strncmp(frames, "...", len)) {
		for (; i <= stack->n; i++)
			if (matches(t, stack, i, rest))
				return true;
		return false;
	}
	for (; times > 0; times--, i++) {
		const char *name = i < stack->n ? target_name(t, stack->pcs[i]) : "";

		if (i < stack->n && len == 1 && *frames == '.')
			continue;
		/* gcc moves unlikely parts of `name` to `name.cold`. */
		if (strcspn(name, ".") != len || strncmp(name, frames, len) != 0)
			return false;
	}
	return matches(t, stack, i, rest);
}

static void start(struct target *t, const char *program, const char *shape)
{
	char path[600];
	char *argv[] = {path, (char *)shape, NULL};

	target_path(path, sizeof(path), program);
	target_start(t, argv);
	target_await(t);
}

static void assert_chain(struct target *t, pid_t tid, const struct chain *chain)
{
	for (unsigned k = 0; k < UNWIND_KINDS; k++) {
		struct stack stack;
		char *text;

		if (!(chain->kinds & BIT(k)))
			continue;
		target_walk(t, (enum unwind_kind)k, tid, UNWIND_MAX_DEPTH, &stack);
		text = target_describe(t, &stack);
		ck_assert_msg(stack.end == chain->end && matches(t, &stack, 0, chain->frames),
			      "%s %s, back end %u: expected %s [%s], found %s", chain->program,
			      chain->shape, k, chain->frames, unwind_end_name(chain->end), text);
		free(text);
	}
}

/* What main is called by, for each libc. */
#define GLIBC " main ... _start"
#define MUSL  " main libc_start_main_stage2"

/* Shapes that look the same however the program was built; OUTER is what comes after. */
static const struct {
	const char *shape, *frames;
} shapes[] = {
	{"recursion", "stop_here recurse*30 shape_recursion"},
	{"alloca", "stop_here variable shape_alloca"},
	{"realigned", "stop_here aligned_locals realigned shape_realigned"},
	{"big", "stop_here big_frame shape_big"},
	{"jit", "stop_here ? ? shape_jit"},
};

/*
 * libunwind finds no tables in a static program (it wants PT_GNU_EH_FRAME) and
 * reads no .debug_frame here; libdw does not know that musl's stacks end.
 */
static const struct {
	const char *program, *outer;
	unsigned kinds;
} builds[] = {
	{"unwind_shapes_O2", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_O0", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_lazy", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_static", GLIBC, TABLE_LIBDW},
	{"unwind_shapes_static_pie", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_realign", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_frame_pointer", GLIBC, TABLE_LIBDW},
	{"unwind_shapes_debug_frame", GLIBC, TABLE_LIBDW},
	{"unwind_shapes_clang", GLIBC, ALL_BACK_ENDS},
	{"unwind_shapes_musl", MUSL, TABLE},
};

/* The rest, each where it means something. */
static const struct chain chains[] = {
	{"unwind_shapes_O2", "tail", "stop_here jumped_to shape_tail" GLIBC, UNWIND_OUTERMOST,
	 ALL_BACK_ENDS},
	{"unwind_shapes_O0", "tail", "stop_here jumped_to jumps shape_tail" GLIBC, UNWIND_OUTERMOST,
	 ALL_BACK_ENDS},
	{"unwind_shapes_clang", "tail", "stop_here jumped_to shape_tail" GLIBC, UNWIND_OUTERMOST,
	 ALL_BACK_ENDS},
	{"unwind_shapes_O2", "qsort", "stop_here compare . . shape_qsort" GLIBC, UNWIND_OUTERMOST,
	 ALL_BACK_ENDS},
	{"unwind_shapes_static", "qsort", "stop_here compare ... shape_qsort" GLIBC,
	 UNWIND_OUTERMOST, TABLE_LIBDW},
	{"unwind_shapes_frame_pointer", "qsort", "stop_here compare ... shape_qsort" GLIBC,
	 UNWIND_OUTERMOST, TABLE_LIBDW},
	{"unwind_shapes_O2", "signal", "stop_here handler . faulting shape_signal" GLIBC,
	 UNWIND_OUTERMOST, ALL_BACK_ENDS},
	{"unwind_shapes_static", "signal",
	 "stop_here handler __restore_rt faulting shape_signal" GLIBC, UNWIND_OUTERMOST,
	 TABLE_LIBDW},
	{"unwind_shapes_O2", "altstack", "stop_here handler . faulting shape_altstack" GLIBC,
	 UNWIND_OUTERMOST, ALL_BACK_ENDS},
	/* musl's trampoline has no CFI: it is known by its instructions. */
	{"unwind_shapes_musl", "signal",
	 "stop_here handler __restore_rt faulting shape_signal" MUSL, UNWIND_OUTERMOST, TABLE},
	{"unwind_shapes_musl", "altstack",
	 "stop_here handler __restore_rt faulting shape_altstack" MUSL, UNWIND_OUTERMOST, TABLE},
	/* musl's qsort has neither CFI nor frame pointers: a cut, and no made-up callers. */
	{"unwind_shapes_musl", "qsort", "stop_here compare .", UNWIND_LOST, TABLE},
	{"unwind_shapes_O2", "jit_frameless", "stop_here ?", UNWIND_LOST, TABLE},
	/* A caller that only a frame pointer tells of, and that leads nowhere, is not shown. */
	{"unwind_shapes_O2", "jit_lost", "stop_here ?", UNWIND_LOST, TABLE},
	{"unwind_exception", "cleanup", "stop_here destroying passes catches" GLIBC,
	 UNWIND_OUTERMOST, ALL_BACK_ENDS},
	{"unwind_exception", "caught", "stop_here destroying . catches" GLIBC, UNWIND_OUTERMOST,
	 ALL_BACK_ENDS},
};

/* Stops the target that start started, for good. */
static void open_stopped(struct target *t, const char *program, const char *shape)
{
	start(t, program, shape);
	target_stop_thread(t, t->pid);
	target_open(t);
}

START_TEST(shape_in_every_build)
{
	size_t b = (size_t)_i / ARRAY_SIZE(shapes), s = (size_t)_i % ARRAY_SIZE(shapes);
	char frames[256];
	struct chain chain = {builds[b].program, shapes[s].shape, frames, UNWIND_OUTERMOST,
			      builds[b].kinds};
	struct target t;

	snprintf(frames, sizeof(frames), "%s%s", shapes[s].frames, builds[b].outer);
	open_stopped(&t, chain.program, chain.shape);
	assert_chain(&t, t.pid, &chain);
	target_end(&t);
}
END_TEST

START_TEST(known_chain)
{
	struct target t;

	open_stopped(&t, chains[_i].program, chains[_i].shape);
	assert_chain(&t, t.pid, &chains[_i]);
	target_end(&t);
}
END_TEST

START_TEST(thread)
{
	static const struct chain expected[] = {
		{"unwind_shapes_O2", "thread", "stop_here worker ? ?", UNWIND_OUTERMOST,
		 ALL_BACK_ENDS},
		{"unwind_shapes_static", "thread", "stop_here worker start_thread .",
		 UNWIND_OUTERMOST, TABLE_LIBDW},
		{"unwind_shapes_musl", "thread", "stop_here worker start", UNWIND_OUTERMOST, TABLE},
	};
	pid_t *tids, tid = 0;
	struct target t;
	size_t n;

	start(&t, expected[_i].program, "thread");
	ck_assert_int_eq(proc_tasks(t.pid, &tids, &n, NULL), 0);
	ck_assert_uint_eq(n, 2);
	tid = tids[0] == t.pid ? tids[1] : tids[0];
	free(tids);
	target_stop_thread(&t, t.pid);
	target_stop_thread(&t, tid);
	target_open(&t);
	assert_chain(&t, tid, &expected[_i]);
	target_end(&t);
}
END_TEST

START_TEST(cut_at_depth)
{
	struct stack whole, cut;
	struct target t;

	open_stopped(&t, "unwind_shapes_O2", "deep");
	for (int k = 0; k < UNWIND_KINDS; k++) {
		target_walk(&t, (enum unwind_kind)k, t.pid, UNWIND_DEFAULT_DEPTH, &cut);
		ck_assert_int_eq(cut.end, UNWIND_DEPTH);
		ck_assert_uint_eq(cut.n, UNWIND_DEFAULT_DEPTH);
		ck_assert(matches(&t, &cut, 0, "stop_here recurse*63"));
		target_walk(&t, (enum unwind_kind)k, t.pid, 0, &cut);
		ck_assert_int_eq(cut.end, UNWIND_DEPTH);
		ck_assert_uint_eq(cut.n, 0);
	}
	target_end(&t);

	/* As many frames as there is room for are a whole stack. */
	open_stopped(&t, "unwind_shapes_O2", "recursion");
	for (int k = 0; k < UNWIND_KINDS; k++) {
		target_walk(&t, (enum unwind_kind)k, t.pid, UNWIND_MAX_DEPTH, &whole);
		target_walk(&t, (enum unwind_kind)k, t.pid, whole.n, &cut);
		ck_assert_int_eq(cut.end, UNWIND_OUTERMOST);
		ck_assert_uint_eq(cut.n, whole.n);
		target_walk(&t, (enum unwind_kind)k, t.pid, whole.n - 1, &cut);
		ck_assert_int_eq(cut.end, UNWIND_DEPTH);
		ck_assert_uint_eq(cut.n, whole.n - 1);
	}
	target_end(&t);
}
END_TEST

/* On the first byte of a function, unwinder_walk_entry says the same as unwinder_walk. */
static bool check_entry(struct target *t, const struct unwind_regs *regs, const struct stack *stack)
{
	Dwfl_Module *mod = dwfl_addrmodule(t->names, regs->r[16]);
	GElf_Off offset;
	GElf_Sym sym;
	struct stack entry;

	if (!mod || !dwfl_module_addrinfo(mod, regs->r[16], &offset, &sym, NULL, NULL, NULL) ||
	    offset != 0 || sym.st_size == 0)
		return false;
	for (int k = 0; k < UNWIND_KINDS; k++) {
		entry.end = unwinder_walk_entry(t->unwinders[k], t->pid, regs, entry.pcs,
						UNWIND_MAX_DEPTH, &entry.n);
		ck_assert_int_eq(entry.end, stack->end);
		ck_assert_uint_eq(entry.n, stack->n);
		ck_assert_mem_eq(entry.pcs, stack->pcs, stack->n * sizeof(u64));
	}
	return true;
}

/*
 * Every instruction from a lazily bound call through the PLT and the dynamic
 * linker to the function in libc and back.
 */
START_TEST(each_step_through_the_plt)
{
	struct unwind_regs regs;
	struct pollfd ready;
	struct target t;
	u32 entries = 0, plt = 0, steps = 0;

	open_stopped(&t, "unwind_shapes_lazy", "steps");
	ready = (struct pollfd){.fd = t.from, .events = POLLIN};
	target_go(&t);
	while (poll(&ready, 1, 0) == 0) {
		struct stack table, libdw;
		char *text;
		int status;

		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, t.pid, 0, 0), 0);
		ck_assert_int_eq(waitpid(t.pid, &status, 0), t.pid);
		ck_assert(WIFSTOPPED(status));
		ck_assert(target_regs(t.pid, &regs));
		target_walk(&t, UNWIND_TABLE, t.pid, UNWIND_MAX_DEPTH, &table);
		text = target_describe(&t, &table);
		ck_assert_msg(table.end == UNWIND_OUTERMOST &&
				      matches(&t, &table, 0, "... shape_steps" GLIBC),
			      "after %u steps: %s", steps, text);
		target_walk(&t, UNWIND_LIBDW, t.pid, UNWIND_MAX_DEPTH, &libdw);
		ck_assert_msg(libdw.n == table.n &&
				      !memcmp(libdw.pcs, table.pcs, table.n * sizeof(u64)),
			      "after %u steps libdw differs: %s", steps, text);
		entries += check_entry(&t, &regs, &table);
		plt += modules_at(t.modules, regs.r[16]) == modules_at(t.modules, table.pcs[1]) &&
		       matches(&t, &table, 0, "? steps shape_steps" GLIBC);
		free(text);
		steps++;
	}
	/* Seen were: the PLT's own code, and functions' first bytes. */
	ck_assert_uint_ge(plt, 3);
	ck_assert_uint_ge(entries, 3);
	ck_assert_uint_ge(steps, 500);
	printf("unwind: %u single steps, %u in the PLT, %u on a function's first byte\n", steps,
	       plt, entries);
	target_end(&t);
}
END_TEST

/* A function of musl, on whose first byte a probe stands: only the caller says what the frame is. */
START_TEST(entry_without_unwind_information)
{
	struct unwind_regs regs;
	struct stack stack;
	struct target t;
	char *text;

	open_stopped(&t, "unwind_shapes_musl", "alloca");
	ck_assert(target_regs(t.pid, &regs));
	/* As after `call trinkle` from where it stands. */
	regs.r[7] -= 8;
	ck_assert_int_eq(proc_mem_write(&t.mem, regs.r[7], &regs.r[16], 8), 0);
	regs.r[16] = 0;
	for (int i = 0, n = dwfl_module_getsymtab(dwfl_addrmodule(t.names, 0x401000)); i < n; i++) {
		GElf_Sym sym;
		GElf_Addr address;
		const char *name = dwfl_module_getsym_info(dwfl_addrmodule(t.names, 0x401000), i,
							   &sym, &address, NULL, NULL, NULL);

		if (name && !strcmp(name, "trinkle"))
			regs.r[16] = address;
	}
	ck_assert_uint_ne(regs.r[16], 0);
	stack.end = unwinder_walk_entry(t.unwinders[UNWIND_TABLE], t.pid, &regs, stack.pcs,
					UNWIND_MAX_DEPTH, &stack.n);
	text = target_describe(&t, &stack);
	ck_assert_msg(
		stack.end == UNWIND_OUTERMOST &&
			matches(&t, &stack, 0, "trinkle stop_here variable shape_alloca" MUSL),
		"found %s", text);
	free(text);
	target_end(&t);
}
END_TEST

/* A module that goes takes its rows with it, and comes back. */
START_TEST(removed_module)
{
	struct stack before, without, after;
	struct unwind_module um;
	const struct module *m;
	struct unwinder *u;
	struct target t;

	open_stopped(&t, "unwind_shapes_O2", "recursion");
	u = t.unwinders[UNWIND_TABLE];
	target_walk(&t, UNWIND_TABLE, t.pid, UNWIND_MAX_DEPTH, &before);
	m = modules_at(t.modules, before.pcs[0]);
	ck_assert_ptr_nonnull(m);
	um = (struct unwind_module){m->id, m->start, m->end, m->bias, m->fd, m->path};
	unwinder_remove_module(u, m->id);
	target_walk(&t, UNWIND_TABLE, t.pid, UNWIND_MAX_DEPTH, &without);
	ck_assert_uint_lt(without.n, before.n);
	ck_assert_int_eq(without.end, UNWIND_LOST);
	um.id += 100;
	ck_assert_int_eq(unwinder_add_module(u, &um, NULL), 0);
	target_walk(&t, UNWIND_TABLE, t.pid, UNWIND_MAX_DEPTH, &after);
	ck_assert_int_eq(after.end, UNWIND_OUTERMOST);
	ck_assert_uint_eq(after.n, before.n);
	ck_assert_mem_eq(after.pcs, before.pcs, before.n * sizeof(u64));
	target_end(&t);
}
END_TEST

Suite *unwind_suite(void)
{
	Suite *suite = suite_create("unwind");
	TCase *tcase = tcase_create("chains");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, shape_in_every_build, 0,
			    (int)(ARRAY_SIZE(builds) * ARRAY_SIZE(shapes)));
	tcase_add_loop_test(tcase, known_chain, 0, (int)ARRAY_SIZE(chains));
	tcase_add_loop_test(tcase, thread, 0, 3);
	tcase_add_test(tcase, cut_at_depth);
	tcase_add_test(tcase, each_step_through_the_plt);
	tcase_add_test(tcase, entry_without_unwind_information);
	tcase_add_test(tcase, removed_module);
	suite_add_tcase(suite, tcase);
	return suite;
}
