/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_PACE_H
#define MEMATTACH_ATTACH_PACE_H

#include "base/types.h"

/*
 * How to wait for the next stop of a thread that stops every few microseconds:
 * poll, or sleep in the kernel. Sleeping can cost a wake-up across CPUs, several
 * times the price of a stop; polling takes a CPU away that the target may need.
 * Which is better depends on the machine and on what else runs on it, so it is
 * measured: of each round of events the first few are waited for in one way, the
 * next in the other, and the rest in the way that was faster.
 */
struct pace {
	u64 last_ns;
	u64 sum_ns[2]; /* between events, by way: 0 sleep, 1 poll */
	u32 events[2];
	u32 position; /* in the round */
	u8 better;    /* the way that was faster */
};

/* An event was a breakpoint that came at now (clock_ns). */
void pace_event(struct pace *pace, u64 now);

/* The events have ended for the moment, or are of another kind: sleep until the next one. */
void pace_rest(struct pace *pace);

/* Until when (clock_ns) to poll for the next event; 0: sleep at once. */
u64 pace_poll_until(const struct pace *pace);

#endif
