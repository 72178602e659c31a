/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_LEDGER_FIXTURE_H
#define MEMATTACH_TESTS_LEDGER_FIXTURE_H

#include "ledger/ledger.h"
#include "tests/must.h"

/*
 * The ledger of a test. In a header, since helpers are linked into runners that lack ledger/.
 */
static struct ledger *ledger;

static inline void ledger_setup(void)
{
	struct err err = ERR_INIT;

	ledger = ledger_create(&err);
	ck_assert_ptr_nonnull(ledger);
}

static inline void ledger_teardown(void)
{
	ledger_destroy(ledger);
}

static inline void alloc_at(u64 address, u64 size, u32 stack, u32 thread, u32 time)
{
	struct ledger_block block = {address, size, stack, time};

	MUST(ledger_alloc(ledger, &block, thread) == 0);
}

static inline struct ledger_totals totals(void)
{
	struct ledger_totals t;

	ledger_totals(ledger, &t);
	return t;
}

#endif
