/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DWARF_BUDGET_H
#define MEMATTACH_SYMBOLS_DWARF_BUDGET_H

#include <time.h>

#include "base/types.h"

/*
 * How much CPU time the DWARF of one module may cost in all. Real ones need a
 * second or two; one made to keep us busy (a tree that refers to itself, a
 * million attributes for each byte) is given up when this is spent.
 */
#define DWARF_BUDGET_NS (20ULL * 1000000000ULL)

struct dwarf_budget {
	u64 spent;   /* ns, in finished look-ups */
	u64 started; /* CPU time of the thread when this one began, ns */
	u32 tick;
	bool exhausted;
};

static inline u64 dwarf_budget_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 1000000000ULL + (u64)ts.tv_nsec;
}

/* Around each look-up, begin and end. */
static inline void dwarf_budget_begin(struct dwarf_budget *budget)
{
	budget->started = dwarf_budget_now();
}

static inline void dwarf_budget_end(struct dwarf_budget *budget)
{
	budget->spent += dwarf_budget_now() - budget->started;
	if (budget->spent > DWARF_BUDGET_NS)
		budget->exhausted = true;
}

/* For each step of a loop: false once there is nothing left. */
static inline bool dwarf_budget_step(struct dwarf_budget *budget)
{
	if (++budget->tick % 64 == 0 &&
	    budget->spent + (dwarf_budget_now() - budget->started) > DWARF_BUDGET_NS)
		budget->exhausted = true;
	return !budget->exhausted;
}

#endif
