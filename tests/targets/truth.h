/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_TARGETS_TRUTH_H
#define MEMATTACH_TESTS_TARGETS_TRUTH_H

#include <stddef.h>

/*
 * What a target knows about its own allocations: figures per call site, kept in
 * static memory with atomic counters. One call site is one function that is
 * never inlined, so the name of that function is the name of the site.
 *
 * Rules, the same as the ledger's: a successful realloc is a free of the old
 * block and an allocation; a failed one changes nothing but the failures; a
 * block from before truth_epoch that is freed is an unknown free.
 */
#ifdef __cplusplus
extern "C" {
#endif

/* What is known exactly of a site. */
enum truth_kind {
	/* The site calls the allocator itself: every figure is known, and it is the leaf frame. */
	TRUTH_DIRECT,
	/* A library function between makes one allocation for the site: every figure is known. */
	TRUTH_THROUGH,
	/* A library function between may use further blocks meanwhile: only what stays live is known. */
	TRUTH_LIVE,
};

/* A block, in a slot that the target owns; address NULL: the slot is empty. */
struct truth_block {
	void *address;
	size_t size;
	int site;
	unsigned int epoch;
};

/* The number of the site with this name, made when it is new. Not for handlers. */
int truth_site(const char *name, enum truth_kind kind);

/* An allocation of size bytes returned address: into block, or, when NULL, a failure. */
void truth_allocated(struct truth_block *block, int site, void *address, size_t size);

/* block is about to be freed; empties the slot. */
void truth_freed(struct truth_block *block);

/* realloc returned address for size bytes: what that did to block, which may have been empty. */
void truth_reallocated(struct truth_block *block, int site, void *address, size_t size);

/*
 * What was counted is forgotten, and live blocks become blocks from before
 * attach. Only while no other thread allocates.
 */
void truth_epoch(void);

/*
 * Says a line "site NAME KIND live_bytes live_blocks total_bytes allocations
 * frees temporary" for each site that did something, then "unknown FREES",
 * "failed ALLOCATIONS" and "end".
 */
void truth_say(void);

#ifdef __cplusplus
}
#endif

#endif
