/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_CHUNKS_H
#define MEMATTACH_LEDGER_CHUNKS_H

#include "base/types.h"

/*
 * An array that grows without being copied: items live in chunks of 1 << shift
 * items, zeroed when made and aligned to 64 bytes, and never move. Only the
 * array of pointers to the chunks is copied when it grows. Chunks between
 * those that were asked for are not made.
 *
 *	chunk -> [ * | * | NULL | * ]
 *	           |   |          +--> [item 3 << shift, ...]
 *	           |   +--> [item 1 << shift, ...]
 *	           +--> [item 0, item 1, ... item (1 << shift) - 1]
 */
struct chunks {
	char **chunk;
	size_t n, cap;    /* entries of chunk[]: used, allocated */
	size_t item_size; /* bytes */
	u32 shift;
	size_t bytes; /* memory of all chunks, without chunk[] itself */
};

/* item_size << shift must be a multiple of 64. Allocates nothing. */
void chunks_init(struct chunks *chunks, size_t item_size, u32 shift);
void chunks_deinit(struct chunks *chunks);

/* Makes sure that item i exists. Returns it, or NULL when out of memory; then nothing has changed. */
void *chunks_reach(struct chunks *chunks, size_t i);

/* Frees the chunks of the items from n on, but keeps one spare. What was in them is lost. */
void chunks_trim(struct chunks *chunks, size_t n);

/* Item i, which must exist. */
static inline void *chunks_at(const struct chunks *chunks, size_t i)
{
	size_t in_chunk = i & (((size_t)1 << chunks->shift) - 1);

	return chunks->chunk[i >> chunks->shift] + in_chunk * chunks->item_size;
}

/* Item i, or NULL if nobody asked for one of its chunk yet. */
static inline void *chunks_get(const struct chunks *chunks, size_t i)
{
	size_t c = i >> chunks->shift;

	return c < chunks->n && chunks->chunk[c] ? chunks_at(chunks, i) : NULL;
}

/* One more than the highest item that may exist. */
static inline size_t chunks_end(const struct chunks *chunks)
{
	return chunks->n << chunks->shift;
}

/* Bytes of memory occupied. */
static inline size_t chunks_memory(const struct chunks *chunks)
{
	return chunks->bytes + chunks->cap * sizeof(*chunks->chunk);
}

#endif
