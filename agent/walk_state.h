/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_WALK_STATE_H
#define MEMATTACH_AGENT_WALK_STATE_H

#include "agent/channel.h"
#include "agent/load.h"
#include "unwind/walk.h"

/*
 * A walk under way, on the stack of the thread that it is about; shared by
 * agent/walker.c, agent/memo.c and what they look things up with.
 *
 * A frame's place in the code is here `at`: the address to look up, plus 1. That
 * is the return address itself, for all frames but those that a signal has
 * interrupted.
 */
struct walker {
	struct channel *channel;
	struct channel_thread *thread;
	uint64_t generation;  /* of the modules */
	uint64_t key;         /* of entries in the cache of rules, changes with generation */
	uint64_t floor, size; /* 8 bytes may be read at each address in [floor, floor + size) */
	uint64_t span;        /* of memory, in which the walk has begun; 0: not known */
	struct walk_state s;
	uint64_t sum;         /* the hash so far */
	uint64_t sp;          /* at the entry of the probed function: names the stack in the ring */
	uint64_t certain_sum; /* as it was before the first uncertain frame */
	uint64_t sent[3];     /* frames that make the next record */
	uint32_t emitted;     /* frames given to agent_send_frame */
	uint32_t certain_count;
	uint32_t count, depth; /* frames so far, and at most */
	uint32_t steps;        /* slow steps that may still be made */
	uint8_t kind;          /* enum unwind_row_kind of the last frame */
	uint8_t end;           /* enum channel_end, once it has ended */
	uint8_t uncertain;     /* the last frames are guessed */
	uint8_t ours;          /* there were frames of the agent */
	uint8_t faulted;       /* memory was not where memattach had said */
	uint8_t sending, dropped;
	uint8_t unnoted;           /* the last step has read, or tried to, what cannot be noted */
	struct agent_memos *memos; /* in use by this walk */
	struct agent_memo *noting; /* where each word that is read is noted; NULL: nowhere */
};

/* The memory of the channel at an offset. */
static inline void *channel_part(const struct channel *channel, uint64_t offset)
{
	return (char *)channel + offset;
}

static inline uint64_t channel_generation(const struct channel *channel)
{
	return __atomic_load_n(&channel->generation, __ATOMIC_ACQUIRE);
}

/* The walk_read_fn of unwind/walk.h, not inlined: walk_step has eight of them. */
bool agent_walk_read(void *walker, uint64_t address, uint64_t *value);

/*
 * The hash of a stack: of its frames' places at[0] .. at[n - 1], innermost first,
 *
 *	mix(g(at[0]) + K g(at[1]) + K^2 g(at[2]) + .. + K^n e)
 *
 * e telling how it has ended. It is a polynomial (as in Karp and Rabin, 1987, but modulo
 * 2^64 and of scrambled terms), so that it can be made from both ends, and that
 * of a stack that is cut follows from that of the whole.
 */
#define HASH_K                                                                                     \
	0xd1342543de82ef95ULL /* Steele and Vigna, "Computationally easy, spectrally good multipliers", 2021 */

static inline uint64_t hash_frame(uint64_t seed, uint64_t at)
{
	uint64_t x = (at + seed) * 0x9e3779b97f4a7c15ULL;

	return x ^ x >> 32;
}

static inline uint64_t hash_end(uint64_t seed, uint32_t end)
{
	return (seed ^ (end + 1)) * 0xbf58476d1ce4e5b9ULL;
}

/* Never 0, which is an empty place of known. */
static inline uint64_t hash_mix(uint64_t sum)
{
	sum ^= sum >> 32;
	sum *= 0x94d049bb133111ebULL;
	sum ^= sum >> 29;
	return sum ? sum : 1;
}

/*
 * The cache of rules: an entry per value of the low bits of `at`, which tells the
 * rule in its upper 31 bits (those of unwind/table.h, a bit of the offset less) and
 * the rest of `at` in its lower 33, scrambled with a key of the generation: what
 * a thread that was stopped all the while stores too late fits nothing.
 */
#define RULE_TAG_BITS 33
#define RULE_TAG_MASK ((1ULL << RULE_TAG_BITS) - 1)

static inline uint64_t rule_key(uint64_t generation)
{
	return generation * 0x9e3779b97f4a7c15ULL >> (64 - RULE_TAG_BITS);
}

static inline uint64_t rule_tag(uint64_t at, uint64_t key)
{
	return (at >> CHANNEL_RULES_BITS ^ key) & RULE_TAG_MASK;
}

/* Whether the cache can have it: its offset has a bit less there. */
static inline int rule_fits_entry(uint32_t rule)
{
	return rule >> 31 == (rule >> 30 & 1);
}

/* The offset, in bytes, and the rbp field of an entry's rule. */
static inline uint64_t rule_entry_offset(uint64_t entry)
{
	return (uint64_t)((int64_t)entry >> (RULE_TAG_BITS + 12)) * 8;
}

static inline uint64_t rule_entry_rbp(uint64_t entry)
{
	return entry >> (RULE_TAG_BITS + 4) & 255;
}

/*
 * The CFA, if the entry is that of `at` and says rsp + n or rbp + n, as nearly all do; 0 if
 * not. key is w->key ^ RULE_KEY_RSP: tag and kind are compared at once, and no
 * address waits for it.
 */
#define RULE_KEY_RSP ((uint64_t)UNWIND_RSP << RULE_TAG_BITS)
#define RULE_KEY_RBP ((uint64_t)UNWIND_RBP << RULE_TAG_BITS)

static inline uint64_t rule_entry_cfa(uint64_t entry, uint64_t at, uint64_t key, uint64_t sp,
				      uint64_t bp)
{
	uint64_t difference = entry ^ at >> CHANNEL_RULES_BITS ^ key;
	uint64_t offset = rule_entry_offset(entry);

	if (__builtin_expect(!(difference << (64 - RULE_TAG_BITS - 4)), 1))
		return sp + offset;
	if (!((difference ^ RULE_KEY_RSP ^ RULE_KEY_RBP) << (64 - RULE_TAG_BITS - 4)) &&
	    !((bp + offset) & 7))
		return bp + offset;
	return 0;
}

/* agent/rules.c: the rule for `at` from the modules' tables; goes into the cache. */
uint32_t agent_rule_search(struct walker *w, uint64_t at);

static inline uint32_t agent_rule(struct walker *w, uint64_t at)
{
	const uint64_t *rules = channel_part(w->channel, w->channel->rules);
	uint64_t entry = __atomic_load_n(&rules[at % CHANNEL_RULES], __ATOMIC_RELAXED);

	if (walk_plausible(at - 1) && (entry & RULE_TAG_MASK) == rule_tag(at, w->key) && entry)
		return (uint32_t)((int64_t)entry >> RULE_TAG_BITS);
	return agent_rule_search(w, at);
}

/* agent/spans.c: the span of readable memory that has address, a multiple of 8; 0: none. */
uint64_t agent_span_search(struct channel *channel, uint64_t address);

static inline int span_has(uint64_t span, uint64_t address)
{
	return address - CHANNEL_SPAN_LOW(span) < CHANNEL_SPAN_SIZE(span);
}

/* As agent_span_search, but looks where the thread's stack was before. */
static inline uint64_t agent_span(struct channel *channel, const struct channel_thread *thread,
				  uint64_t address)
{
	uint64_t span = __atomic_load_n(&thread->stack, __ATOMIC_RELAXED);

	if (__builtin_expect(span_has(span, address), 1))
		return span;
	return agent_span_search(channel, address);
}

/* That span is not what it was: it will be asked for anew. */
void agent_span_forget(struct channel *channel, struct channel_thread *thread, uint64_t address);

/* From now on only what is in span, from floor on, may be read; an empty span: nothing. */
static inline void walker_limit(struct walker *w, uint64_t span, uint64_t floor)
{
	uint64_t low = CHANNEL_SPAN_LOW(span), high = low + CHANNEL_SPAN_SIZE(span);

	w->floor = floor < low ? low : floor;
	w->size = high >= w->floor + 8 ? high - 7 - w->floor : 0;
}

/* walk_step of unwind/walk.h on w->s. */
enum walk_result agent_step(struct walker *w, uint32_t rule);

/*
 * One frame, whatever its kind: counts and hashes (or sends) the one in w->s, and
 * makes its caller's of it. 0: the walk has ended, w->end says how.
 */
int agent_frame_step(struct walker *w);

/* Sends the frame at `at` if w->sending; agent/send.c. */
void agent_send_frame(struct walker *w, uint64_t at);

#endif
