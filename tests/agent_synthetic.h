/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_AGENT_SYNTHETIC_H
#define MEMATTACH_TESTS_AGENT_SYNTHETIC_H

/*
 * Stacks that were never executed: a mapping with nothing readable around it, and a
 * module of functions with rules of all kinds, each SYN_FUNCTION bytes long.
 */
#include <sys/mman.h>

#include "tests/agent_host.h"
#include "unwind/walk.h"

#define SYN_CODE      0x10000000ULL
#define SYN_FUNCTION  16ULL
#define SYN_FUNCTIONS 256U
#define SYN_STACK     65536U /* bytes */

struct synthetic {
	struct host h; /* channel, threads and tables only */
	u64 low, high; /* the stack */
	void *code;
	u64 random;
	struct unwind_row rows[SYN_FUNCTIONS];
};

static inline u64 syn_random(struct synthetic *s)
{
	/* Steele, Lea and Flood's SplitMix64. */
	u64 z = s->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline u32 syn_below(struct synthetic *s, u32 n)
{
	return (u32)(syn_random(s) % n);
}

/* A return address into function i. */
static inline u64 syn_pc(u32 i)
{
	return SYN_CODE + i * SYN_FUNCTION + 5;
}

static inline void syn_publish(struct synthetic *s)
{
	struct unwind_rows rows = {s->rows, SYN_FUNCTIONS, SYN_CODE};

	tables_remove(s->h.tables, 1);
	host_assert(tables_add(s->h.tables, 1, SYN_CODE, SYN_CODE + SYN_FUNCTIONS * SYN_FUNCTION,
			       &rows, NULL) == 0);
	tables_publish(s->h.tables);
}

/* All functions say CFA = rsp + 16 at first. */
static inline void syn_open(struct synthetic *s, u64 seed)
{
	char *memory = mmap(NULL, SYN_STACK + 2 * 4096, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*s = (struct synthetic){.random = seed};
	host_channel(&s->h);
	s->h.tables = tables_create(s->h.channel, s->h.size, NULL);
	host_assert(s->h.tables && memory != MAP_FAILED);
	s->low = (u64)memory + 4096;
	s->high = s->low + SYN_STACK;
	/* Code that has no rows is read, to see whether it is a signal trampoline. */
	s->code = mmap((void *)SYN_CODE, SYN_FUNCTIONS * SYN_FUNCTION, PROT_READ,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	host_assert(s->code == (void *)SYN_CODE);
	host_assert(mprotect((void *)s->low, SYN_STACK, PROT_READ | PROT_WRITE) == 0);
	for (u32 i = 0; i < SYN_FUNCTIONS; i++)
		s->rows[i] =
			(struct unwind_row){i * (u32)SYN_FUNCTION, unwind_rule(UNWIND_RSP, 0, 16)};
	syn_publish(s);
	stand_in = (struct stand_in){.limit = STAND_IN_RECORDS};
	stand_in.range = (struct channel_range){s->low, s->high};
}

static inline void syn_close(struct synthetic *s)
{
	munmap(s->code, SYN_FUNCTIONS * SYN_FUNCTION);
	munmap((void *)(s->low - 4096), SYN_STACK + 2 * 4096);
	tables_destroy(s->h.tables);
	free(s->h.channel);
}

static inline u64 *syn_word(u64 address)
{
	return (u64 *)address;
}

/* Walks with the memo of thread 1, and without any as thread 2: the hash, which has to be the same. */
static inline u64 syn_walk_both(struct synthetic *s, u64 sp, u64 bp)
{
	struct channel *channel = s->h.channel;
	u64 memos = channel->memos, with, without;

	with = host_walk(channel, &s->h.threads[1], sp, bp);
	channel->memos = 0;
	s->h.threads[2].memo = 0;
	without = host_walk(channel, &s->h.threads[2], sp, bp);
	channel->memos = memos;
	host_assert(with == without);
	return with;
}

/* Stacks by hand: of functions by number. */
#define SYN_FIRST 255U /* the outermost one */
#define SYN_BIG   4U   /* as big as ten others */

static inline void syn_open_by_hand(struct synthetic *s, u64 seed)
{
	syn_open(s, seed);
	s->rows[SYN_FIRST].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	s->rows[SYN_BIG].rule = unwind_rule(UNWIND_RSP, 0, 160);
	syn_publish(s);
}

/* A stack of functions, from the outermost one, SYN_FIRST; returns the sp of a call of the last. */
static inline u64 syn_build(struct synthetic *s, const u32 *functions, u32 n)
{
	u64 sp = s->high - 64;

	for (u32 i = 0; i < n; i++) {
		sp -= 8;
		*syn_word(sp) = syn_pc(functions[i]);
		if (i + 1 < n)
			sp -= (u64)unwind_rule_offset(s->rows[functions[i + 1]].rule) - 8;
	}
	return sp;
}

#endif
