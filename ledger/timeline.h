/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_TIMELINE_H
#define MEMATTACH_LEDGER_TIMELINE_H

#include "base/err.h"
#include "base/types.h"

/* One sample of the process and the ledger. Bytes, counts since the process began, ms since attach. */
struct timeline_point {
	u32 time;
	u64 live_bytes, live_blocks;
	u64 rss, vsz, swap;
	u64 minor_faults, major_faults;
};

/*
 * The samples of a run, oldest first, in bounded memory: when it is full every
 * second point goes and from then on only every second sample is taken, so that
 * a run of days keeps its shape. The first and the newest sample are always there.
 */
struct timeline;

#define TIMELINE_MAX_POINTS 8192

struct timeline *timeline_create(struct err *err);
void timeline_destroy(struct timeline *timeline);
void timeline_add(struct timeline *timeline, const struct timeline_point *point);

/* The points, *count of them; owned by timeline, valid until the next add. */
const struct timeline_point *timeline_points(const struct timeline *timeline, size_t *count);

#endif
