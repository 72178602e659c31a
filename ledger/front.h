/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_FRONT_H
#define MEMATTACH_LEDGER_FRONT_H

#include "base/types.h"

/*
 * The table in front of the table: as many live blocks as fit, where one is found
 * with one line of memory and no loop. What does not fit is in the compact
 * table (table.h). How they share: blocks.c.
 *
 *	bucket, 64 bytes                                                     beyond
 *	+-------+-------+-------+------------------+-------------+-------------+---+
 *	| key 0 | key 1 | key 2 | size stack time 0| 1           | 2           |   |
 *	+-------+-------+-------+------------------+-------------+-------------+---+
 *	 u64                     u32                                            u32
 *
 * The key is the address, inverted: 0 is a free slot, and memory that has never been
 * touched is an empty table. The one address that it cannot hold is UINT64_MAX.
 * beyond counts the blocks of this bucket that are in the compact table: while it
 * is 0 nobody needs to look there.
 *
 * It begins with one page of memory and doubles, up to FRONT_MAX buckets, when a bucket is full
 * and there are more than 5 blocks for 4 buckets: then one in 25 did not fit.
 */
#define FRONT_SLOTS 3
#define FRONT_MAX   (1U << 17) /* buckets: 8 MB */

/* So many buckets are in the processor's second-level cache, if not in the first: 128 KB. */
#define FRONT_CACHED 2048U

struct front_entry {
	u32 size, stack, time;
};

struct front_bucket {
	u64 key[FRONT_SLOTS];
	struct front_entry entry[FRONT_SLOTS];
	u32 beyond;
};

struct front {
	struct front_bucket *buckets;
	u32 shift; /* 64 less the binary logarithm of how many there are */
	u32 count; /* of blocks */
};

/* 0 or -ENOMEM. */
int front_init(struct front *front);
void front_deinit(struct front *front);

static inline u32 front_buckets(const struct front *front)
{
	return (u32)(1ULL << (64 - front->shift));
}

/* Whether it is time to double. To be asked when a bucket is full. */
static inline bool front_is_crowded(const struct front *front)
{
	return front->count / 5 >= front_buckets(front) / 4 && front_buckets(front) < FRONT_MAX;
}

/*
 * Doubles. hash: as for the functions below. All `beyond` are 0 then, and the
 * caller counts them anew. Returns 0, or -ENOMEM with nothing changed.
 */
int front_grow(struct front *front, u64 (*hash)(const void *ctx, u64 address), const void *ctx);

/* The bucket of an address with this hash, of which the upper bits count. */
static inline struct front_bucket *front_bucket(const struct front *front, u64 hash)
{
	return &front->buckets[hash >> front->shift];
}

/* A bit for each slot that has this key; no branches, since nobody could predict them. */
static inline u32 front_match(const struct front_bucket *bucket, u64 key)
{
	return (u32)(bucket->key[0] == key) | (u32)(bucket->key[1] == key) << 1 |
	       (u32)(bucket->key[2] == key) << 2;
}

/* The lowest slot of such bits, which are not 0. */
static inline u32 front_slot(u32 match)
{
	return (u32)__builtin_ctz(match);
}

/* Calls visit for every block, in no order, until it returns non-zero; returns that. */
int front_visit(const struct front *front,
		int (*visit)(void *ctx, u64 address, const struct front_entry *entry), void *ctx);

/* Bytes of memory occupied. */
size_t front_memory(const struct front *front);

#endif
