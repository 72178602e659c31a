/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_PAGES_H
#define MEMATTACH_LEDGER_PAGES_H

#include "base/types.h"

/*
 * Memory in pages of 16 KB, known by 32-bit numbers. All are of one size,
 * so nothing fragments. Pages that were put back are used again first; what
 * stays unused beyond a small reserve goes back to the kernel.
 *
 *	slab[0]        slab[1]         each slab: 2 MB of address space from mmap
 *	[p p p ... p]  [p p p ... p]
 *
 *	unused, a stack of page numbers:
 *	[ not resident: released or never used | resident ]
 *	  0 ........................ released-1  .. nunused-1   <- get and put at this end
 */
#define PAGES_SIZE       16384
#define PAGES_SLAB_SHIFT 7

struct pages {
	char **slab;
	size_t nslab, slab_cap;
	u32 *unused;
	size_t nunused, unused_cap;
	size_t released;
};

void pages_init(struct pages *pages);
void pages_deinit(struct pages *pages);

/* A page, its content undefined, into *number. Returns 0 or -ENOMEM. */
int pages_get(struct pages *pages, u32 *number);
void pages_put(struct pages *pages, u32 number);

/* Bytes of memory occupied. */
size_t pages_memory(const struct pages *pages);

static inline void *pages_at(const struct pages *pages, u32 number)
{
	size_t in_slab = number & ((1U << PAGES_SLAB_SHIFT) - 1);

	return pages->slab[number >> PAGES_SLAB_SHIFT] + in_slab * PAGES_SIZE;
}

#endif
