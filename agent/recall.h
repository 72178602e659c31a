/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_RECALL_H
#define MEMATTACH_AGENT_RECALL_H

#include "agent/memo_compare.h"
#include "agent/send.h"

/*
 * The short way of a walk. Most stacks are one that the thread has been on before, or nearly; that
 * is all looked at here, in registers, and whatever is different is left to agent/walker.c.
 */

/* What a walk has to know to ask a memo. */
struct recall {
	struct channel *channel;
	uint64_t generation, key, span;
};

/* As agent_walk, without the short way: it takes memos, too, if they are free. */
uint64_t agent_walk_slowly(struct channel *channel, struct channel_thread *thread, uint64_t sp,
			   uint64_t bp);

/*
 * What is left of it where the thread's memos are in use by this walk, and this one has not told. 0:
 * to be walked slowly.
 */
uint64_t agent_walk_on(const struct recall *recall, struct channel_thread *thread,
		       struct agent_memos *memos, struct agent_memo *memo, uint64_t sp,
		       uint64_t bp);

/* Is this stack the memo's, all of whose words are as they were? */
static inline int recall_is_whole(const struct agent_memo *m, uint64_t sp, uint64_t bp)
{
	return m->slot == sp && (!m->flags || (m->flags == MEMO_BP && m->bp == bp));
}

/* The hash of the memo's stack; 0 if it is not known to memattach. */
static inline uint64_t recall_hash(const struct channel *channel, struct agent_memo *m)
{
	uint64_t hash;

	if (m->top == m->known_top && m->known_hash)
		return m->known_hash;
	hash = hash_mix(m->power * m->top);
	if (!agent_known_find(channel, hash))
		return 0;
	m->known_top = m->top;
	m->known_hash = hash;
	return hash;
}

/* Is it worth while to compare the memo's words? If not, memo->compared says so. */
static inline int recall_may(const struct recall *r, struct agent_memo *m, uint64_t sp)
{
	if (m->generation == r->generation && m->span == r->span && m->slot >= sp &&
	    m->frames <= r->channel->depth)
		return 1;
	m->compared = 0;
	return 0;
}

/*
 * So many of the memo's words, compared after recall_may, are as they were: the hash of the stack from
 * sp on, if that is the memo's and known to memattach; else 0, and memo->compared is set.
 */
static inline uint64_t recall_told(const struct recall *r, struct agent_memo *m, uint32_t compared,
				   uint8_t faulted, uint64_t sp, uint64_t bp)
{
	uint64_t hash = 0;

	if (compared == m->words && recall_is_whole(m, sp, bp) && !faulted)
		hash = recall_hash(r->channel, m);
	if (!hash)
		m->compared = (uint16_t)compared;
	/* Memory that is gone would be asked for again and again. */
	if (faulted)
		m->generation = MEMO_INVALID;
	return hash;
}

/*
 * The hash of the stack from the function's caller to the outermost frame (at most
 * channel->depth frames). If memattach does not have this stack yet, its frames are
 * put into the ring first; if they are lost, it does not know the hash. m is the
 * thread's memo for this walk (agent_memo_for), NULL if it has none.
 */
static inline __attribute__((always_inline)) uint64_t agent_walk(struct channel *channel,
								 struct channel_thread *thread,
								 struct agent_memo *m, uint64_t sp,
								 uint64_t bp)
{
	struct agent_memos *memos = (struct agent_memos *)thread->memo;
	uint64_t generation = channel_generation(channel), hash = 0;
	uint32_t compared;
	uint8_t faulted = 0;
	const struct recall r = {channel, generation, rule_key(generation),
				 __atomic_load_n(&thread->stack, __ATOMIC_RELAXED)};

	/* In a child that was forked on the way here the thread has no memos any more. */
	if (!m || !memos || generation & 1 || !span_has(r.span, sp) || sp & 7 ||
	    !agent_memos_take(memos, sp))
		return agent_walk_slowly(channel, thread, sp, bp);
	if (recall_may(&r, m, sp)) {
		compared = memo_compare(channel, r.key, m, 0, m->words, &faulted);
		hash = recall_told(&r, m, compared, faulted, sp, bp);
	}
	if (!hash || channel_generation(channel) != generation)
		hash = agent_walk_on(&r, thread, memos, m, sp, bp);
	else if (!agent_memos_release(memos, m, sp))
		hash = 0;
	return hash ? hash : agent_walk_slowly(channel, thread, sp, bp);
}

#endif
