// SPDX-License-Identifier: MIT
/*
 * The walk of the calling thread's stack, frame by frame, by the rules of
 * unwind/table.h. Nearly all frames say "CFA = rsp + n": a loop of its own takes
 * those, in registers, and leaves everything else to agent_frame_step, which does
 * what walk_stack of unwind/walk.h does, frame for frame.
 *
 * A walk is made again if the modules have changed meanwhile (the thread was
 * stopped in the middle), and once if memory was gone that memattach had named.
 *
 * Most walks are made with what the thread remembers of the one before (agent/memo.h).
 * Without that no frame is kept: a stack that memattach does not know is walked a
 * second time, to send its frames.
 */
#include "agent/walker.h"

#include "agent/abi.h"
#include "agent/frame.h"
#include "agent/memo.h"
#include "agent/powers.h"
#include "agent/recall.h"
#include "agent/send.h"
#include "agent/walk_state.h"

#define TRIES 4

/* Steps through code of ours or in slots count no frame, but a hostile stack shall not last for ever. */
#define STEPS_MORE 64

static int lost(struct walker *w)
{
	w->end = CHANNEL_LOST;
	return 0;
}

__attribute__((noinline)) bool agent_walk_read(void *walker, uint64_t address, uint64_t *value)
{
	struct walker *w = walker;

	if (address - w->floor >= w->size) {
		w->unnoted = 1;
		return false;
	}
	*value = agent_load(address, &w->faulted);
	if (w->noting)
		agent_memo_note(w, address, *value);
	w->unnoted |= w->faulted;
	return !w->faulted;
}

__attribute__((noinline, cold)) enum walk_result agent_step(struct walker *w, uint32_t rule)
{
	w->unnoted = 0;
	return walk_step(&w->s, rule, agent_walk_read, w);
}

/* The state that a walk begins in: the return address is at w->sp. 0: it has ended already. */
static int begin(struct walker *w, uint64_t bp)
{
	walker_limit(w, w->span, w->sp);
	w->s = (struct walk_state){.sp = w->sp, .bp = bp};
	w->sum = 0;
	w->count = 0;
	w->steps = w->depth + STEPS_MORE;
	w->kind = UNWIND_NONE;
	w->end = CHANNEL_LOST;
	w->uncertain = w->ours = 0;
	switch (agent_step(w, unwind_rule(UNWIND_RSP, 0, 8))) {
	case WALK_NEXT:
		return 1;
	case WALK_OUTERMOST:
		w->end = CHANNEL_OUTERMOST;
		return 0;
	default:
		return 0;
	}
}

/* Where, and by which rules. 0: not now. */
static inline __attribute__((always_inline)) int prepare(struct walker *w, struct channel *channel,
							 struct channel_thread *thread, uint64_t sp)
{
	uint64_t span = agent_span(channel, thread, sp);

	w->channel = channel;
	w->thread = thread;
	w->generation = channel_generation(channel);
	w->key = rule_key(w->generation);
	w->sp = sp;
	w->span = span;
	w->sending = w->dropped = w->faulted = 0;
	w->noting = 0;
	if (span)
		__atomic_store_n(&thread->stack, span, __ATOMIC_RELAXED);
	return !(w->generation & 1);
}

/* After a walk: does it hold? Otherwise it is worth another try. */
static int holds(struct walker *w)
{
	if (w->faulted) {
		agent_span_forget(w->channel, w->thread, w->floor);
		agent_span_forget(w->channel, w->thread, w->sp);
	}
	return !w->faulted && channel_generation(w->channel) == w->generation;
}

/* How much of ours is on the stack before the instruction at this offset of a stub. */
static uint64_t pushed_by_stub(const struct agent_slot *slot, uint64_t at)
{
	if (slot->flags & AGENT_SLOT_WRAPS)
		return (at >= AGENT_WRAP_FIRST && at <= AGENT_WRAP_LAST) || at == AGENT_WRAP_PASS
			       ? AGENT_FRAME
			       : 0;
	/* Its first instruction pushes a register, or it moves nothing. */
	return at && slot->stub[0] == AGENT_STUB_PUSH ? 8 : 0;
}

/*
 * A signal has interrupted displaced instructions (agent/abi.h). Makes the state
 * that of the program at the place that they come from; 0 if it is in between.
 */
static int leave_slot(struct walk_state *s)
{
	uint64_t area = s->pc & ~(AGENT_AREA_SIZE - 1), offset = s->pc - area - AGENT_SLOTS;
	uint64_t index = offset / AGENT_SLOT_SIZE, at = offset % AGENT_SLOT_SIZE;
	const struct agent_slot *slot = (const struct agent_slot *)(area + AGENT_SLOTS) + index;
	uint64_t original;

	if (!s->exact || index >= AGENT_SLOT_COUNT)
		return 0;
	original = AGENT_ENTRY_ADDRESS(((const uint64_t *)(area + AGENT_TABLE))[index]);
	if (at >= AGENT_SLOT_CODE) {
		s->sp += pushed_by_stub(slot, at - AGENT_SLOT_CODE);
		s->pc = original;
		return walk_plausible(original);
	}
	for (uint32_t i = 0; i < slot->steps && i < AGENT_SLOT_STEPS; i++) {
		if (slot->to[i] == at) {
			s->pc = original + slot->from[i];
			return walk_plausible(s->pc);
		}
	}
	return 0;
}

static inline void count_frame(struct walker *w, uint64_t at)
{
	w->sum += agent_powers[w->count++] * hash_frame(w->channel->seed, at);
	if (w->sending)
		agent_send_frame(w, at);
}

/* A frame that is guessed through two frame pointers: it only counts if the walk gets further. */
static void keep_certain(struct walker *w)
{
	if (w->uncertain)
		return;
	w->uncertain = 1;
	w->certain_sum = w->sum;
	w->certain_count = w->count;
}

static int end_walk(struct walker *w, enum walk_result result)
{
	if (result == WALK_OUTERMOST) {
		w->end = CHANNEL_OUTERMOST;
		return 0;
	}
	if (w->uncertain) {
		w->sum = w->certain_sum;
		w->count = w->certain_count;
	}
	return lost(w);
}

__attribute__((noinline)) int agent_frame_step(struct walker *w)
{
	struct walk_state *s = &w->s;
	uint64_t at = s->exact ? s->pc + 1 : s->pc;
	enum walk_result result;
	uint32_t rule;

	if (w->count >= w->depth) {
		w->end = CHANNEL_DEPTH;
		return 0;
	}
	if (w->steps-- == 0)
		return lost(w);
	rule = agent_rule(w, at);
	w->kind = unwind_rule_kind(rule);
	if (w->kind == UNWIND_SLOT)
		return leave_slot(s) ? 1 : end_walk(w, WALK_LOST);
	if (w->kind == UNWIND_NONE && s->guessed)
		keep_certain(w);
	else
		w->uncertain = 0;
	if (w->kind == UNWIND_OURS)
		w->ours = 1;
	else
		count_frame(w, w->kind == UNWIND_SIGNAL ? s->pc + 1 : at);
	result = agent_step(w, rule);
	if (result != WALK_NEXT)
		return end_walk(w, result);
	s->guessed = w->kind == UNWIND_NONE;
	/* What a signal has interrupted may be on another stack. */
	if (w->kind == UNWIND_SIGNAL)
		walker_limit(w, agent_span(w->channel, w->thread, s->sp & ~7ULL), s->sp - 128);
	return 1;
}

/*
 * As many frames as there are that say CFA = rsp + n or rbp + n, and are in the cache. About 13
 * cycles for each, which is the way from one return address to the next: two
 * loads that hit the cache, and three additions. A read that fails gives no plausible
 * return address.
 */
static inline __attribute__((always_inline)) void walk_fast(struct walker *w)
{
	const uint64_t *rules = channel_part(w->channel, w->channel->rules);
	const uint64_t key = w->key ^ RULE_KEY_RSP;
	const uint64_t seed = w->channel->seed, end = w->floor + w->size + 7;
	uint64_t sp = w->s.sp, at = w->s.pc, bp = w->s.bp, sum = w->sum;
	uint32_t count = w->count;

	/* Or else the compiler adds the offset of the rules once more in each round. */
	__asm__("" : "+r"(rules));
	for (; count < w->depth; count++) {
		uint64_t entry = __atomic_load_n(&rules[at % CHANNEL_RULES], __ATOMIC_RELAXED);
		uint64_t cfa = rule_entry_cfa(entry, at, key, sp, bp);
		uint64_t rbp = rule_entry_rbp(entry), pc;

		if (cfa <= sp || cfa > end)
			break;
		pc = agent_load_at(cfa, -8, &w->faulted);
		if (!walk_plausible(pc))
			break;
		if (rbp) {
			uint64_t saved = cfa - 8 * rbp;

			if (rbp == UNWIND_RBP_AT_RBP || saved < w->floor)
				break;
			bp = agent_load(saved, &w->faulted);
		}
		sum += agent_powers[count] * hash_frame(seed, at);
		sp = cfa;
		at = pc;
	}
	w->s.sp = sp;
	w->s.pc = at;
	w->s.bp = bp;
	w->sum = sum;
	w->count = count;
}

/* All frames. */
static void walk(struct walker *w, uint64_t bp)
{
	if (!begin(w, bp))
		return;
	do {
		if (!w->s.exact && !w->s.guessed && !(w->s.sp & 7) && w->size)
			walk_fast(w);
	} while (agent_frame_step(w));
}

static inline uint64_t finish(const struct walker *w)
{
	return hash_mix(w->sum + agent_powers[w->count] * hash_end(w->channel->seed, w->end));
}

/* Puts the frames of this stack into the ring, as agent_memo_send does. */
static __attribute__((noinline, cold)) int send_stack(struct walker *w, uint64_t bp, uint64_t hash)
{
	agent_send_begin(w, hash);
	if (begin(w, bp))
		while (agent_frame_step(w))
			;
	if (finish(w) != hash || channel_generation(w->channel) != w->generation) {
		w->sending = 0;
		return SEND_AGAIN;
	}
	return agent_send_end(w, hash);
}

/* memattach gets a stack that it does not have. 0; -1: not now; SEND_AGAIN. */
static __attribute__((noinline, cold)) int send_from_memo(struct walker *w, struct agent_memo *memo,
							  uint64_t hash)
{
	int sent = agent_memo_send(w, memo, hash);

	if (sent == 0)
		agent_known_add(w->channel, hash);
	return sent;
}

/* Is this stack one that memattach has? It gets the others. The hash; 0: to be walked again. */
static inline uint64_t find_or_send(struct walker *w, struct agent_memo *memo, uint64_t hash)
{
	if (__builtin_expect(!agent_known_find(w->channel, hash), 0)) {
		int sent = send_from_memo(w, memo, hash);

		if (sent)
			return sent == SEND_AGAIN ? 0 : hash;
	}
	/* Of one that is cut, top does not tell. */
	memo->known_hash = w->end == CHANNEL_DEPTH ? 0 : hash;
	memo->known_top = memo->top;
	return hash;
}

/* With a memo of the thread's, which are in use by this walk. 0: to be tried without. */
static inline __attribute__((always_inline)) uint64_t
walk_with_memo(struct walker *w, struct agent_memo *memo, uint64_t bp)
{
	if (!agent_memo_walk(w, memo, bp) || channel_generation(w->channel) != w->generation)
		return 0;
	return find_or_send(w, memo, hash_mix(w->sum));
}

/* Without; 0: worth another try. */
static __attribute__((noinline)) uint64_t walk_without(struct walker *w, uint64_t bp)
{
	uint64_t hash;
	int sent;

	w->faulted = 0;
	walk(w, bp);
	if (!holds(w))
		return 0;
	hash = finish(w);
	if (agent_known_find(w->channel, hash))
		return hash;
	sent = send_stack(w, bp, hash);
	if (sent == 0)
		agent_known_add(w->channel, hash);
	return sent == SEND_AGAIN ? 0 : hash;
}

/* A memo for this walk, in use now; NULL: none. *busy: those that are in use already. */
static struct agent_memo *take_memo(struct walker *w, struct agent_memos **busy)
{
	struct agent_memo *memo;

	*busy = 0;
	w->memos = agent_memos_of(w);
	if (!w->memos || !w->span || w->sp & 7)
		return 0;
	if (!agent_memos_take(w->memos, w->sp)) {
		*busy = w->memos;
		return 0;
	}
	memo = agent_memo_for(w->memos, w->sp, agent_load(w->sp, &w->faulted));
	memo->compared = 0;
	return memo;
}

__attribute__((noinline)) uint64_t
agent_walk_slowly(struct channel *channel, struct channel_thread *thread, uint64_t sp, uint64_t bp)
{
	struct agent_memos *busy;
	struct agent_memo *memo;
	struct walker w;
	uint64_t hash;
	int tries = TRIES;

	w.depth = channel->depth;
	do {
		if (!prepare(&w, channel, thread, sp))
			continue;
		memo = take_memo(&w, &busy);
		hash = memo ? walk_with_memo(&w, memo, bp) : 0;
		if (memo && agent_memos_release(w.memos, memo, sp) && hash)
			return hash;
		hash = walk_without(&w, bp);
		/* There is no walk below this one on the stack: the one that used the memo never ended. */
		if (busy && hash && w.end == CHANNEL_OUTERMOST && !w.ours)
			agent_memo_abandon(busy);
		if (hash)
			return hash;
	} while (--tries > 0);
	agent_lost(channel, CHANNEL_LOSS_STACK);
	return hash_mix(hash_end(channel->seed, CHANNEL_LOST));
}

/* The memo has the stack, or gets it. */
static inline __attribute__((always_inline)) uint64_t
ask_other(const struct recall *r, struct channel_thread *thread, struct agent_memos *memos,
	  struct agent_memo *memo, uint64_t sp, uint64_t bp)
{
	uint32_t compared;
	uint64_t hash = 0;
	struct walker w;

	w.faulted = 0;
	agent_memo_choose(memos, memo, sp, agent_load(sp, &w.faulted));
	if (recall_may(r, memo, sp)) {
		compared = agent_memo_compare(r->channel, r->key, memo, 0, memo->words, &w.faulted);
		hash = recall_told(r, memo, compared, w.faulted, sp, bp);
	}
	if (hash && channel_generation(r->channel) == r->generation)
		return hash;
	if (hash)
		memo->compared = 0;
	w.depth = r->channel->depth;
	w.memos = memos;
	return prepare(&w, r->channel, thread, sp) ? walk_with_memo(&w, memo, bp) : 0;
}

__attribute__((noinline)) uint64_t agent_walk_on(const struct recall *recall,
						 struct channel_thread *thread,
						 struct agent_memos *memos, struct agent_memo *memo,
						 uint64_t sp, uint64_t bp)
{
	struct agent_memo *other;
	uint64_t hash = 0;

	/* A thread that changes stacks in a signal handler may have been given others meanwhile. */
	if (agent_memo_is_of(memos, memo)) {
		other = agent_memo_beside(memos, memo);
		hash = ask_other(recall, thread, memos, other, sp, bp);
	} else {
		other = memos->of;
	}
	if (agent_memos_release(memos, other, sp))
		return hash;
	memo->generation = MEMO_INVALID;
	return 0;
}

enum agent_nesting agent_nesting(struct channel *channel, struct channel_thread *thread,
				 uint64_t sp, uint64_t bp)
{
	uint64_t open = CHANNEL_OPEN_SP(thread->open);
	struct walker w;

	w.depth = CHANNEL_DEPTH_MAX;
	for (int tries = TRIES; tries > 0; tries--) {
		int more, guessed = 0;

		if (!prepare(&w, channel, thread, sp))
			continue;
		more = begin(&w, bp);
		while (more) {
			more = agent_frame_step(&w);
			guessed |= w.kind == UNWIND_NONE;
			/* The return address of the open call is the one that was just read. */
			if (more && w.s.sp == open + 8)
				w.kind = UNWIND_OURS;
			if (w.kind == UNWIND_OURS || w.kind == UNWIND_SIGNAL)
				break;
			/* The walk has come further out than the call was: it is not on this stack. */
			if (more && !guessed && sp < open && w.s.sp > open + 8) {
				w.end = CHANNEL_OUTERMOST;
				break;
			}
		}
		if (!holds(&w))
			continue;
		if (w.kind == UNWIND_OURS)
			return AGENT_NESTED;
		if (w.kind == UNWIND_SIGNAL)
			return AGENT_NOT_NESTED;
		/* In code without rows rbp may be 0 for any reason. */
		if (w.end == CHANNEL_OUTERMOST && !guessed)
			return AGENT_OUTERMOST;
		break;
	}
	return AGENT_UNKNOWN;
}
