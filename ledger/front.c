// SPDX-License-Identifier: MIT
/*
 * front.h says what it looks like. To double: the upper bits of a hash choose the
 * bucket, so those of bucket i go to 2i and 2i + 1, and each of these has room for
 * all that come.
 */
#include "ledger/front.h"

#include <errno.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct front_bucket) == 64, "a line of the cache");

/* 64 buckets, 4 KB. */
#define FRONT_MIN_BITS 6

static size_t bytes(const struct front *front)
{
	return (size_t)front_buckets(front) * sizeof(*front->buckets);
}

/* Empty, with 1 << bits buckets. */
static int front_make(struct front *front, u32 bits)
{
	*front = (struct front){.shift = 64 - bits};
	front->buckets = mmap(NULL, bytes(front), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (front->buckets != MAP_FAILED)
		return 0;
	front->buckets = NULL;
	return -ENOMEM;
}

int front_init(struct front *front)
{
	return front_make(front, FRONT_MIN_BITS);
}

void front_deinit(struct front *front)
{
	if (front->buckets)
		munmap(front->buckets, bytes(front));
	front->buckets = NULL;
}

int front_grow(struct front *front, u64 (*hash)(const void *ctx, u64 address), const void *ctx)
{
	struct front bigger;
	int r = front_make(&bigger, 64 - front->shift + 1);

	if (r)
		return r;
	bigger.count = front->count;
	for (u32 i = 0; i < front_buckets(front); i++) {
		const struct front_bucket *from = &front->buckets[i];

		for (u32 s = 0; s < FRONT_SLOTS; s++) {
			struct front_bucket *to;
			u32 slot;

			if (!from->key[s])
				continue;
			to = front_bucket(&bigger, hash(ctx, ~from->key[s]));
			slot = front_slot(front_match(to, 0));
			to->key[slot] = from->key[s];
			to->entry[slot] = from->entry[s];
		}
	}
	front_deinit(front);
	*front = bigger;
	return 0;
}

int front_visit(const struct front *front,
		int (*visit)(void *ctx, u64 address, const struct front_entry *entry), void *ctx)
{
	for (u32 i = 0; i < front_buckets(front); i++) {
		const struct front_bucket *bucket = &front->buckets[i];

		for (u32 s = 0; s < FRONT_SLOTS; s++) {
			int r = bucket->key[s] ? visit(ctx, ~bucket->key[s], &bucket->entry[s]) : 0;

			if (r)
				return r;
		}
	}
	return 0;
}

size_t front_memory(const struct front *front)
{
	return bytes(front);
}
