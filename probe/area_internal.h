/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AREA_INTERNAL_H
#define MEMATTACH_PROBE_AREA_INTERNAL_H

/* Shared by area.c and area_map.c and by nothing else. */
#include "probe/area.h"

/* A displacement reaches 2 GB; the operand may lie anywhere in the module. */
#define AREA_REACH 0x70000000UL

struct area {
	u64 start;
	u32 used; /* slots ever handed out */
};

struct areas {
	struct tracee *tracee;
	u64 entry;
	u64 *unfinished;
	struct area *items;
	size_t n, cap;
	u64 *free_slots;
	size_t free_n, free_cap;
	bool refused;
	bool jumps;                   /* areas get a control page */
	struct agent_control control; /* what it says */
};

/* Whether a slot near start can reach what an instruction near address reaches. */
bool area_reaches(u64 start, u64 address);

#endif
