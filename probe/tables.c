// SPDX-License-Identifier: MIT
/*
 * Publishing of unwind tables.
 *
 * Rows lie in blocks, one for each table that is in use, however often it is
 * mapped. A block that nobody uses any more keeps its place (a library that
 * is loaded and unloaded in a loop finds it again) until room is short.
 * A block is given up only after the list without its module was published.
 * The agent's threads stand then, but one may stand in the middle of a
 * search: it will read other rows than it meant to, notice that the generation
 * has changed, and walk again.
 */
#include "probe/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/vec.h"
#include "unwind/table.h"

struct block {
	const struct unwind_row *key; /* whose copy it is; only compared */
	u32 first, n;
	u32 users;
	bool listed; /* the list that is valid may have it still */
};

struct entry {
	u32 id;
	u64 start, end, base;
	u32 first, n; /* n = 0: no rows */
};

struct tables {
	struct channel *channel; /* borrowed; written, never read */
	struct channel_module *lists;
	struct unwind_row *rows;
	u64 *rules, *ranges, *known;
	u64 rows_max, generation, seed;
	u32 list;
	struct entry *entries; /* ascending by start */
	size_t n_entries, cap_entries;
	struct block *blocks; /* ascending by first */
	size_t n_blocks, cap_blocks;
	bool removed, said;
};

static bool fits(size_t size, u64 offset, u64 n, size_t item)
{
	return offset <= size && offset % 8 == 0 && n <= (size - offset) / item;
}

static void *at_offset(struct channel *channel, u64 offset)
{
	return (u8 *)channel + offset;
}

struct tables *tables_create(struct channel *channel, size_t size, struct err *err)
{
	struct channel layout = *channel;
	struct tables *t;

	if (size < sizeof(layout) || layout.rows_max > UINT32_MAX ||
	    !fits(size, layout.modules, 2ULL * CHANNEL_MODULES, sizeof(struct channel_module)) ||
	    !fits(size, layout.rows, layout.rows_max, sizeof(struct unwind_row)) ||
	    !fits(size, layout.rules, CHANNEL_RULES, sizeof(u64)) ||
	    !fits(size, layout.ranges, CHANNEL_RANGES, sizeof(u64)) ||
	    !fits(size, layout.known, CHANNEL_KNOWN, sizeof(u64))) {
		err_set(err, EINVAL, "the channel is not laid out as it should be");
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(err, ENOMEM, "no memory for the agent's unwind tables");
		return NULL;
	}
	t->channel = channel;
	t->lists = at_offset(channel, layout.modules);
	t->rows = at_offset(channel, layout.rows);
	t->rules = at_offset(channel, layout.rules);
	t->ranges = at_offset(channel, layout.ranges);
	t->known = at_offset(channel, layout.known);
	t->rows_max = layout.rows_max;
	t->generation = layout.generation & ~1ULL;
	t->seed = layout.seed;
	return t;
}

void tables_destroy(struct tables *t)
{
	if (!t)
		return;
	free(t->entries);
	free(t->blocks);
	free(t);
}

/* The first gap of n rows between blocks, or behind them: where, and the index of the block behind it. */
static bool find_gap(const struct tables *t, u32 n, u32 *first, size_t *index)
{
	u64 end = 0;

	for (size_t i = 0; i <= t->n_blocks; i++) {
		u64 next = i < t->n_blocks ? t->blocks[i].first : t->rows_max;

		if (next - end >= n) {
			*first = (u32)end;
			*index = i;
			return true;
		}
		if (i < t->n_blocks)
			end = (u64)t->blocks[i].first + t->blocks[i].n;
	}
	return false;
}

static void drop_unused(struct tables *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_blocks; i++)
		if (t->blocks[i].users || t->blocks[i].listed)
			t->blocks[n++] = t->blocks[i];
	t->n_blocks = n;
}

/* A block with these rows, counted as used once more. 0, -ENOSPC, -ENOMEM. */
static int take_block(struct tables *t, const struct unwind_row *rows, u32 n, u32 *first)
{
	size_t at;

	for (size_t i = 0; i < t->n_blocks; i++) {
		struct block *b = &t->blocks[i];

		if (b->key != rows || b->n != n)
			continue;
		/* Nobody uses it: the memory of rows may be another table's by now. */
		if (b->users++ == 0)
			memcpy(t->rows + b->first, rows, n * sizeof(*rows));
		*first = b->first;
		return 0;
	}
	if (vec_reserve((void **)&t->blocks, &t->cap_blocks, t->n_blocks + 1, sizeof(*t->blocks)))
		return -ENOMEM;
	if (!find_gap(t, n, first, &at)) {
		drop_unused(t);
		if (!find_gap(t, n, first, &at))
			return -ENOSPC;
	}
	memmove(t->blocks + at + 1, t->blocks + at, (t->n_blocks - at) * sizeof(*t->blocks));
	t->blocks[at] = (struct block){.key = rows, .first = *first, .n = n, .users = 1};
	t->n_blocks++;
	memcpy(t->rows + *first, rows, n * sizeof(*rows));
	return 0;
}

static void put_block(struct tables *t, const struct entry *e)
{
	for (size_t i = 0; e->n && i < t->n_blocks; i++) {
		struct block *b = &t->blocks[i];

		if (b->first == e->first) {
			b->users--;
			b->listed = true;
			return;
		}
	}
}

int tables_add(struct tables *t, u32 id, u64 start, u64 end, const struct unwind_rows *rows,
	       struct err *err)
{
	struct entry e = {.id = id, .start = start, .end = end, .base = rows->base};
	size_t at = t->n_entries;
	int ret = 0;

	if (vec_reserve((void **)&t->entries, &t->cap_entries, t->n_entries + 1, sizeof(e)))
		return err_set(err, ENOMEM, "no memory for %zu unwind tables", t->n_entries + 1);
	if (rows->n > t->rows_max || t->n_entries >= CHANNEL_MODULES)
		ret = -ENOSPC;
	else if (rows->n)
		ret = take_block(t, rows->rows, (u32)rows->n, &e.first);
	if (ret == -ENOMEM)
		return err_set(err, ENOMEM, "no memory for %zu unwind tables", t->n_entries + 1);
	if (!ret)
		e.n = (u32)rows->n;
	while (at > 0 && t->entries[at - 1].start > start)
		at--;
	memmove(t->entries + at + 1, t->entries + at, (t->n_entries - at) * sizeof(e));
	t->entries[at] = e;
	t->n_entries++;
	if (!ret || t->said)
		return 0;
	t->said = true;
	return err_set(err, ENOSPC,
		       "no room for the unwind tables of all modules: their stacks may be cut");
}

void tables_remove(struct tables *t, u32 id)
{
	for (size_t i = 0; i < t->n_entries; i++) {
		if (t->entries[i].id != id)
			continue;
		put_block(t, &t->entries[i]);
		t->n_entries--;
		memmove(t->entries + i, t->entries + i + 1,
			(t->n_entries - i) * sizeof(*t->entries));
		t->removed = true;
		return;
	}
}

static u32 list_piece(struct channel_module *list, u32 n, const struct entry *e, u64 start, u64 end)
{
	if (start >= end || n == CHANNEL_MODULES)
		return n;
	list[n] = (struct channel_module){
		.start = start, .end = end, .base = e->base, .first = e->first, .n = e->n};
	return n + 1;
}

/*
 * Pieces that do not overlap: an entry covers what begins at its start up to its
 * end, but for where later ones begin; what it has behind them comes after them.
 * open holds the entries that are not over yet, the outermost first.
 */
static u32 write_list(const struct tables *t, struct channel_module *list)
{
	const struct entry *open[8];
	size_t n_open = 0;
	u64 from = 0;
	u32 n = 0;

	for (size_t i = 0; i <= t->n_entries; i++) {
		const struct entry *next = i < t->n_entries ? &t->entries[i] : NULL;
		u64 start = next ? next->start : UINT64_MAX;

		while (n_open > 0) {
			const struct entry *top = open[n_open - 1];

			n = list_piece(list, n, top, from, top->end < start ? top->end : start);
			if (top->end > start) {
				from = start;
				break;
			}
			from = top->end > from ? top->end : from;
			n_open--;
		}
		if (!next)
			break;
		/* Deeper than anything real: what is outermost is over. */
		if (n_open == ARRAY_SIZE(open)) {
			memmove(open, open + 1, (n_open - 1) * sizeof(*open));
			n_open--;
		}
		open[n_open++] = next;
		from = start;
	}
	return n;
}

static void new_seed(struct tables *t)
{
	u64 seed;

	/* Without randomness any other number will do. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == (ssize_t)sizeof(seed))
		t->seed = seed;
	else
		t->seed = t->seed * 0xd1342543de82ef95ULL + 1;
}

void tables_publish(struct tables *t)
{
	struct channel *channel = t->channel;
	u32 other = !t->list, n;

	__atomic_store_n(&channel->generation, t->generation + 1, __ATOMIC_SEQ_CST);
	n = write_list(t, t->lists + (size_t)other * CHANNEL_MODULES);
	__atomic_store_n(&channel->modules_n[other], n, __ATOMIC_RELAXED);
	__atomic_store_n(&channel->list, other, __ATOMIC_RELEASE);
	memset(t->rules, 0, CHANNEL_RULES * sizeof(*t->rules));
	memset(t->ranges, 0, CHANNEL_RANGES * sizeof(*t->ranges));
	if (t->removed) {
		memset(t->known, 0, CHANNEL_KNOWN * sizeof(*t->known));
		new_seed(t);
		__atomic_store_n(&channel->seed, t->seed, __ATOMIC_RELAXED);
	}
	t->generation += 2;
	__atomic_store_n(&channel->generation, t->generation, __ATOMIC_SEQ_CST);
	t->list = other;
	t->removed = false;
	for (size_t i = 0; i < t->n_blocks; i++)
		t->blocks[i].listed = false;
}
