/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_FRAME_TABLE_H
#define MEMATTACH_REPORT_FRAME_TABLE_H

#include "base/types.h"

/*
 * Which capture frames a frame value of base/frame.h became: count of them,
 * since functions may be inlined there, in a row from first. A hash table from
 * value to entry that can forget its newest entries.
 */
struct frame_entry {
	u64 frame;
	u32 first, count;
};

struct frame_table {
	struct frame_entry *entries; /* in the order in which they were added */
	size_t n, cap;
	u32 *slots;     /* open addressing, linear probing: entry index + 1, 0: empty */
	size_t slots_n; /* a power of two, at least twice n */
};

/* A table of all zeros is empty. Releases it. */
void frame_table_deinit(struct frame_table *table);

/* The entry of frame, or NULL. */
const struct frame_entry *frame_table_find(const struct frame_table *table, u64 frame);

/* Adds an entry whose frame is not in yet. 0 or -ENOMEM. */
int frame_table_add(struct frame_table *table, struct frame_entry entry);

/* Forgets all but the first n entries. */
void frame_table_truncate(struct frame_table *table, size_t n);

#endif
