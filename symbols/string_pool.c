// SPDX-License-Identifier: MIT
/* Open addressing over strings that lie one after the other in large blocks. */
#include "symbols/string_pool.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (256 * 1024)

struct block {
	struct block *next;
	size_t used;
	char bytes[BLOCK_SIZE];
};

struct slot {
	u64 hash;
	const char *text; /* NULL: free */
	size_t len;
};

struct string_pool {
	struct block *blocks;
	struct slot *slots;
	size_t n, size; /* size is a power of two */
};

struct string_pool *string_pool_create(void)
{
	struct string_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->size = 1024;
	pool->slots = calloc(pool->size, sizeof(*pool->slots));
	if (!pool->slots) {
		free(pool);
		return NULL;
	}
	return pool;
}

void string_pool_destroy(struct string_pool *pool)
{
	if (!pool)
		return;
	while (pool->blocks) {
		struct block *next = pool->blocks->next;

		free(pool->blocks);
		pool->blocks = next;
	}
	free(pool->slots);
	free(pool);
}

/* FNV-1a (Fowler, Noll, Vo). */
static u64 hash_text(const char *text, size_t len)
{
	u64 h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (u8)text[i]) * 0x100000001b3ULL;
	return h;
}

static struct slot *find(struct slot *slots, size_t size, u64 hash, const char *text, size_t len)
{
	size_t i = hash & (size - 1);

	while (slots[i].text &&
	       (slots[i].hash != hash || slots[i].len != len || memcmp(slots[i].text, text, len)))
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static bool grow(struct string_pool *pool)
{
	size_t size = pool->size * 2;
	struct slot *slots = calloc(size, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < pool->size; i++) {
		const struct slot *s = &pool->slots[i];

		if (s->text)
			*find(slots, size, s->hash, s->text, s->len) = *s;
	}
	free(pool->slots);
	pool->slots = slots;
	pool->size = size;
	return true;
}

static char *allocate(struct string_pool *pool, size_t len)
{
	struct block *block = pool->blocks;

	if (!block || BLOCK_SIZE - block->used < len) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->next = pool->blocks;
		block->used = 0;
		pool->blocks = block;
	}
	block->used += len;
	return block->bytes + block->used - len;
}

const char *string_pool_add(struct string_pool *pool, const char *text, size_t len)
{
	struct slot *slot;
	char *copy;
	u64 hash;

	if (len > STRING_POOL_MAX)
		len = STRING_POOL_MAX;
	if (pool->n >= pool->size / 2 && !grow(pool))
		return NULL;
	hash = hash_text(text, len);
	slot = find(pool->slots, pool->size, hash, text, len);
	if (slot->text)
		return slot->text;
	copy = allocate(pool, len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*slot = (struct slot){.hash = hash, .text = copy, .len = len};
	pool->n++;
	return copy;
}
