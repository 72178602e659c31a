// SPDX-License-Identifier: MIT
#include "attach/pace.h"

#define PROBE_EVENTS 64
#define ROUND_EVENTS 2048

/* A pause longer than this is the target's own, and says nothing of the way to wait. */
#define LONGEST_NS 500000

/* How long an event may be in coming before polling for it is given up. */
#define POLL_NS 50000

static u8 way(const struct pace *pace)
{
	if (pace->position < PROBE_EVENTS)
		return 0;
	if (pace->position < 2 * PROBE_EVENTS)
		return 1;
	return pace->better;
}

static void choose(struct pace *pace)
{
	/* Averages compared without a division; a way that was not tried loses. */
	u64 sleep = pace->sum_ns[0] * pace->events[1], poll = pace->sum_ns[1] * pace->events[0];

	pace->better = pace->events[0] && pace->events[1] && poll < sleep;
	pace->sum_ns[0] = pace->sum_ns[1] = 0;
	pace->events[0] = pace->events[1] = 0;
}

void pace_event(struct pace *pace, u64 now)
{
	u8 w = way(pace);

	if (pace->last_ns && now - pace->last_ns < LONGEST_NS &&
	    pace->position < 2 * PROBE_EVENTS) {
		pace->sum_ns[w] += now - pace->last_ns;
		pace->events[w]++;
	}
	pace->last_ns = now;
	pace->position++;
	if (pace->position == 2 * PROBE_EVENTS)
		choose(pace);
	else if (pace->position == ROUND_EVENTS)
		pace->position = 0;
}

void pace_rest(struct pace *pace)
{
	pace->last_ns = 0;
}

u64 pace_poll_until(const struct pace *pace)
{
	return pace->last_ns && way(pace) ? pace->last_ns + POLL_NS : 0;
}
