// SPDX-License-Identifier: MIT
/*
 * From probes to the books: heap events into the ledger, walked stacks into
 * interned ones.
 */
#include <errno.h>
#include <string.h>

#include "base/frame.h"
#include "session_image.h"

/* Kept between the beginning of a realloc and its end. */
struct realloc_state {
	struct ledger_block block;
	bool known;
};

_Static_assert(sizeof(struct realloc_state) <= REALLOC_SCRATCH, "realloc state fits its place");

static bool is_code(void *ctx, u64 address, u32 *id)
{
	const struct image *image = ctx;
	const struct module *module = modules_at(image->modules, address);

	if (!module || module->fd < 0 || module->is_vdso || address < module->text_start ||
	    address >= module->text_end)
		return false;
	*id = module->id;
	return true;
}

/* How often it is looked at whether the books are full: at breakpoints a batch is one event. */
#define LOOK_BATCHES 64

static const char full_reason[] =
	"memattach has reached its limit of memory, half of what was free: a target with more "
	"live blocks or call stacks needs --sample";

/* There is no room for another one. */
static int lost_stack(struct image *image, u32 *id)
{
	static const u64 frame = FRAME_CUT_LOST;

	image->lost_events++;
	image->lost_why = full_reason;
	return stacks_intern(image->stacks, &frame, 1, id);
}

static int stack(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u32 *id)
{
	struct image *image = ctx;
	u64 frames[UNWIND_MAX_DEPTH + 1];

	if (image->full && n)
		return lost_stack(image, id);
	for (u32 i = 0; i < n; i++) {
		const struct module *module = modules_at(image->modules, pcs[i]);

		frames[i] = frame_make(module ? module->id : 0, pcs[i]);
	}
	if (end != UNWIND_OUTERMOST)
		frames[n++] = end == UNWIND_DEPTH ? FRAME_CUT_DEPTH : FRAME_CUT_LOST;
	return stacks_intern(image->stacks, frames, n, id);
}

static int arrived_stack(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u64 sp, u32 *id)
{
	const struct image *image = ctx;

	(void)sp;
	/* Its hash, which has a place of its own, is not to be remembered either. */
	if (image->full)
		return -ENOSPC;
	return stack(ctx, pcs, n, end, id);
}

static int each_module(void *ctx, int (*visit)(void *arg, u32 id, u64 start, u64 end), void *arg)
{
	const struct image *image = ctx;

	for (u32 id = 1; id <= modules_count(image->modules); id++) {
		const struct module *module = modules_get(image->modules, id);
		int ret = module->mapped ? visit(arg, id, module->start, module->end) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

static bool has(void *ctx, u64 address)
{
	const struct image *image = ctx;

	return ledger_has(image->ledger, address);
}

struct visitor {
	void (*visit)(void *arg, u64 address);
	void *arg;
};

static int visit_block(void *ctx, const struct ledger_block *block)
{
	const struct visitor *visitor = ctx;

	visitor->visit(visitor->arg, block->address);
	return 0;
}

static void each_block(void *ctx, void (*visit)(void *arg, u64 address), void *arg)
{
	const struct image *image = ctx;
	struct visitor visitor = {visit, arg};

	ledger_visit(image->ledger, visit_block, &visitor);
}

static void batch(void *ctx)
{
	struct image *image = ctx;

	image->event_time = image_now(image);
	if (image->looked++ % LOOK_BATCHES == 0)
		image->full = ledger_memory(image->ledger) + stacks_memory(image->stacks) >
			      image->books_max;
}

static void enter(void *ctx)
{
	struct image *image = ctx;

	consumer_enter(&image->consumer);
	batch(image);
}

static void leave(void *ctx)
{
	struct image *image = ctx;

	consumer_leave(&image->consumer);
}

static void lost(void *ctx, const char *why)
{
	struct image *image = ctx;

	image->lost_events++;
	image->lost_why = why;
}

/* Writes an allocation into the ledger. 0 or -ENOMEM. */
static inline int record(struct image *image, const struct heap_event *event)
{
	struct ledger_block block = {
		.address = event->address,
		.size = event->size,
		.stack = event->stack,
		.time = image->event_time,
	};

	return ledger_alloc(image->ledger, &block, event->thread);
}

static int allocated(struct image *image, const struct heap_event *event)
{
	if (image->full && !ledger_has(image->ledger, event->address)) {
		/* In the agent's filter it stays, at worst for good: more frees than need be are recorded. */
		lost(image, full_reason);
		return 0;
	}
	if (event->stack_lost)
		lost(image, event->stack_lost);
	return record(image, event);
}

static int realloc_event(struct image *image, const struct heap_event *event)
{
	struct realloc_state state;

	if (event->kind == HEAP_REALLOC_BEGIN) {
		memset(&state, 0, sizeof(state));
		state.known = ledger_take(image->ledger, event->address, &state.block);
		memcpy(event->realloc, &state, sizeof(state));
		return 0;
	}
	memcpy(&state, event->realloc, sizeof(state));
	if (event->kind == HEAP_REALLOC_DONE) {
		if (state.known && image->config->sample && !event->settled)
			probes_block_gone(image->probes, state.block.address);
		ledger_retire(image->ledger, &state.block, state.known, event->thread);
		return event->address ? allocated(image, event) : 0;
	}
	if (event->kind == HEAP_REALLOC_FAILED)
		ledger_failed(image->ledger, event->thread);
	return state.known ? ledger_put_back(image->ledger, &state.block) : 0;
}

/*
 * Is the free of a block that is not live no call of the program's? A delete that
 * calls another delete, or free, with the same block. Or glibc, which at the end
 * of a thread calls free for the blocks in the thread's cache, freed long ago.
 */
static bool is_allocators_own(const struct image *image, const struct heap_event *event)
{
	u64 caller = event->caller;

	if (event->again)
		return true;
	return image->libc_high &&
	       (caller || mem_read_all(&image->reader, event->sp, &caller, sizeof(caller)) == 0) &&
	       caller >= image->libc_low && caller < image->libc_high;
}

/* The caller of one that came through the ring is known, and seldom the allocator. */
static inline bool is_programs_own(const struct image *image, const struct heap_event *event)
{
	return event->caller && !event->again &&
	       event->caller - image->libc_low >= image->libc_high - image->libc_low;
}

static void freed(struct image *image, const struct heap_event *event)
{
	if (!ledger_has(image->ledger, event->address) && is_allocators_own(image, event))
		return;
	ledger_free(image->ledger, event->address, event->thread, image->event_time);
}

/* With sampling nearly all frees are of blocks that were not recorded. */
static void freed_sampled(struct image *image, const struct heap_event *event)
{
	u32 now = image->event_time;

	if (!ledger_has(image->ledger, event->address))
		return;
	if (event->next)
		ledger_free_next(image->ledger, event->address, event->thread, now);
	else
		ledger_free(image->ledger, event->address, event->thread, now);
	if (!event->settled)
		probes_block_gone(image->probes, event->address);
}

static void apply(struct image *image, const struct heap_event *event)
{
	int ret = 0;

	switch (event->kind) {
	case HEAP_ALLOC:
		ret = allocated(image, event);
		break;
	case HEAP_FAILED:
		ledger_failed(image->ledger, event->thread);
		break;
	case HEAP_FREE:
		if (image->config->sample)
			freed_sampled(image, event);
		else
			freed(image, event);
		break;
	default:
		ret = realloc_event(image, event);
		break;
	}
	if (ret)
		lost(image, "memattach is out of memory");
}

/*
 * The events that nearly all are: what apply would do with them, without its questions. false:
 * it is another one.
 */
static inline bool apply_plain(struct image *image, const struct heap_event *event)
{
	if (event->kind == HEAP_FREE && is_programs_own(image, event)) {
		ledger_free(image->ledger, event->address, event->thread, image->event_time);
		return true;
	}
	return event->kind == HEAP_ALLOC && !event->stack_lost && record(image, event) == 0;
}

static void events(void *ctx, const struct heap_event *events, u32 n)
{
	struct image *image = ctx;
	bool plain = !image->full && !image->config->sample;

	if (n > 1 && ledger_wants_hints(image->ledger))
		for (u32 i = 0; i < n; i++)
			ledger_prefetch(image->ledger, events[i].address);
	for (u32 i = 0; i < n; i++)
		if (!plain || !apply_plain(image, &events[i]))
			apply(image, &events[i]);
}

/* Modules come or go: with all threads stopped, if there are any that walk stacks themselves. */
static void update_modules(struct image *image, struct thread *thread)
{
	bool stop = probes_reader(image->probes) != NULL;
	struct err err = ERR_INIT;

	if (stop)
		image_prepare(image);
	if (stop && tracee_stop_all(image->tracee, &err))
		log_warn(&image->config->log, "%s", err.msg);
	probes_stopped(image->probes);
	/* What was recorded so far was so among the modules as they were. */
	consumer_drain(&image->consumer);
	if (image_update(image, &err) || probes_plant(image->probes, &err))
		log_warn(&image->config->log, "%s", err.msg);
	if (!stop)
		return;
	/* It is still in its stop: only the others run again. */
	thread->state = THREAD_RUNNING;
	tracee_resume_all(image->tracee);
	thread->state = THREAD_STOPPED;
}

/* The list of modules is about to change or has changed. */
static void rendezvous(void *ctx, struct thread *thread)
{
	struct image *image = ctx;
	struct r_debug_info found;

	/* musl's own pointer to the struct is not relocated yet when the program starts. */
	if (!image->r_debug.address &&
	    r_debug_find(image->modules, &image->reader, &found, NULL) == 0)
		image->r_debug.address = found.address;
	if (r_debug_state(&image->r_debug, &image->reader) != 0)
		return;
	update_modules(image, thread);
	image->loaded = true;
}

const struct probe_host image_host = {
	.is_code = is_code,
	.stack = stack,
	.arrived_stack = arrived_stack,
	.enter = enter,
	.leave = leave,
	.events = events,
	.has = has,
	.each_block = each_block,
	.batch = batch,
	.each_module = each_module,
	.rendezvous = rendezvous,
	.lost = lost,
};
