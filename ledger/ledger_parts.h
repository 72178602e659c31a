/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_LEDGER_PARTS_H
#define MEMATTACH_LEDGER_LEDGER_PARTS_H

#include "ledger/blocks.h"
#include "ledger/estimates.h"
#include "ledger/ledger.h"
#include "ledger/recent.h"
#include "ledger/sites.h"

/* What ledger.c and ages.c see of a ledger; everybody else includes ledger.h. */
struct ledger {
	struct blocks blocks;
	struct sites sites;
	struct recent recent;
	struct estimates estimates;
	struct ledger_totals totals; /* without those that ledger_totals takes from the parts */
	u32 now;                     /* the latest time that an event had */
};

/* Only some allocations are recorded. Seldom; and who records all of them is in a hurry. */
static inline bool ledger_is_sampled(const struct ledger *ledger)
{
	return __builtin_expect(ledger->estimates.mean != 0, false);
}

#endif
