// SPDX-License-Identifier: MIT
/*
 * What happens in a probed call, before the function runs and after it:
 *
 *	allocation	recorded after: the block, its size, the stack
 *	free		recorded before, since the address may be used again at once;
 *			then the function is jumped to, with no frame of ours
 *	realloc		its beginning takes the old block off the books, its end
 *			tells what became of it
 *
 * Only a thread's outermost call counts. channel_thread.open says where, on the
 * stack, there may be one under way. It may have been left by longjmp, or a
 * signal handler may have interrupted it, so it is only a reason to look.
 */
#include "agent/frame.h"
#include "agent/load.h"
#include "agent/recall.h"
#include "agent/ring.h"
#include "agent/sample.h"
#include "agent/sample_filter.h"
#include "agent/walker.h"

extern const struct agent_control agent_control __attribute__((visibility("hidden")));
extern const char agent_returned[] __attribute__((visibility("hidden")));

static inline struct channel *open_channel(void)
{
	return (struct channel *)__atomic_load_n(&agent_control.channel, __ATOMIC_RELAXED);
}

static inline uint64_t thread_pointer(void)
{
	uint64_t base;

	__asm__("rdfsbase %0" : "=r"(base));
	return base;
}

static struct channel_thread *enter_thread(struct channel *channel, struct channel_thread *table,
					   uint64_t key, uint32_t first)
{
	/* It may have found its first place taken, by a thread that has ended since. */
	for (uint32_t i = 0; i < CHANNEL_THREAD_PROBES && key; i++)
		if (__atomic_load_n(&table[(first + i) % CHANNEL_THREADS].key, __ATOMIC_RELAXED) ==
		    key)
			return &table[(first + i) % CHANNEL_THREADS];
	for (uint32_t i = 0; i < CHANNEL_THREAD_PROBES && key; i++) {
		struct channel_thread *t = &table[(first + i) % CHANNEL_THREADS];
		uint64_t was = __atomic_load_n(&t->key, __ATOMIC_RELAXED);

		if (was == 0 && __atomic_compare_exchange_n(&t->key, &was, key, 0, __ATOMIC_RELAXED,
							    __ATOMIC_RELAXED))
			return t;
	}
	agent_lost(channel, CHANNEL_LOSS_THREADS);
	return 0;
}

/* Who calls: threads are told apart by their thread pointers. */
static inline struct channel_thread *find_thread(struct channel *channel)
{
	struct channel_thread *table =
		(struct channel_thread *)((char *)channel + channel->threads);
	uint64_t key = thread_pointer();
	uint32_t first = channel_thread_first(key);

	if (__builtin_expect(table[first].key == key && key, 1))
		return &table[first];
	return enter_thread(channel, table, key, first);
}

static inline uint64_t thread_number(const struct channel *channel,
				     const struct channel_thread *thread)
{
	return (uint64_t)(thread - (const struct channel_thread *)((const char *)channel +
								   channel->threads));
}

/* The value of argument n, from 1. */
static inline uint64_t argument(const struct agent_frame *f, uint32_t n)
{
	static const uint8_t at[8] = {0,
				      AGENT_FRAME_RDI,
				      AGENT_FRAME_RSI,
				      AGENT_FRAME_RDX,
				      AGENT_FRAME_RCX,
				      AGENT_FRAME_R8,
				      AGENT_FRAME_R9,
				      0};

	return *(const uint64_t *)((const char *)f + at[n & 7]);
}

static inline uint64_t size_of(const struct agent_frame *f, const struct agent_slot *slot)
{
	uint64_t size = slot->size ? argument(f, slot->size) : 0, bytes;

	if (!slot->count)
		return size;
	/* An overflow makes the call fail; what was asked for is then not representable. */
	if (__builtin_mul_overflow(size, argument(f, slot->count), &bytes))
		return UINT64_MAX;
	return bytes;
}

/*
 * Is value, below a frame with that slot, what a probed function returns to? Of this area or of
 * another one: they have the same code. No other address looks like it but by chance.
 */
static int is_return_to_agent(uint64_t value, uint64_t slot)
{
	uint64_t offset = (uint64_t)agent_returned & (AGENT_AREA_SIZE - 1);

	return value == slot + AGENT_SLOT_RETURN || (value & (AGENT_AREA_SIZE - 1)) == offset;
}

/*
 * The walk has lost its way, as in musl, which has no unwind information. If the
 * return address with which the open call was made is still where it was, that
 * call is still under way.
 */
static int still_open(struct channel *channel, struct channel_thread *thread)
{
	uint64_t open = thread->open, at = CHANNEL_OPEN_SP(open), frame = at - AGENT_FRAME;
	uint64_t value, slot;

	if (open & CHANNEL_OPEN_TRAP)
		return agent_read(channel, thread, at, &value) && value == thread->trap_ret;
	return agent_read(channel, thread, frame - 8, &value) &&
	       agent_read(channel, thread, frame + AGENT_FRAME_SLOT, &slot) &&
	       is_return_to_agent(value, slot);
}

/* There may be a call under way that this one is a part of. */
static __attribute__((noinline)) int
is_nested(struct channel *channel, struct channel_thread *thread, uint64_t sp, uint64_t bp)
{
	switch (agent_nesting(channel, thread, sp, bp)) {
	case AGENT_NESTED:
		return 1;
	case AGENT_NOT_NESTED:
		return 0;
	case AGENT_OUTERMOST:
		thread->open = 0;
		return 0;
	default:
		return still_open(channel, thread);
	}
}

static enum agent_verdict open_call(struct agent_frame *f, const struct agent_slot *slot,
				    struct channel_thread *thread, uint64_t sp)
{
	f->slot = slot;
	f->code = (uint64_t)slot;
	f->thread = thread;
	f->open = thread->open;
	f->memo = 0;
	thread->open = sp;
	if (slot->shape == AGENT_SHAPE_NEW) {
		/* Its own arguments are kept for the throwing form; the nothrow_t comes behind them. */
		f->code = slot->nothrow;
		f->rdx = (uint64_t)f;
		if (!(slot->flags & AGENT_SLOT_ALIGNED))
			f->rsi = (uint64_t)f;
	}
	return AGENT_WRAP;
}

static inline uint8_t *filter_of(const struct channel *channel)
{
	return (uint8_t *)channel + channel->filter;
}

static inline uint64_t cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline int is_due(const struct channel *channel, struct channel_thread *t, uint64_t size)
{
	if (__builtin_expect(!t->random, 0))
		sample_begin(&t->countdown, &t->random, channel->sample, t->key, channel->seed,
			     cycles());
	return sample_step(&t->countdown, &t->random, channel->sample, size);
}

/* The block of a free or realloc: it is on the books, or may be. */
static int put_block(struct channel *channel, const struct agent_frame *f,
		     const struct channel_thread *thread, enum channel_kind kind, uint64_t flags)
{
	uint64_t sp = (uint64_t)&f->caller;

	return agent_put(channel, CHANNEL_WORD0(kind, f->block), sp,
			 kind == CHANNEL_FREE ? f->caller : 0,
			 CHANNEL_WORD3(thread_number(channel, thread), sp) | flags);
}

static void put_free(struct channel *channel, const struct agent_frame *f,
		     const struct channel_thread *thread, enum sample_filter_answer known)
{
	uint64_t next = thread->countdown == thread->fresh ? CHANNEL_NEXT : 0;

	if (known == SAMPLE_FILTER_MAYBE)
		put_block(channel, f, thread, CHANNEL_FREE, next);
	else if (put_block(channel, f, thread, CHANNEL_FREE, next | CHANNEL_SETTLED) == 0)
		sample_filter_drop(filter_of(channel), f->block);
}

/*
 * Most calls under way have called this one themselves: its return address is where it
 * was, and so near that no signal frame has room between. (A thread that left it by longjmp
 * may find the address there, too: then one call is taken for its part.)
 */
#define NO_SIGNAL_FRAME 512

static inline int is_near(uint64_t open, uint64_t sp)
{
	uint64_t at = open - AGENT_FRAME - 8, value, slot;
	uint8_t faulted = 0;

	if (open & CHANNEL_OPEN_TRAP || sp >= at || at - sp >= NO_SIGNAL_FRAME)
		return 0;
	/* It may have been on a stack that is gone, and be near the end of this one by chance. */
	value = agent_load(at, &faulted);
	slot = agent_load_at(at, 8 + AGENT_FRAME_SLOT, &faulted);
	return !faulted && is_return_to_agent(value, slot);
}

/* agent_before with sampling. */
static __attribute__((noinline)) enum agent_verdict
sampled_before(struct channel *channel, struct channel_thread *thread, struct agent_frame *f,
	       const struct agent_slot *slot, uint64_t bp)
{
	int frees = slot->shape == AGENT_SHAPE_FREE || slot->shape == AGENT_SHAPE_NESTS;
	enum sample_filter_answer known = SAMPLE_FILTER_NO;
	uint64_t sp = (uint64_t)&f->caller;

	f->slot = slot;
	f->block = slot->ptr ? argument(f, slot->ptr) : 0;
	if (f->block)
		known = sample_filter_ask(filter_of(channel), f->block);
	if (slot->shape == AGENT_SHAPE_FREE && !known)
		return AGENT_PASS;
	if (thread->open && sp < CHANNEL_OPEN_SP(thread->open) &&
	    (is_near(thread->open, sp) || is_nested(channel, thread, sp, bp)))
		return AGENT_PASS;
	/* A call through a breakpoint that is not recorded has nobody who sees its end. */
	if (thread->open & CHANNEL_OPEN_TRAP && sp >= CHANNEL_OPEN_SP(thread->open))
		thread->open = 0;
	f->part = AGENT_NOTHING;
	if (frees) {
		if (known)
			put_free(channel, f, thread, known);
		return slot->shape == AGENT_SHAPE_FREE ? AGENT_PASS
						       : open_call(f, slot, thread, sp);
	}
	f->size = size_of(f, slot);
	if (is_due(channel, thread, f->size))
		f->part = AGENT_NEW;
	else if (known)
		f->part = AGENT_OLD;
	else if (slot->flags & AGENT_SLOT_LEAF)
		return AGENT_PASS;
	if (known) {
		sample_filter_yield(filter_of(channel), f->block);
		put_block(channel, f, thread, CHANNEL_REALLOC_BEGIN, 0);
	} else if (slot->ptr) {
		f->block = 0;
	} else {
		f->block = slot->out ? argument(f, slot->out) : f->rsi;
	}
	return open_call(f, slot, thread, sp);
}

/*
 * At the stack pointer of the open call: another one, since that was left by longjmp. But
 * a function with a breakpoint may end in a jump to this one, which finds all as that did.
 */
static int is_tail_call(const struct agent_frame *f, const struct channel_thread *thread)
{
	return thread->open & CHANNEL_OPEN_TRAP && f->caller == thread->trap_ret;
}

enum agent_verdict agent_before(struct agent_frame *f, const struct agent_slot *slot, uint64_t bp)
{
	struct channel *channel = open_channel();
	struct channel_thread *thread;
	uint64_t sp = (uint64_t)&f->caller;

	if (__builtin_expect(!channel, 0))
		return AGENT_PASS;
	thread = find_thread(channel);
	if (!thread)
		return AGENT_PASS;
	if (channel->sample)
		return sampled_before(channel, thread, f, slot, bp);
	if (__builtin_expect(thread->open && sp <= CHANNEL_OPEN_SP(thread->open), 0) &&
	    (sp == CHANNEL_OPEN_SP(thread->open) ? is_tail_call(f, thread)
						 : is_nested(channel, thread, sp, bp)))
		return AGENT_PASS;
	if (slot->shape == AGENT_SHAPE_FREE || slot->shape == AGENT_SHAPE_NESTS) {
		f->block = argument(f, slot->ptr);
		if (f->block)
			agent_put(channel, CHANNEL_WORD0(CHANNEL_FREE, f->block), sp, f->caller,
				  CHANNEL_WORD3(thread_number(channel, thread), sp));
		f->slot = slot;
		return slot->shape == AGENT_SHAPE_FREE ? AGENT_PASS
						       : open_call(f, slot, thread, sp);
	}
	f->size = size_of(f, slot);
	f->block = slot->ptr ? argument(f, slot->ptr) : slot->out ? argument(f, slot->out) : f->rsi;
	if (slot->ptr && f->block)
		agent_put(channel, CHANNEL_WORD0(CHANNEL_REALLOC_BEGIN, f->block), sp, 0,
			  CHANNEL_WORD3(thread_number(channel, thread), sp));
	return open_call(f, slot, thread, sp);
}

/* What the call has returned: the block, 0 if it has failed. */
static uint64_t result_of(const struct agent_frame *f, const struct agent_slot *slot,
			  uint64_t result)
{
	if (!slot->out)
		return result;
	return (uint32_t)result ? 0 : *(const uint64_t *)f->block;
}

static void record(struct channel *channel, const struct agent_frame *f, uint64_t block,
		   uint64_t bp)
{
	const struct agent_slot *slot = f->slot;
	uint64_t thread = thread_number(channel, f->thread), sp = (uint64_t)&f->caller, hash = 0;
	int resized = slot->ptr && f->block, sampled = channel->sample != 0;

	if (sampled && f->part == AGENT_NOTHING)
		return;
	/* malloc(0) and realloc(p, 0) may return NULL without having failed. */
	if (!block && !resized && !f->size)
		return;
	if (!block && (!resized || (f->size && !(slot->flags & AGENT_SLOT_FREES)))) {
		agent_put(channel,
			  CHANNEL_WORD0(resized ? CHANNEL_REALLOC_FAILED : CHANNEL_FAILED, 0),
			  f->size, 0, CHANNEL_WORD3(thread, sp));
		return;
	}
	/* Not worth a walk. */
	if (agent_is_stalled(channel) && agent_is_full(channel)) {
		agent_lost(channel, CHANNEL_LOSS_FULL);
		return;
	}
	if (sampled && f->part == AGENT_OLD)
		block = 0;
	/* Before anybody else can know of the block. */
	if (sampled && block)
		sample_filter_add(filter_of(channel), block);
	if (block)
		hash = agent_walk_slowly(channel, f->thread, sp, bp);
	if (agent_put(channel, CHANNEL_WORD0(resized ? CHANNEL_REALLOC_DONE : CHANNEL_ALLOC, block),
		      f->size, hash, CHANNEL_WORD3(thread, sp)) &&
	    sampled && block)
		sample_filter_drop(filter_of(channel), block);
	if (sampled)
		f->thread->fresh = f->thread->countdown;
}

/* An allocation that took the short way into the function (AGENT_SLOT_SIMPLE), and no other way out of it. */
int agent_after_simple(struct agent_frame *f, uint64_t result, uint64_t bp)
{
	struct channel *channel = open_channel();
	struct channel_thread *thread = f->thread;
	uint64_t sp = (uint64_t)&f->caller, hash;

	if (!channel || !result || agent_is_stalled(channel))
		return agent_after(f, result, bp);
	thread->open = f->open;
	hash = agent_walk(channel, thread, f->memo, sp, bp);
	agent_put(channel, CHANNEL_WORD0(CHANNEL_ALLOC, result), f->size, hash,
		  CHANNEL_WORD3(thread_number(channel, thread), sp));
	return 0;
}

int agent_after(struct agent_frame *f, uint64_t result, uint64_t bp)
{
	const struct agent_slot *slot = f->slot;
	struct channel *channel = open_channel();
	int again = slot->shape == AGENT_SHAPE_NEW && !result;

	if (channel) {
		f->thread->open = f->open;
		if (slot->shape != AGENT_SHAPE_NESTS)
			record(channel, f, result_of(f, slot, result), bp);
	}
	if (again) {
		f->rdi = f->size;
		f->rsi = f->block;
	}
	return again;
}
