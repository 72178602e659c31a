// SPDX-License-Identifier: MIT
/*
 * Samples are numbered from 0. Kept are those whose number is a multiple of
 * stride, a power of two, and the newest. When the array is full, stride
 * doubles and every second point goes:
 *
 *	stride 1:  0 1 2 3 4 5 6 7   full
 *	stride 2:  0 2 4 6 8
 *	           0 2 4 6 8 9       9 is there only until 10 takes its place
 */
#include "ledger/timeline.h"

#include <errno.h>
#include <stdlib.h>

struct timeline {
	u64 stride;
	u64 taken; /* samples so far */
	size_t count;
	bool last_passes; /* the last point is there only as the newest */
	struct timeline_point point[TIMELINE_MAX_POINTS];
};

struct timeline *timeline_create(struct err *err)
{
	struct timeline *timeline = calloc(1, sizeof(*timeline));

	if (!timeline) {
		err_set(err, ENOMEM, "out of memory for the timeline");
		return NULL;
	}
	timeline->stride = 1;
	return timeline;
}

void timeline_destroy(struct timeline *timeline)
{
	free(timeline);
}

void timeline_add(struct timeline *timeline, const struct timeline_point *point)
{
	if (timeline->last_passes)
		timeline->count--;
	if (timeline->count == TIMELINE_MAX_POINTS) {
		timeline->count /= 2;
		timeline->stride *= 2;
		for (size_t i = 1; i < timeline->count; i++)
			timeline->point[i] = timeline->point[2 * i];
	}
	timeline->point[timeline->count++] = *point;
	timeline->last_passes = timeline->taken % timeline->stride != 0;
	timeline->taken++;
}

const struct timeline_point *timeline_points(const struct timeline *timeline, size_t *count)
{
	*count = timeline->count;
	return timeline->point;
}
