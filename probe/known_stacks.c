// SPDX-License-Identifier: MIT
#include "probe/known_stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define SHIFT_FIRST 54 /* 1024 items */

/* So many stacks have to come before those of a time that is over are forgotten. */
#define FORGET_MIN 65536

static size_t places(const struct known_table *table)
{
	return (size_t)1 << (64 - table->shift);
}

static int make(struct known_table *table, u32 shift, u64 multiplier)
{
	*table = (struct known_table){.shift = shift, .multiplier = multiplier};
	table->items = calloc(places(table), sizeof(*table->items));
	return table->items ? 0 : -ENOMEM;
}

int known_stacks_init(struct known_stacks *known)
{
	u64 multiplier = secret_u64() | 1;

	*known = (struct known_stacks){0};
	if (make(&known->now, SHIFT_FIRST, multiplier) ||
	    make(&known->before, SHIFT_FIRST, multiplier)) {
		known_stacks_deinit(known);
		return -ENOMEM;
	}
	return 0;
}

void known_stacks_deinit(struct known_stacks *known)
{
	free(known->now.items);
	free(known->before.items);
	*known = (struct known_stacks){0};
}

/* Where a hash is, or would be. */
static struct known_stack *place_of(const struct known_table *table, u64 hash)
{
	size_t i = known_table_first(table, hash);

	while (table->items[i].used && table->items[i].hash != hash)
		i = (i + 1) & (places(table) - 1);
	return &table->items[i];
}

const struct known_stack *known_stacks_search(const struct known_stacks *known, u64 hash)
{
	const struct known_stack *k = place_of(&known->now, hash);

	if (!k->used)
		k = place_of(&known->before, hash);
	return k->used ? k : NULL;
}

static int grow(struct known_table *table)
{
	struct known_table bigger;

	if (make(&bigger, table->shift - 1, table->multiplier))
		return -ENOMEM;
	for (size_t i = 0; i < places(table); i++)
		if (table->items[i].used)
			*place_of(&bigger, table->items[i].hash) = table->items[i];
	bigger.n = table->n;
	free(table->items);
	*table = bigger;
	return 0;
}

int known_stacks_learn(struct known_stacks *known, u64 hash, u32 id)
{
	struct known_table *now = &known->now;
	struct known_stack *k;

	if (now->n * 2 >= places(now) && grow(now))
		return -ENOMEM;
	k = place_of(now, hash);
	now->n += !k->used;
	*k = (struct known_stack){.hash = hash, .id = id, .used = true};
	return 0;
}

void known_stacks_forget(struct known_stacks *known)
{
	struct known_table old = known->before;

	/*
	 * A hash is of its time, by the seed, and hurts nobody later. A thread that had
	 * found it may not have had a CPU while modules changed over and over.
	 */
	if (known->now.n < FORGET_MIN)
		return;
	known->before = known->now;
	memset(old.items, 0, places(&old) * sizeof(*old.items));
	old.n = 0;
	known->now = old;
}
