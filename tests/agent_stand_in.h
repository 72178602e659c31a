/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_AGENT_STAND_IN_H
#define MEMATTACH_TESTS_AGENT_STAND_IN_H

#include "agent/channel.h"

#define STAND_IN_RECORDS 65536

/* What the walker has sent and asked since somebody set n and asked to 0. */
struct stand_in {
	struct channel_record records[STAND_IN_RECORDS];
	unsigned n;
	unsigned limit; /* records that go in */
	unsigned asked;
	int mute;                   /* answers nothing */
	struct channel_range range; /* high != 0: the answer to CHANNEL_ASK_RANGE */
};

extern struct stand_in stand_in;

/*
 * The stack whose records begin at from: how many frames, which are in pcs; -1 if
 * it is none, or not whole.
 */
int stand_in_stack(unsigned from, uint64_t *pcs, unsigned max, unsigned *end, uint64_t *hash);

#endif
