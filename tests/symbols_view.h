/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_SYMBOLS_VIEW_H
#define MEMATTACH_TESTS_SYMBOLS_VIEW_H

/*
 * A process as symbols/ sees it, for the suites modules and symbols*. In a header
 * as runners of other parts are linked without symbols/.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/guard.h"
#include "proc/maps.h"
#include "proc/mem.h"
#include "symbols/elf_symbols.h"
#include "symbols/modules.h"
#include "symbols/symbolizer.h"
#include "tests/suites.h"
#include "tests/target_process.h"

struct view {
	pid_t pid;
	struct modules *modules;
	struct symbolizer *symbolizer;
	struct proc_mem mem;
	struct mem_reader reader;
};

/* Reads the mappings again; true if anything changed. */
static inline bool view_update(struct view *view)
{
	struct err err = ERR_INIT;
	struct maps maps;
	bool changed;

	ck_assert_msg(maps_read(&maps, view->pid, &err) == 0, "%s", err.msg);
	ck_assert_msg(modules_update(view->modules, &maps, &changed, &err) == 0, "%s", err.msg);
	maps_deinit(&maps);
	return changed;
}

static inline void view_open(struct view *view, pid_t pid)
{
	struct err err = ERR_INIT;

	view->pid = pid;
	view->modules = modules_create(pid, &err);
	ck_assert_msg(view->modules != NULL, "%s", err.msg);
	view_update(view);
	view->symbolizer = symbolizer_create(view->modules, &err);
	ck_assert_msg(view->symbolizer != NULL, "%s", err.msg);
	ck_assert_msg(proc_mem_open(&view->mem, pid, &err) == 0, "%s", err.msg);
	view->reader = proc_mem_reader(&view->mem);
}

static inline void view_close(struct view *view)
{
	proc_mem_close(&view->mem);
	symbolizer_destroy(view->symbolizer);
	modules_destroy(view->modules);
}

/* The mapped module whose path ends so, NULL if there is none. */
static inline const struct module *view_module(const struct view *view, const char *tail)
{
	for (u32 id = 1; id <= modules_count(view->modules); id++) {
		const struct module *m = modules_get(view->modules, id);
		size_t len = strlen(m->path);

		if (m->mapped && len >= strlen(tail) && !strcmp(m->path + len - strlen(tail), tail))
			return m;
	}
	return NULL;
}

static inline const struct module *view_main(const struct view *view)
{
	for (u32 id = 1; id <= modules_count(view->modules); id++)
		if (modules_get(view->modules, id)->is_main)
			return modules_get(view->modules, id);
	ck_abort_msg("process %d has no main module", (int)view->pid);
	return NULL;
}

static inline size_t view_names(const struct view *view, u64 address,
				const struct symbol_frame **frames)
{
	const struct module *m = modules_at(view->modules, address);
	struct err err = ERR_INIT;
	size_t n;

	ck_assert_msg(symbolizer_lookup(view->symbolizer, frame_make(m ? m->id : 0, address),
					frames, &n, &err) == 0,
		      "%s", err.msg);
	ck_assert_uint_ge(n, 1);
	return n;
}

/* The real function at an address: the outermost frame. */
static inline const char *view_function(const struct view *view, u64 address)
{
	const struct symbol_frame *frames;
	size_t n = view_names(view, address, &frames);

	return frames[n - 1].function;
}

/* What a target answers to "where": names and addresses. */
struct places {
	struct {
		char name[64];
		u64 address;
	} items[16];
	size_t n;
};

static inline void places_ask(struct places *places, struct target *target)
{
	const char *line;

	places->n = 0;
	target_say(target, "where");
	while (strcmp(line = target_hear(target), "end")) {
		ck_assert_uint_lt(places->n, ARRAY_SIZE(places->items));
		ck_assert_int_eq(sscanf(line, "%63s %lx", places->items[places->n].name,
					&places->items[places->n].address),
				 2);
		places->n++;
	}
}

static inline u64 place(const struct places *places, const char *name)
{
	for (size_t i = 0; i < places->n; i++)
		if (!strcmp(places->items[i].name, name))
			return places->items[i].address;
	ck_abort_msg("the target says nothing of %s", name);
	return 0;
}

/* A new directory of the test's own; remove it with remove_dir. */
static inline char *make_dir(void)
{
	char *dir = strdup("/tmp/memattach-test-XXXXXX");

	ck_assert_ptr_nonnull(mkdtemp(dir));
	return dir;
}

/* Runs a program and waits for it; it has to succeed. */
static inline void run(const char *const *argv)
{
	struct spawn how = {.argv = argv};
	int status = wait_end(spawn(&how));

	ck_assert_msg(status == 0, "%s failed: wait status %x", argv[0], (unsigned)status);
}

static inline void remove_dir(char *dir)
{
	run(WORDS("rm", "-rf", dir));
	free(dir);
}

/* Copies what the build made (targets/NAME) to dir/as; the path, malloc'ed. */
static inline char *copy_target(const char *name, const char *dir, const char *as)
{
	char from[128];
	char *source, *to;

	snprintf(from, sizeof(from), "targets/%s", name);
	source = build_path(from);
	ck_assert_int_gt(asprintf(&to, "%s/%s", dir, as), 0);
	run(WORDS("cp", source, to));
	free(source);
	return to;
}

/* Starts a program of any path that says "ready" as targets do. */
static inline void start_path(struct target *target, const char *path)
{
	target_run(target, WORDS(path), NULL);
	target_expect(target, "ready");
}

#endif
