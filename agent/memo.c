// SPDX-License-Identifier: MIT
/* Walks with a memo of the one before: see agent/memo.h. */
#include "agent/memo.h"

#include "agent/memo_compare.h"
#include "agent/powers.h"
#include "agent/send.h"

/* The frames of a memo that are valid: from first on, up to n. */
struct usable {
	uint32_t first, n;
};

static inline uint64_t slot_of(const struct agent_memo *m, uint32_t frame)
{
	return m->word[m->frame[frame].words - 1].address;
}

static inline uint64_t at_of(const struct agent_memo *m, uint32_t frame)
{
	return m->word[m->frame[frame].words - 1].value;
}

/* The term of how the stack ends. */
static inline uint64_t end_term(const struct walker *w, uint32_t end)
{
	return end == MEMO_OPEN ? 0 : HASH_K * hash_end(w->channel->seed, end);
}

/* The terms of the words from i up to end. */
static inline uint64_t terms(const struct agent_memo *m, uint32_t i, uint32_t end)
{
	uint64_t sum = 0;

	for (; i < end; i++)
		sum += m->more[i].term;
	return sum;
}

/* What is said of the innermost frame, and of all of them, at the memo's beginning. */
static inline void note_innermost(struct agent_memo *m)
{
	const struct memo_frame *innermost;

	m->words = 0;
	m->slot = 0;
	if (!m->frames)
		return;
	innermost = &m->frame[m->frames - 1];
	m->words = (uint16_t)innermost->words;
	m->slot = slot_of(m, m->frames - 1U);
	m->power = agent_powers[m->frames - 1];
	m->bp = innermost->bp;
	m->flags = (uint8_t)(innermost->flags | (m->end == MEMO_OPEN ? MEMO_PART : 0));
}

static inline void forget(struct agent_memo *m)
{
	m->end = MEMO_OPEN;
	m->top = m->known_hash = 0;
	m->frames = 0;
	note_innermost(m);
}

/* Words behind the last one, which are compared with it, but are always as they were. */
static inline void fill_group(struct agent_memo *m)
{
	for (uint32_t i = 0; i < MEMO_GROUP - 1; i++)
		m->word[m->words + i] = (struct memo_word){(uint64_t)&m->nothing, 0};
}

/* Only the first n of all frames are left. */
static inline void keep(struct agent_memo *m, uint32_t n)
{
	m->top -= terms(m, n ? m->frame[n - 1].words : 0, m->words);
	m->frames = (uint16_t)n;
	note_innermost(m);
	fill_group(m);
}

__attribute__((noinline)) uint32_t agent_memo_compare(const struct channel *channel, uint64_t key,
						      struct agent_memo *m, uint32_t i,
						      uint32_t words, uint8_t *faulted)
{
	return memo_compare(channel, key, m, i, words, faulted);
}

/* As memo_compare, whether the cache of rules has what that takes or not. */
static inline uint32_t compare(struct walker *w, struct agent_memo *m, uint32_t i, uint32_t words)
{
	uint32_t last = MEMO_NO_FRAME;

	for (;;) {
		uint64_t at;

		i = agent_memo_compare(w->channel, w->key, m, i, words, &w->faulted);
		if (i >= words || i == last || m->more[i].rule == MEMO_FIXED)
			return i;
		/* Now the cache has it, unless it is none that it can have. */
		at = agent_load(m->word[i].address, &w->faulted);
		if (agent_rule(w, at) != m->more[i].rule)
			return i;
		last = i;
	}
}

/* The frame that has this word; the first one if it is of the end. */
static inline uint32_t frame_of(const struct agent_memo *m, uint32_t word)
{
	while (m->more[word].frame == MEMO_NO_FRAME)
		word++;
	return m->more[word].frame;
}

/*
 * Compares the words of the frames that are above sp; of a deep stack, only of as
 * many as are sent, and one more. What is not usable of these stays there until other frames are put in.
 */
static inline struct usable check(struct walker *w, struct agent_memo *m)
{
	struct usable u = {0, m->frames};
	uint32_t word = m->compared, words;

	while (u.n > 0 && slot_of(m, u.n - 1) < w->sp)
		u.n--;
	if (u.n < m->frames)
		keep(m, u.n);
	if (u.n == 0)
		return u;
	if (u.n > w->depth + 1) {
		u.first = u.n - w->depth - 1;
		word = m->frame[u.first - 1].words;
	}
	words = m->frame[u.n - 1].words;
	word = compare(w, m, word, words);
	if (word < words) {
		u.n = frame_of(m, word);
		if (u.n < u.first)
			u.n = u.first;
	}
	return u;
}

/* Is the frame of w->s the memo's? Its return address, equal by check, is compared by the caller. */
static inline int fits(const struct memo_frame *f, uint64_t bp, uint32_t guessed)
{
	return (!(f->flags & MEMO_BP) || f->bp == bp) && !!(f->flags & MEMO_GUESSED) == guessed;
}

enum stepped { STEPPED, ENDED, PLAIN };

/* A step that is not of the usual kind; also sets the step's rule. */
static __attribute__((noinline)) enum stepped slow_step(struct walker *w, struct memo_step *step)
{
	enum unwind_row_kind kind;
	uint64_t rbp;

	step->rule = agent_rule(w, w->s.pc);
	kind = unwind_rule_kind(step->rule);
	if (kind == UNWIND_SIGNAL || kind == UNWIND_OURS || kind == UNWIND_SLOT)
		return PLAIN;
	w->uncertain = kind == UNWIND_NONE && w->s.guessed;
	if (agent_step(w, step->rule) != WALK_NEXT)
		return w->faulted ? PLAIN : ENDED;
	w->s.guessed = kind == UNWIND_NONE;
	/* Whether a word below the frame may be read depends on where the walk has begun. */
	rbp = unwind_rule_rbp(step->rule);
	if (kind != UNWIND_NONE && rbp != UNWIND_RBP_AT_RBP && w->s.sp - 8 * rbp < step->slot + 8)
		return PLAIN;
	return STEPPED;
}

struct path {
	uint32_t steps;
	uint32_t match; /* the memo's frame that comes behind them, plus 1; 0: none */
	enum stepped result;
};

/*
 * From w->s outward until a frame that u has, at most max steps, which are noted
 * in the memo. The usual kind of frame is as in walk_fast of agent/walker.c.
 */
static inline __attribute__((always_inline)) struct path
walk_to_memo(struct walker *w, struct agent_memo *m, struct usable u, uint32_t max)
{
	const uint64_t *rules = channel_part(w->channel, w->channel->rules);
	const uint64_t key = w->key ^ RULE_KEY_RSP;
	const uint64_t end = w->floor + w->size + 7;
	struct path path = {0, 0, STEPPED};
	uint64_t next = u.n > u.first ? slot_of(m, u.n - 1) : UINT64_MAX;
	uint64_t sp = w->s.sp, at = w->s.pc, bp = w->s.bp;
	uint32_t guessed = 0;

	__asm__("" : "+r"(rules));
	for (; path.result == STEPPED; path.steps++) {
		struct memo_step *step = &w->memos->step[path.steps];
		uint64_t entry, cfa, rbp, pc;

		while (next < sp - 8 && u.n > u.first)
			next = --u.n > u.first ? slot_of(m, u.n - 1) : UINT64_MAX;
		if (next == sp - 8 && u.n > u.first && at_of(m, u.n - 1) == at &&
		    fits(&m->frame[u.n - 1], bp, guessed)) {
			path.match = u.n;
			break;
		}
		if (path.steps == max)
			break;
		entry = __atomic_load_n(&rules[at % CHANNEL_RULES], __ATOMIC_RELAXED);
		cfa = rule_entry_cfa(entry, at, key, sp, bp);
		rbp = rule_entry_rbp(entry);
		*step = (struct memo_step){sp - 8, at, bp,
					   (uint32_t)((int64_t)entry >> RULE_TAG_BITS), guessed};
		if (!guessed && cfa > sp && cfa <= end && cfa - 8 * rbp >= sp &&
		    rbp != UNWIND_RBP_AT_RBP) {
			pc = agent_load_at(cfa, -8, &w->faulted);
			if (__builtin_expect(walk_plausible(pc), 1)) {
				if (rbp)
					bp = agent_load(cfa - 8 * rbp, &w->faulted);
				sp = cfa;
				at = pc;
				w->uncertain = 0;
				continue;
			}
		}
		w->s = (struct walk_state){.pc = at, .sp = sp, .bp = bp, .guessed = guessed};
		path.result = slow_step(w, step);
		sp = w->s.sp;
		at = w->s.pc;
		bp = w->s.bp;
		guessed = w->s.guessed;
	}
	w->s = (struct walk_state){.pc = at, .sp = sp, .bp = bp, .guessed = guessed};
	return path;
}

static inline int put_word(struct agent_memo *m, uint64_t lowest, uint64_t address, uint64_t value)
{
	/* A word below the frame that it is found from may not be there another time. */
	if (m->words >= MEMO_WORDS || address < lowest)
		return 0;
	m->more[m->words] = (struct memo_more){.rule = MEMO_FIXED, .frame = MEMO_NO_FRAME};
	m->word[m->words++] = (struct memo_word){address, value};
	return 1;
}

__attribute__((cold)) void agent_memo_note(struct walker *w, uint64_t address, uint64_t value)
{
	if (!put_word(w->noting, w->s.sp, address, value))
		w->unnoted = 1;
}

/* The walk has ended at its last step, w->s: all frames are new. 0: it cannot be remembered. */
static __attribute__((noinline, cold)) int note_end(struct walker *w, struct agent_memo *m,
						    const struct memo_step *step)
{
	enum walk_result result;

	forget(m);
	if (w->uncertain)
		return 0;
	w->noting = m;
	result = agent_step(w, step->rule);
	w->noting = 0;
	if (w->unnoted || result == WALK_NEXT) {
		forget(m);
		return 0;
	}
	m->end = result == WALK_OUTERMOST ? CHANNEL_OUTERMOST : CHANNEL_LOST;
	m->end_sp = w->s.sp;
	return 1;
}

/* The frame that comes next outward, while new frames are put in. */
struct outer {
	uint64_t cfa; /* behind its return address; 0: there is none */
	uint64_t bp;
	int bp_matters;
};

/* The words that lead from a step to the next frame. 0: they cannot be remembered. */
static __attribute__((noinline)) int put_words(struct agent_memo *m, const struct memo_step *step,
					       struct outer *o)
{
	enum unwind_row_kind kind = unwind_rule_kind(step->rule);
	uint32_t rbp = unwind_rule_rbp(step->rule);
	uint64_t lowest = step->slot + 8;
	int matters = o->bp_matters, ok = 1;

	o->bp_matters = kind != UNWIND_RSP && kind != UNWIND_PLT && kind != UNWIND_FIRST &&
			kind != UNWIND_ASK;
	if (!o->cfa)
		return 1;
	if (kind == UNWIND_NONE)
		return !matters || put_word(m, lowest, step->bp, o->bp);
	if (kind == UNWIND_RBP_DEREF)
		ok = put_word(m, lowest, step->bp + (uint64_t)unwind_rule_offset(step->rule),
			      o->cfa);
	if (rbp == UNWIND_RBP_SAME) {
		o->bp_matters |= matters;
	} else if (rbp == UNWIND_RBP_AT_RBP) {
		o->bp_matters = 1;
		ok = ok && put_word(m, lowest, step->bp, o->bp);
	} else if (matters) {
		ok = ok && put_word(m, lowest, o->cfa - 8 * (uint64_t)rbp, o->bp);
	}
	return ok;
}

/* Nearly always there are none: the next frame is found by rsp, and what rbp is does not matter. */
static inline int put_link(struct agent_memo *m, const struct memo_step *step, struct outer *o)
{
	if (__builtin_expect(unwind_rule_kind(step->rule) == UNWIND_RSP && !o->bp_matters &&
				     unwind_rule_rbp(step->rule) != UNWIND_RBP_AT_RBP,
			     1))
		return 1;
	return put_words(m, step, o);
}

/* The return address of a step, which becomes a frame. Another one may be in its place if it has this rule. */
static inline int put_return(struct walker *w, struct agent_memo *m, const struct memo_step *step,
			     uint32_t frame)
{
	enum unwind_row_kind kind = unwind_rule_kind(step->rule);
	struct memo_more *more = &m->more[m->words];

	if (!put_word(m, 0, step->slot, step->at))
		return 0;
	more->term = agent_inverses[frame] * hash_frame(w->channel->seed, step->at);
	more->frame = frame;
	if ((kind == UNWIND_RSP || kind == UNWIND_RBP) && !step->guessed &&
	    rule_fits_entry(step->rule))
		more->rule = step->rule;
	m->top += more->term;
	return 1;
}

/* Puts the steps behind the frames of the memo, the outermost of them first. */
static inline int put_steps(struct walker *w, struct agent_memo *m, uint32_t steps, struct outer *o)
{
	/* Each once: a thread that changes stacks in a signal handler may use it in between. */
	uint32_t frames = m->frames;

	if (steps > MEMO_FRAMES - frames)
		return 0;
	while (steps-- > 0) {
		const struct memo_step *step = &w->memos->step[steps];

		if (!put_link(m, step, o) || !put_return(w, m, step, frames))
			return 0;
		o->cfa = step->slot + 8;
		o->bp = step->bp;
		m->frame[frames++] = (struct memo_frame){
			.bp = o->bp,
			.words = m->words,
			.flags = (o->bp_matters ? MEMO_BP : 0) | (step->guessed ? MEMO_GUESSED : 0),
		};
	}
	m->frames = (uint16_t)frames;
	note_innermost(m);
	fill_group(m);
	return 1;
}

/* The beginning: the innermost frame, whose return address is at sp. 0: not to be walked here. */
static inline int begin(struct walker *w, uint64_t bp)
{
	uint64_t pc;

	walker_limit(w, w->span, w->sp);
	if (w->sp & 7 || w->size == 0)
		return 0;
	pc = agent_load(w->sp, &w->faulted);
	w->s = (struct walk_state){.pc = pc, .sp = w->sp + 8, .bp = bp};
	w->uncertain = 0;
	return walk_plausible(pc);
}

enum updated { UPDATED, FULL, NOT_HERE };

/* Walks, and brings the memo up to date. */
static inline enum updated update(struct walker *w, struct agent_memo *m, uint64_t bp,
				  struct usable u)
{
	uint32_t max = w->depth + 1 + MEMO_MORE;
	struct outer outer = {0};
	struct path path;

	if (max > MEMO_FRAMES)
		max = MEMO_FRAMES;
	if (!begin(w, bp))
		return NOT_HERE;
	path = walk_to_memo(w, m, u, max);
	if (path.result == PLAIN || w->faulted)
		return NOT_HERE;
	if (path.match) {
		outer = (struct outer){w->s.sp, w->s.bp, m->frame[path.match - 1].flags & MEMO_BP};
		keep(m, path.match);
	} else if (path.result == ENDED) {
		if (!note_end(w, m, &w->memos->step[path.steps - 1]))
			return NOT_HERE;
		m->top = end_term(w, m->end);
	} else {
		forget(m);
	}
	if (put_steps(w, m, path.steps, &outer))
		return UPDATED;
	forget(m);
	return FULL;
}

/* Is this stack made of the frames that can be used, from the innermost of them on? */
static inline int is_same(const struct walker *w, const struct agent_memo *m, uint64_t bp,
			  struct usable u)
{
	/* That its return address is the memo's, too, check has found out. */
	return u.n > u.first && slot_of(m, u.n - 1) == w->sp && fits(&m->frame[u.n - 1], bp, 0);
}

/* The hash of the innermost w->depth frames. */
static __attribute__((noinline, cold)) void cut(struct walker *w, struct agent_memo *m,
						uint32_t frames)
{
	uint64_t top = m->top - end_term(w, m->end);

	top -= terms(m, 0, m->frame[frames - w->depth - 1].words);
	w->sum = agent_powers[frames - 1] * top +
		 agent_powers[w->depth] * hash_end(w->channel->seed, CHANNEL_DEPTH);
	w->count = w->depth;
	w->end = CHANNEL_DEPTH;
}

/* Does the memo, from frame first on, tell what the hash is? */
static inline int answer(struct walker *w, struct agent_memo *m, uint32_t first)
{
	uint32_t frames = m->frames;

	if (frames > w->depth) {
		if (frames - 1 - w->depth < first)
			return 0;
		cut(w, m, frames);
		return 1;
	}
	if (m->end == MEMO_OPEN || first > 0 || frames == 0)
		return 0;
	w->sum = m->power * m->top;
	w->count = frames;
	w->end = m->end;
	return 1;
}

int agent_memo_walk(struct walker *w, struct agent_memo *m, uint64_t bp)
{
	struct usable u = {0, 0};
	int anew;

	if (!w->span)
		return 0;
	if (m->generation == w->generation && m->span == w->span)
		u = check(w, m);
	if (w->faulted) {
		m->generation = MEMO_INVALID;
		return 0;
	}
	do {
		enum updated updated = UPDATED;

		anew = u.n <= u.first;
		if (anew) {
			forget(m);
			m->generation = w->generation;
			m->span = w->span;
			u = (struct usable){0, 0};
		}
		if (!is_same(w, m, bp, u))
			updated = update(w, m, bp, u);
		else if (u.n < m->frames)
			keep(m, u.n);
		if (updated == NOT_HERE)
			return 0;
		if (updated == UPDATED && answer(w, m, u.first))
			return 1;
		u = (struct usable){0, 0};
	} while (!anew);
	return 0;
}

__attribute__((cold)) int agent_memo_send(struct walker *w, const struct agent_memo *m,
					  uint64_t hash)
{
	uint64_t seed = w->channel->seed, sum = 0, power = 1;
	uint32_t frames = m->frames;

	if (frames < w->count)
		return SEND_AGAIN;
	agent_send_begin(w, hash);
	for (uint32_t i = 0; i < w->count; i++) {
		uint64_t at = at_of(m, frames - 1 - i);

		agent_send_frame(w, at);
		sum += power * hash_frame(seed, at);
		power *= HASH_K;
	}
	w->s.sp = m->end_sp;
	/* What is sent has to be what the hash says, whatever may have happened meanwhile. */
	if (hash_mix(sum + power * hash_end(seed, w->end)) != hash) {
		w->sending = 0;
		return SEND_AGAIN;
	}
	return agent_send_end(w, hash);
}

static void forget_all(struct agent_memos *memos)
{
	for (uint64_t i = 0; i <= memos->mask; i++)
		memos->of[i].generation = MEMO_INVALID;
}

void agent_memo_abandon(struct agent_memos *memos)
{
	forget_all(memos);
	__atomic_store_n(&memos->busy, 0, __ATOMIC_RELEASE);
}

static __attribute__((noinline, cold)) struct agent_memos *assign(const struct walker *w)
{
	struct channel *channel = w->channel;

	for (uint32_t i = 0; i < CHANNEL_MEMOS && channel->memos; i++) {
		uint64_t bit = 1ULL << i % 64, *taken = &channel->memos_taken[i / 64];
		struct agent_memos *memos;

		if (__atomic_load_n(taken, __ATOMIC_RELAXED) & bit ||
		    __atomic_fetch_or(taken, bit, __ATOMIC_ACQUIRE) & bit)
			continue;
		memos = channel_part(channel, channel->memos + channel_memo_at(i));
		/* At most MEMO_CLASSES: tests/test_agent_turns.c. */
		memos->mask = channel_memo_classes(i + 1) - channel_memo_classes(i) - 1;
		for (uint32_t n = 0; n <= memos->mask; n++)
			memos->last[n] = (uint8_t)n;
		agent_memo_abandon(memos);
		__atomic_store_n(&w->thread->memo, (uint64_t)memos, __ATOMIC_RELEASE);
		return memos;
	}
	return 0;
}

struct agent_memos *agent_memos_of(const struct walker *w)
{
	uint64_t memo = __atomic_load_n(&w->thread->memo, __ATOMIC_RELAXED);

	return memo ? (struct agent_memos *)memo : assign(w);
}
