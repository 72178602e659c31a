// SPDX-License-Identifier: MIT
#include "truth.h"

#include <string.h>

#include "talk.h"

#define SITES_MAX 128

struct site {
	const char *name;
	enum truth_kind kind;
	long live_bytes, live_blocks, total_bytes, allocations, frees, temporary;
};

static struct site sites[SITES_MAX];
static int sites_n;
static unsigned int epoch = 1;
static long unknown_frees, failed;
/* The block that this thread's last allocator call made: freed now, it was temporary. */
static __thread void *newest;

static void add(long *counter, long n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

int truth_site(const char *name, enum truth_kind kind)
{
	for (int i = 0; i < sites_n; i++)
		if (strcmp(sites[i].name, name) == 0)
			return i;
	if (sites_n == SITES_MAX)
		hurt("more than %d sites", SITES_MAX);
	sites[sites_n].name = name;
	sites[sites_n].kind = kind;
	return sites_n++;
}

void truth_allocated(struct truth_block *block, int site, void *address, size_t size)
{
	struct site *s = &sites[site];

	newest = address;
	if (!address) {
		add(&failed, 1);
		return;
	}
	*block = (struct truth_block){address, size, site, epoch};
	add(&s->live_bytes, (long)size);
	add(&s->live_blocks, 1);
	add(&s->total_bytes, (long)size);
	add(&s->allocations, 1);
}

void truth_freed(struct truth_block *block)
{
	struct site *s = &sites[block->site];

	if (!block->address)
		return;
	if (block->epoch != epoch) {
		add(&unknown_frees, 1);
	} else {
		add(&s->live_bytes, -(long)block->size);
		add(&s->live_blocks, -1);
		add(&s->frees, 1);
		if (newest == block->address)
			add(&s->temporary, 1);
	}
	newest = NULL;
	block->address = NULL;
}

void truth_reallocated(struct truth_block *block, int site, void *address, size_t size)
{
	/* realloc(p, 0) that returns NULL is a free. */
	if (!address && size == 0 && block->address) {
		truth_freed(block);
		return;
	}
	if (!address) {
		add(&failed, 1);
		newest = NULL;
		return;
	}
	truth_freed(block);
	truth_allocated(block, site, address, size);
}

void truth_epoch(void)
{
	epoch++;
	unknown_frees = failed = 0;
	for (int i = 0; i < sites_n; i++)
		sites[i] = (struct site){.name = sites[i].name, .kind = sites[i].kind};
}

void truth_say(void)
{
	static const char *const kinds[] = {"direct", "through", "live"};

	for (int i = 0; i < sites_n; i++) {
		const struct site *s = &sites[i];

		if (s->allocations > 0)
			say("site %s %s %ld %ld %ld %ld %ld %ld", s->name, kinds[s->kind],
			    s->live_bytes, s->live_blocks, s->total_bytes, s->allocations, s->frees,
			    s->temporary);
	}
	say("unknown %ld", unknown_frees);
	say("failed %ld", failed);
	say("end");
}
