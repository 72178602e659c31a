// SPDX-License-Identifier: MIT
/*
 * Interned stacks: a hash table chained through the records, whose number of
 * chains grows by one with each new stack (linear hashing, see table.c), so
 * that no growth ever stops the caller for long.
 *
 *	heads                 records, by id
 *	[ 3 | 0 | 1 | ... ]   [ frames, n, next, hash ]
 *	  |                       |         |
 *	  +--> record 3 - 1 ...   |         +--> id + 1 of the next in the chain, or 0
 *	                          +--> n frames in a block of the pool
 *
 *	pool: blocks of POOL_FRAMES frames, filled from the start; a longer stack
 *	has a block of its own. Frames never move.
 *
 * Frames come from the target: the hash is keyed with a random number.
 */
#include "ledger/stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/vec.h"
#include "ledger/chunks.h"

#define RECORD_SHIFT 9
#define HEAD_SHIFT   10
#define POOL_FRAMES  8192

struct record {
	const u64 *frames;
	u64 hash;
	u32 n;
	u32 next;
};

struct stacks {
	struct chunks records; /* struct record, by id */
	struct chunks heads;   /* u32, id + 1 */
	u32 count;             /* of stacks, and of chains (at least 1) */
	u64 seed;
	u64 **block; /* of the pool, to free them */
	size_t nblocks, block_cap;
	u64 *free_at; /* in the last block that is shared */
	size_t free_frames;
	size_t pool_bytes;
};

struct stacks *stacks_create(struct err *err)
{
	struct stacks *stacks = calloc(1, sizeof(*stacks));

	if (!stacks) {
		err_set(err, ENOMEM, "out of memory for the call stacks");
		return NULL;
	}
	if (getrandom(&stacks->seed, sizeof(stacks->seed), GRND_NONBLOCK) != sizeof(stacks->seed))
		stacks->seed = hash_u64(clock_ns() + (uintptr_t)stacks);
	stacks->seed |= 1;
	chunks_init(&stacks->records, sizeof(struct record), RECORD_SHIFT);
	chunks_init(&stacks->heads, sizeof(u32), HEAD_SHIFT);
	return stacks;
}

void stacks_destroy(struct stacks *stacks)
{
	if (!stacks)
		return;
	chunks_deinit(&stacks->records);
	chunks_deinit(&stacks->heads);
	for (size_t i = 0; i < stacks->nblocks; i++)
		free(stacks->block[i]);
	free(stacks->block);
	free(stacks);
}

/* Multiplies to 128 bits and folds them: each bit of the result depends on all bits of a and b. */
static u64 mix(u64 a, u64 b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (u64)product ^ (u64)(product >> 64);
}

static u64 hash_frames(const struct stacks *stacks, const u64 *frames, u32 n)
{
	u64 hash = stacks->seed ^ n;

	for (u32 i = 0; i < n; i++)
		hash = mix(hash ^ frames[i], stacks->seed) + i;
	return hash_u64(hash);
}

/* The chain of this hash among n: as many bits of it as name one of them. */
static u32 chain_of(u64 hash, u32 n)
{
	u32 mask = n > 1 ? UINT32_MAX >> __builtin_clz(n - 1) : 0;
	u32 i = (u32)hash & mask;

	return i < n ? i : i & (mask >> 1);
}

static struct record *record_at(const struct stacks *stacks, u32 id)
{
	return chunks_at(&stacks->records, id);
}

/* Room for n frames that lives as long as stacks does; NULL when out of memory. */
static u64 *pool_get(struct stacks *stacks, u32 n)
{
	size_t room = n > POOL_FRAMES / 8 ? n : POOL_FRAMES;
	u64 *frames;

	if (n > stacks->free_frames) {
		if (vec_reserve((void **)&stacks->block, &stacks->block_cap, stacks->nblocks + 1,
				sizeof(*stacks->block)))
			return NULL;
		frames = malloc(room * sizeof(*frames));
		if (!frames)
			return NULL;
		stacks->block[stacks->nblocks++] = frames;
		stacks->pool_bytes += room * sizeof(*frames);
		if (room == n)
			return frames;
		stacks->free_at = frames;
		stacks->free_frames = POOL_FRAMES;
	}
	return stacks->free_at;
}

/* Adds a chain, the last of n, and moves there what belongs there now. */
static void chain_split(struct stacks *stacks, u32 n)
{
	u32 *to = chunks_at(&stacks->heads, n - 1);
	u32 *from;
	u32 high;

	if (n == 1)
		return;
	/* The highest bit of its number away: there its entries are now. */
	high = 1U << (31 - __builtin_clz(n - 1));
	from = chunks_at(&stacks->heads, n - 1 - high);
	while (*from) {
		struct record *record = record_at(stacks, *from - 1);
		u32 id1 = *from;

		if (chain_of(record->hash, n) != n - 1) {
			from = &record->next;
			continue;
		}
		*from = record->next;
		record->next = *to;
		*to = id1;
	}
}

static int stack_add(struct stacks *stacks, const u64 *frames, u32 n, u64 hash, u32 *id)
{
	u32 new_id = stacks->count;
	struct record *record;
	u64 *room;
	u32 *head;

	if (new_id == UINT32_MAX - 1)
		return -ENOMEM;
	record = chunks_reach(&stacks->records, new_id);
	if (!record || !chunks_reach(&stacks->heads, new_id))
		return -ENOMEM;
	room = pool_get(stacks, n);
	if (!room && n)
		return -ENOMEM;
	if (n)
		memcpy(room, frames, n * sizeof(*frames));
	if (room == stacks->free_at) {
		stacks->free_at += n;
		stacks->free_frames -= n;
	}
	stacks->count++;
	chain_split(stacks, stacks->count);
	head = chunks_at(&stacks->heads, chain_of(hash, stacks->count));
	*record = (struct record){.frames = room, .hash = hash, .n = n, .next = *head};
	*head = new_id + 1;
	*id = new_id;
	return 0;
}

int stacks_intern(struct stacks *stacks, const u64 *frames, u32 n, u32 *id)
{
	u64 hash = hash_frames(stacks, frames, n);
	u32 next = 0;

	if (stacks->count)
		next = *(u32 *)chunks_at(&stacks->heads, chain_of(hash, stacks->count));
	while (next) {
		const struct record *record = record_at(stacks, next - 1);

		if (record->hash == hash && record->n == n &&
		    (!n || !memcmp(record->frames, frames, n * sizeof(*frames)))) {
			*id = next - 1;
			return 0;
		}
		next = record->next;
	}
	return stack_add(stacks, frames, n, hash, id);
}

const u64 *stacks_frames(const struct stacks *stacks, u32 id, u32 *n)
{
	const struct record *record = record_at(stacks, id);

	*n = record->n;
	return record->frames;
}

u32 stacks_count(const struct stacks *stacks)
{
	return stacks->count;
}

size_t stacks_memory(const struct stacks *stacks)
{
	return sizeof(*stacks) + chunks_memory(&stacks->records) + chunks_memory(&stacks->heads) +
	       stacks->block_cap * sizeof(*stacks->block) + stacks->pool_bytes;
}
