/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_LEDGER_MODEL_H
#define MEMATTACH_TESTS_LEDGER_MODEL_H

#include "ledger/ledger.h"

/*
 * The rules of the ledger, as plainly as can be: every block has a serial
 * number, every new peak copies the live bytes of all stacks. One model a
 * process; blocks are known by the number of their address.
 */
#define M_ADDRESSES 700
#define M_STACKS    37
#define M_THREADS   7

struct m_block {
	u64 serial; /* 0: not live */
	struct ledger_block b;
};

struct model {
	struct m_block block[M_ADDRESSES];
	u64 last[M_THREADS]; /* serial of what the last call returned, or 0 */
	u64 serial;
	struct ledger_totals t;
	struct ledger_site site[M_STACKS];
};

extern struct model model;

/* The next of a fixed row of random numbers. */
u64 m_random(void);

/* Address number i: spread over all 64 bits, and 0 is one of them. */
u64 m_address(u32 i);

/* Adds to or takes from what is live, without counting a call. */
void m_live(const struct ledger_block *b, bool add);

/* Block i comes to live as *b, with that serial number. */
void m_add(u32 i, const struct ledger_block *b, u64 serial, u32 now);

/* A whole allocation, and the counts of a free (which leaves the block to the caller). */
void m_alloc(u32 i, const struct ledger_block *b, u32 thread);
void m_count_free(const struct m_block *m, u32 thread);

/* Fills in the ages of a stack's site. */
void m_ages(u32 stack, u32 now);

/* Field by field: the padding between fields is anything. */
bool m_same_totals(const struct ledger_totals *a, const struct ledger_totals *b);
bool m_same_site(const struct ledger_site *a, const struct ledger_site *b);

/* For qsort. */
int compare_u32(const void *a, const void *b);

#endif
