/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_KNOWN_STACKS_H
#define MEMATTACH_PROBE_KNOWN_STACKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/types.h"

/*
 * The ids of stacks, by the hashes that the agent gives them. Every allocation asks, so
 * the common case is here.
 *
 * A table has open addressing and is at most half full. Where in it a hash is depends on a
 * number that the target cannot know: it could choose its hashes so that all are in one place.
 */
struct known_stack {
	u64 hash;
	u32 id;
	bool used;
};

struct known_table {
	struct known_stack *items;
	u64 multiplier; /* odd */
	u32 shift;      /* 64 less the binary logarithm of the number of items */
	size_t n;
};

struct known_stacks {
	struct known_table now, before; /* before they were forgotten the last time */
};

/* 0 or -ENOMEM. deinit is possible then, too. */
int known_stacks_init(struct known_stacks *known);
void known_stacks_deinit(struct known_stacks *known);

/* From now on the stack with this hash has this id. 0 or -ENOMEM. */
int known_stacks_learn(struct known_stacks *known, u64 hash, u32 id);

/*
 * Modules have changed, and hashes with them: those of an earlier time may be
 * forgotten once many others have come. The last ones are still needed, by threads
 * that walked their stack before that and have not written their record yet.
 */
void known_stacks_forget(struct known_stacks *known);

/* As known_stacks_find, for one that is not where it is looked for first. */
const struct known_stack *known_stacks_search(const struct known_stacks *known, u64 hash);

/* The place of a hash (multiplicative hashing: Knuth, volume 3, section 6.4). */
static inline size_t known_table_first(const struct known_table *table, u64 hash)
{
	return hash * table->multiplier >> table->shift;
}

/* The one with this hash, valid until the next is learned; NULL: there is none. */
static inline const struct known_stack *known_stacks_find(const struct known_stacks *known,
							  u64 hash)
{
	const struct known_stack *k = &known->now.items[known_table_first(&known->now, hash)];

	return __builtin_expect(k->hash == hash && k->used, true)
		       ? k
		       : known_stacks_search(known, hash);
}

#endif
