/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_MEMO_COMPARE_H
#define MEMATTACH_AGENT_MEMO_COMPARE_H

#include "agent/memo.h"
#include "agent/powers.h"

/* How much of a memo is as it was. */

/* 0: the word is as it was. */
static inline uint64_t memo_difference(const struct memo_word *word, uint8_t *faulted)
{
	return agent_load(word->address, faulted) ^ word->value;
}

/*
 * A return address is another one than it was. If the rule there is the same, as it is
 * nearly always where a function has been called from another place of the same function,
 * then so is everything further out. 0: it is not so, or the rule is not in the cache. key: of
 * the cache's entries (rule_key).
 */
static inline __attribute__((always_inline)) int memo_replace(const struct channel *channel,
							      uint64_t key, struct agent_memo *m,
							      struct memo_word *word, uint64_t at)
{
	const uint64_t *rules = channel_part(channel, channel->rules);
	uint64_t entry = __atomic_load_n(&rules[at % CHANNEL_RULES], __ATOMIC_RELAXED);
	struct memo_more *more = &m->more[word - m->word];
	uint64_t term;

	/* Of MEMO_FIXED the cache has none. */
	if (entry != ((uint64_t)more->rule << RULE_TAG_BITS | rule_tag(at, key)) ||
	    !walk_plausible(at - 1))
		return 0;
	term = agent_inverses[more->frame] * hash_frame(channel->seed, at);
	m->top += term - more->term;
	more->term = term;
	word->value = at;
	return 1;
}

/* The first of a group's words that is not as it was. */
static inline struct memo_word *memo_first_changed(struct memo_word *word, uint8_t *faulted)
{
	uint64_t d0 = memo_difference(word, faulted);
	uint64_t d1 = memo_difference(word + 1, faulted);
	uint64_t d2 = memo_difference(word + 2, faulted);

	return word + (d0 ? 0 : d1 ? 1 : d2 ? 2 : 3);
}

/*
 * The first of the words, from i on, that makes what comes behind it invalid; words: none
 * does. Most of them are as they were, and so may be some behind the last one.
 */
static inline __attribute__((always_inline)) uint32_t memo_compare(const struct channel *channel,
								   uint64_t key,
								   struct agent_memo *m, uint32_t i,
								   uint32_t words, uint8_t *faulted)
{
	struct memo_word *word = m->word + i, *end = m->word + words;

	while (word < end) {
		uint64_t at;

		if (!(memo_difference(word, faulted) | memo_difference(word + 1, faulted) |
		      memo_difference(word + 2, faulted) | memo_difference(word + 3, faulted))) {
			word += MEMO_GROUP;
			continue;
		}
		word = memo_first_changed(word, faulted);
		if (word >= end)
			break;
		at = agent_load(word->address, faulted);
		if (at != word->value && !memo_replace(channel, key, m, word, at))
			return (uint32_t)(word - m->word);
		word++;
	}
	return words;
}

/* The same, as a function: where it is not worth a copy of it. */
uint32_t agent_memo_compare(const struct channel *channel, uint64_t key, struct agent_memo *m,
			    uint32_t i, uint32_t words, uint8_t *faulted);

#endif
