// SPDX-License-Identifier: MIT
#include "ledger/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

#define CHUNK_ALIGN 64

void chunks_init(struct chunks *chunks, size_t item_size, u32 shift)
{
	*chunks = (struct chunks){.item_size = item_size, .shift = shift};
}

void chunks_deinit(struct chunks *chunks)
{
	for (size_t i = 0; i < chunks->n; i++)
		free(chunks->chunk[i]);
	free(chunks->chunk);
	chunks_init(chunks, chunks->item_size, chunks->shift);
}

void chunks_trim(struct chunks *chunks, size_t n)
{
	size_t in_chunk = (size_t)1 << chunks->shift;
	size_t keep = (n + in_chunk - 1) / in_chunk + 1;

	while (chunks->n > keep) {
		if (chunks->chunk[--chunks->n])
			chunks->bytes -= chunks->item_size << chunks->shift;
		free(chunks->chunk[chunks->n]);
	}
}

void *chunks_reach(struct chunks *chunks, size_t i)
{
	size_t bytes = chunks->item_size << chunks->shift;
	size_t c = i >> chunks->shift;
	char *chunk;

	if (chunks_get(chunks, i))
		return chunks_at(chunks, i);
	if (vec_reserve((void **)&chunks->chunk, &chunks->cap, c + 1, sizeof(*chunks->chunk)))
		return NULL;
	chunk = aligned_alloc(CHUNK_ALIGN, bytes);
	if (!chunk)
		return NULL;
	memset(chunk, 0, bytes);
	while (chunks->n <= c)
		chunks->chunk[chunks->n++] = NULL;
	chunks->chunk[c] = chunk;
	chunks->bytes += bytes;
	return chunks_at(chunks, i);
}
