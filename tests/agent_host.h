/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_AGENT_HOST_H
#define MEMATTACH_TESTS_AGENT_HOST_H

/*
 * This process as the target of the agent's walker: a channel in plain memory, with
 * the tables of all modules that are mapped here, and the table unwinder as the reference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/recall.h"
#include "agent/walker.h"
#include "probe/tables.h"
#include "proc/maps.h"
#include "symbols/modules.h"
#include "tests/agent_probe.h"
#include "tests/agent_stand_in.h"
#include "unwind/table.h"
#include "unwind/unwind.h"

#define HOST_ROWS (3U << 20)

/* Also outside of tests, as in bench/agent_walk.c. */
#define host_assert(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct host {
	struct channel *channel;
	size_t size;
	struct channel_thread *threads;
	struct modules *modules;
	struct tables *tables;
	struct unwinder *reference;
	struct mem_reader reader;
	u32 known; /* modules that were looked at */
};

static inline ssize_t host_read_self(void *ctx, u64 address, void *buf, size_t len)
{
	u64 low = ((struct channel_range *)ctx)->low, high = ((struct channel_range *)ctx)->high;

	/* The reference reads windows: no further than the mapping goes. */
	if (address < low || address >= high) {
		struct channel_range range = {.low = address};
		unsigned long from, to;
		char line[512];
		FILE *maps = fopen("/proc/self/maps", "re");

		while (maps && fgets(line, sizeof(line), maps)) {
			if (sscanf(line, "%lx-%lx r", &from, &to) == 2 && strstr(line, " r") &&
			    range.low >= from && range.low < to) {
				((struct channel_range *)ctx)->low = low = from;
				((struct channel_range *)ctx)->high = high = to;
			}
		}
		if (maps)
			fclose(maps);
		if (address < low || address >= high)
			return -14;
	}
	if (len > high - address)
		len = high - address;
	/* Not memcpy: a sanitizer would object to reading frames of others. */
	for (size_t i = 0; i < len; i++)
		__asm__ volatile("movb (%1), %%al; movb %%al, (%0)" ::"r"((u8 *)buf + i),
				 "r"(address + i)
				 : "rax", "memory");
	return (ssize_t)len;
}

static inline u64 host_part(u64 *end, u64 size)
{
	u64 at = *end;

	*end = (at + size + 4095) & ~4095ULL;
	return at;
}

/* An empty channel. */
static inline void host_channel(struct host *h)
{
	struct channel c = {.magic = CHANNEL_MAGIC, .depth = 64, .seed = 0x123456789abcdefULL};
	u64 end = CHANNEL_RING_AT;

	c.threads = host_part(&end, CHANNEL_THREADS * sizeof(struct channel_thread));
	c.known = host_part(&end, CHANNEL_KNOWN * 8ULL);
	c.rules = host_part(&end, CHANNEL_RULES * 8ULL);
	c.ranges = host_part(&end, CHANNEL_RANGES * 8ULL);
	c.modules = host_part(&end, 2 * CHANNEL_MODULES * sizeof(struct channel_module));
	c.memos = host_part(&end, channel_memo_at(CHANNEL_MEMOS));
	c.rows_max = HOST_ROWS;
	c.rows = host_part(&end, HOST_ROWS * sizeof(struct unwind_row));
	c.size = end;
	h->channel = aligned_alloc(4096, end);
	host_assert(h->channel != NULL);
	memset(h->channel, 0, c.rows);
	*h->channel = c;
	h->size = end;
	h->threads = (struct channel_thread *)((char *)h->channel + c.threads);
}

/* Tells the channel and the reference what is mapped now. */
static inline void host_update(struct host *h)
{
	struct maps maps = {0};
	bool changed;

	host_assert(maps_read(&maps, getpid(), NULL) == 0);
	host_assert(modules_update(h->modules, &maps, &changed, NULL) == 0);
	maps_deinit(&maps);
	while (h->known < modules_count(h->modules)) {
		const struct module *m = modules_get(h->modules, ++h->known);
		struct unwind_module um = {m->id, m->start, m->end, m->bias, m->fd, m->path};
		struct unwind_rows rows;

		host_assert(unwinder_add_module(h->reference, &um, NULL) == 0);
		host_assert(unwinder_rows(h->reference, m->id, &rows) == 0);
		host_assert(tables_add(h->tables, m->id, m->start, m->end, &rows, NULL) == 0);
	}
	tables_publish(h->tables);
}

static inline void host_open(struct host *h)
{
	static struct channel_range window;

	*h = (struct host){.reader = {host_read_self, &window}};
	host_channel(h);
	h->modules = modules_create(getpid(), NULL);
	h->tables = tables_create(h->channel, h->size, NULL);
	h->reference = unwinder_create(UNWIND_TABLE, getpid(), &h->reader, NULL);
	host_assert(h->modules && h->tables && h->reference);
	host_update(h);
	stand_in = (struct stand_in){.limit = STAND_IN_RECORDS};
}

/* agent_walk with the memo that the agent's code would find, which knows that sp may be read. */
static inline u64 host_walk(struct channel *channel, struct channel_thread *thread, u64 sp, u64 bp)
{
	struct agent_memos *memos = (struct agent_memos *)thread->memo;
	struct agent_memo *memo = NULL;

	if (memos && sp % 8 == 0 && span_has(thread->stack, sp))
		memo = agent_memo_for(memos, sp, *(const u64 *)sp);
	return agent_walk(channel, thread, memo, sp, bp);
}

struct host_stack {
	u64 pcs[CHANNEL_DEPTH_MAX + 1];
	u32 n;
	unsigned end;
};

/* What memattach's own walker finds, from a call of agent_probe on; that comes first. */
static inline void host_reference(struct host *h, struct host_stack *stack, u64 sp, u64 bp)
{
	struct unwind_regs regs = {0};

	regs.r[6] = bp;
	regs.r[7] = sp;
	regs.r[16] = (u64)agent_probe;
	stack->end = unwinder_walk_entry(h->reference, getpid(), &regs, stack->pcs,
					 h->channel->depth + 1, &stack->n);
}

static inline void host_close(struct host *h)
{
	unwinder_destroy(h->reference);
	tables_destroy(h->tables);
	modules_destroy(h->modules);
	free(h->channel);
}

#endif
