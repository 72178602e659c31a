// SPDX-License-Identifier: MIT
#include "report/frame_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/vec.h"

#define SLOTS_MIN 64

void frame_table_deinit(struct frame_table *table)
{
	free(table->entries);
	free(table->slots);
	memset(table, 0, sizeof(*table));
}

const struct frame_entry *frame_table_find(const struct frame_table *table, u64 frame)
{
	if (!table->slots_n)
		return NULL;
	for (size_t i = hash_u64(frame);; i++) {
		u32 slot = table->slots[i & (table->slots_n - 1)];

		if (!slot)
			return NULL;
		if (table->entries[slot - 1].frame == frame)
			return &table->entries[slot - 1];
	}
}

static void refill(struct frame_table *table)
{
	memset(table->slots, 0, table->slots_n * sizeof(*table->slots));
	for (size_t e = 0; e < table->n; e++) {
		size_t i = hash_u64(table->entries[e].frame);

		while (table->slots[i & (table->slots_n - 1)])
			i++;
		table->slots[i & (table->slots_n - 1)] = (u32)e + 1;
	}
}

static int grow_slots(struct frame_table *table)
{
	size_t n = table->slots_n ? table->slots_n * 2 : SLOTS_MIN;
	u32 *slots = malloc(n * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(table->slots);
	table->slots = slots;
	table->slots_n = n;
	refill(table);
	return 0;
}

int frame_table_add(struct frame_table *table, struct frame_entry entry)
{
	size_t i;

	if (vec_reserve((void **)&table->entries, &table->cap, table->n + 1,
			sizeof(*table->entries)))
		return -ENOMEM;
	if (table->slots_n < (table->n + 1) * 2 && grow_slots(table))
		return -ENOMEM;
	i = hash_u64(entry.frame);
	while (table->slots[i & (table->slots_n - 1)])
		i++;
	table->entries[table->n++] = entry;
	table->slots[i & (table->slots_n - 1)] = (u32)table->n;
	return 0;
}

void frame_table_truncate(struct frame_table *table, size_t n)
{
	if (n >= table->n)
		return;
	table->n = n;
	refill(table);
}
