// SPDX-License-Identifier: MIT
/*
 * From ids and addresses to names. Two maps make a later snapshot cheap: from a
 * stack id of the ledger to the capture's stack, and from a frame value to the
 * capture's frames. What a failing snapshot has added is at the end of every
 * array, so that undoing it is truncating them.
 */
#include "report/builder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"
#include "base/guard.h"
#include "base/vec.h"
#include "report/frame_table.h"
#include "symbols/symbolizer.h"

struct builder {
	struct capture *capture;
	const struct stacks *stacks;
	const struct modules *modules;
	struct symbolizer *symbolizer;
	struct frame_table frames;
	u32 *stack_of; /* capture stack + 1 of a stack id, 0: none yet */
	size_t stack_of_cap, stack_of_n;
};

struct builder *builder_create(struct capture *capture, const struct stacks *stacks,
			       const struct modules *modules, struct err *err)
{
	struct builder *builder = calloc(1, sizeof(*builder));

	if (!builder) {
		err_sys(err, ENOMEM, "cannot prepare the report");
		return NULL;
	}
	builder->capture = capture;
	builder->stacks = stacks;
	builder->modules = modules;
	builder->symbolizer = symbolizer_create(modules, err);
	if (!builder->symbolizer) {
		free(builder);
		return NULL;
	}
	return builder;
}

void builder_destroy(struct builder *builder)
{
	if (!builder)
		return;
	symbolizer_destroy(builder->symbolizer);
	frame_table_deinit(&builder->frames);
	free(builder->stack_of);
	free(builder);
}

/* A copy of s, or NULL for NULL. *failed is set when out of memory. */
static char *copy(const char *s, bool *failed)
{
	char *p = s ? strdup(s) : NULL;

	if (s && !p)
		*failed = true;
	return p;
}

static char *hex(const struct module *module, bool *failed)
{
	char text[2 * MODULE_BUILD_ID_MAX + 1] = "";

	for (size_t i = 0; i < module->build_id_len && i < MODULE_BUILD_ID_MAX; i++)
		snprintf(text + 2 * i, 3, "%02x", module->build_id[i]);
	return copy(text[0] ? text : NULL, failed);
}

static int add_frame(struct builder *builder, u64 value, const struct symbol_frame *symbol)
{
	const struct module *module = modules_get(builder->modules, frame_module(value));
	struct capture *capture = builder->capture;
	struct capture_frame frame = {.address = frame_address(value)};
	bool failed = false;

	if (capture->frames_n >= UINT32_MAX ||
	    vec_reserve((void **)&capture->frames, &capture->frames_cap, capture->frames_n + 1,
			sizeof(*capture->frames)))
		return -ENOMEM;
	if (module) {
		frame.offset = frame.address - module->bias;
		frame.module = copy(module->path, &failed);
		frame.build_id = hex(module, &failed);
	}
	frame.function = copy(symbol->function, &failed);
	frame.file = copy(symbol->file, &failed);
	frame.line = symbol->line;
	frame.inlined = symbol->inlined;
	if (failed) {
		capture_frame_deinit(&frame);
		return -ENOMEM;
	}
	capture->frames[capture->frames_n++] = frame;
	return 0;
}

/* The capture frames of value, made now if they are not there yet. */
static int frames_of(struct builder *builder, u64 value, struct frame_entry *entry, struct err *err)
{
	const struct frame_entry *known = frame_table_find(&builder->frames, value);
	const struct symbol_frame *symbols;
	size_t count;
	int ret;

	if (known) {
		*entry = *known;
		return 0;
	}
	ret = symbolizer_lookup(builder->symbolizer, value, &symbols, &count, err);
	if (ret)
		return ret;
	*entry = (struct frame_entry){value, (u32)builder->capture->frames_n, (u32)count};
	for (size_t i = 0; i < count && !ret; i++)
		ret = add_frame(builder, value, &symbols[i]);
	if (!ret)
		ret = frame_table_add(&builder->frames, *entry);
	return ret ? err_sys(err, -ret, "cannot keep the names of a stack") : 0;
}

/* The frames of one stack, in an array that only grows, and is reused. */
struct indices {
	u32 *items;
	size_t n, cap;
};

static int collect_frames(struct builder *builder, u32 id, struct indices *indices,
			  enum capture_cut *cut, struct err *err)
{
	u32 n;
	const u64 *values = stacks_frames(builder->stacks, id, &n);

	*cut = CAPTURE_WHOLE;
	indices->n = 0;
	for (u32 i = 0; i < n; i++) {
		struct frame_entry entry;
		int ret;

		if (frame_is_cut(values[i])) {
			*cut = values[i] == FRAME_CUT_DEPTH ? CAPTURE_CUT_DEPTH : CAPTURE_CUT_LOST;
			return 0;
		}
		ret = frames_of(builder, values[i], &entry, err);
		if (ret)
			return ret;
		if (vec_reserve((void **)&indices->items, &indices->cap, indices->n + entry.count,
				sizeof(*indices->items)))
			return err_sys(err, ENOMEM, "cannot keep a stack");
		for (u32 k = 0; k < entry.count; k++)
			indices->items[indices->n++] = entry.first + k;
	}
	return 0;
}

static int add_stack(struct builder *builder, const struct indices *indices, enum capture_cut cut)
{
	struct capture *capture = builder->capture;
	struct capture_stack stack = {.n = (u32)indices->n, .cut = cut};

	if (capture->stacks_n >= UINT32_MAX ||
	    vec_reserve((void **)&capture->stacks, &capture->stacks_cap, capture->stacks_n + 1,
			sizeof(*capture->stacks)))
		return -ENOMEM;
	if (indices->n) {
		stack.frames = malloc(indices->n * sizeof(*stack.frames));
		if (!stack.frames)
			return -ENOMEM;
		memcpy(stack.frames, indices->items, indices->n * sizeof(*stack.frames));
	}
	capture->stacks[capture->stacks_n++] = stack;
	return 0;
}

/* Makes room in stack_of for every stack that there is, zeroed. */
static int reserve_stacks(struct builder *builder)
{
	size_t count = stacks_count(builder->stacks);

	if (vec_reserve((void **)&builder->stack_of, &builder->stack_of_cap, count,
			sizeof(*builder->stack_of)))
		return -ENOMEM;
	if (count > builder->stack_of_n) {
		memset(builder->stack_of + builder->stack_of_n, 0,
		       (count - builder->stack_of_n) * sizeof(*builder->stack_of));
		builder->stack_of_n = count;
	}
	return 0;
}

/* The capture's stack for stack id. */
static int stack_of(struct builder *builder, u32 id, struct indices *scratch, u32 *stack,
		    struct err *err)
{
	enum capture_cut cut;
	int ret;

	if (id >= builder->stack_of_n)
		return err_set(err, EINVAL, "the ledger names stack %u, but there are only %zu", id,
			       builder->stack_of_n);
	if (!builder->stack_of[id]) {
		ret = collect_frames(builder, id, scratch, &cut, err);
		if (ret)
			return ret;
		if (add_stack(builder, scratch, cut))
			return err_sys(err, ENOMEM, "cannot keep a stack");
		builder->stack_of[id] = (u32)builder->capture->stacks_n;
	}
	*stack = builder->stack_of[id] - 1;
	return 0;
}

/* Most live bytes first, then the most allocated, then the oldest stack. */
static int by_live(const void *a, const void *b)
{
	const struct ledger_site *x = a, *y = b;

	if (x->live_bytes != y->live_bytes)
		return x->live_bytes < y->live_bytes ? 1 : -1;
	if (x->total_bytes != y->total_bytes)
		return x->total_bytes < y->total_bytes ? 1 : -1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

static int convert_sites(struct builder *builder, const struct ledger_site *from, size_t n,
			 struct capture_site *to, struct err *err)
{
	struct indices scratch = {0};
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		to[i] = (struct capture_site){
			.live_bytes = from[i].live_bytes,
			.live_blocks = from[i].live_blocks,
			.peak_bytes = from[i].peak_bytes,
			.total_bytes = from[i].total_bytes,
			.total_allocations = from[i].total_allocations,
			.total_frees = from[i].total_frees,
			.temporary = from[i].temporary,
			.largest = from[i].largest,
			.oldest_age = from[i].oldest_age / 1000.0,
			.median_age = from[i].median_age / 1000.0,
			.live_bytes_error = from[i].live_bytes_error,
			.live_blocks_error = from[i].live_blocks_error,
			.total_bytes_error = from[i].total_bytes_error,
			.total_allocations_error = from[i].total_allocations_error,
		};
		ret = stack_of(builder, from[i].stack, &scratch, &to[i].stack, err);
	}
	free(scratch.items);
	return ret;
}

/* Forgets the frames and stacks that were added after there were this many. */
static void roll_back(struct builder *builder, size_t frames_n, size_t stacks_n, size_t entries_n)
{
	struct capture *capture = builder->capture;

	while (capture->frames_n > frames_n)
		capture_frame_deinit(&capture->frames[--capture->frames_n]);
	while (capture->stacks_n > stacks_n)
		free(capture->stacks[--capture->stacks_n].frames);
	for (size_t i = 0; i < builder->stack_of_n; i++)
		if (builder->stack_of[i] > stacks_n)
			builder->stack_of[i] = 0;
	frame_table_truncate(&builder->frames, entries_n);
}

static int add_sites(struct builder *builder, struct ledger_site *sites, size_t n,
		     struct capture_snapshot *snapshot, struct err *err)
{
	snapshot->sites = calloc(n ? n : 1, sizeof(*snapshot->sites));
	if (!snapshot->sites || reserve_stacks(builder))
		return err_sys(err, ENOMEM, "cannot make a snapshot of %zu stacks", n);
	if (n)
		qsort(sites, n, sizeof(*sites), by_live);
	snapshot->sites_n = n;
	return convert_sites(builder, sites, n, snapshot->sites, err);
}

int builder_add(struct builder *builder, const struct ledger_totals *totals,
		struct ledger_site *sites, size_t n, u32 now, enum capture_reason reason,
		struct capture_snapshot **snapshot, struct err *err)
{
	struct capture *capture = builder->capture;
	size_t frames_n = capture->frames_n, stacks_n = capture->stacks_n;
	size_t entries_n = builder->frames.n;
	struct capture_snapshot new = {
		.number = (u32)capture->snapshots_n + 1,
		.reason = reason,
		.time = now / 1000.0,
		.totals = *totals,
		.estimated = capture->settings.sample_bytes != 0,
	};
	int ret;

	ret = vec_reserve((void **)&capture->snapshots, &capture->snapshots_cap,
			  capture->snapshots_n + 1, sizeof(*capture->snapshots));
	if (ret)
		err_sys(err, ENOMEM, "cannot make another snapshot");
	else
		ret = add_sites(builder, sites, n, &new, err);
	if (ret) {
		capture_snapshot_deinit(&new);
		roll_back(builder, frames_n, stacks_n, entries_n);
		return ret;
	}
	capture->snapshots[capture->snapshots_n] = new;
	*snapshot = &capture->snapshots[capture->snapshots_n++];
	return 0;
}

int builder_snapshot(struct builder *builder, const struct ledger *ledger, u32 now,
		     enum capture_reason reason, struct capture_snapshot **snapshot,
		     struct err *err)
{
	_cleanup_free_ struct ledger_site *sites = NULL;
	struct ledger_totals totals;
	size_t n = 0;
	int ret = ledger_sites(ledger, now, &sites, &n, err);

	if (ret)
		return ret;
	ledger_totals(ledger, &totals);
	return builder_add(builder, &totals, sites, n, now, reason, snapshot, err);
}

int builder_timeline(struct builder *builder, const struct timeline *timeline, struct err *err)
{
	size_t n;
	const struct timeline_point *points = timeline_points(timeline, &n);
	struct timeline_point *mine = malloc((n ? n : 1) * sizeof(*mine));

	if (!mine)
		return err_sys(err, ENOMEM, "cannot keep the timeline");
	if (n)
		memcpy(mine, points, n * sizeof(*mine));
	free(builder->capture->timeline);
	builder->capture->timeline = mine;
	builder->capture->timeline_n = n;
	return 0;
}
