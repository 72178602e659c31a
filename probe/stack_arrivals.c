// SPDX-License-Identifier: MIT
#include "probe/stack_arrivals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* More than threads that send a new stack at the same instant; the oldest gives way. */
#define PLACES 32

struct known_stack {
	u64 hash;
	u32 id;
	bool used;
};

/* Open addressing; a power of 2 of places. */
struct known_stacks {
	struct known_stack *items;
	size_t cap, n;
};

struct stack_arrivals {
	struct arrived_stack places[PLACES];
	u32 next;
	struct known_stacks now, before; /* before they were forgotten the last time */
};

#define KNOWN_MIN 1024

/* So many stacks have to come before those of a time that is over are forgotten. */
#define FORGET_MIN 65536

static int known_init(struct known_stacks *k, size_t cap)
{
	*k = (struct known_stacks){.items = calloc(cap, sizeof(*k->items)), .cap = cap};
	return k->items ? 0 : -ENOMEM;
}

struct stack_arrivals *stack_arrivals_create(void)
{
	struct stack_arrivals *a = calloc(1, sizeof(*a));

	if (a && (known_init(&a->now, KNOWN_MIN) || known_init(&a->before, KNOWN_MIN))) {
		stack_arrivals_destroy(a);
		a = NULL;
	}
	return a;
}

void stack_arrivals_destroy(struct stack_arrivals *a)
{
	if (!a)
		return;
	free(a->now.items);
	free(a->before.items);
	free(a);
}

static struct arrived_stack *place_of(struct stack_arrivals *a, u64 sp)
{
	for (u32 i = 0; i < PLACES; i++)
		if (a->places[i].open && a->places[i].sp == sp)
			return &a->places[i];
	return NULL;
}

void stack_arrivals_begin(struct stack_arrivals *a, u64 sp, u64 hash)
{
	struct arrived_stack *s = place_of(a, sp);

	if (!s)
		s = &a->places[a->next++ % PLACES];
	s->open = true;
	s->sp = sp;
	s->hash = hash;
	s->n = 0;
}

void stack_arrivals_add(struct stack_arrivals *a, u64 sp, const u64 pcs[3])
{
	struct arrived_stack *s = place_of(a, sp);

	if (!s)
		return;
	if (s->n + 3 > CHANNEL_DEPTH_MAX + 2) {
		s->open = false;
		return;
	}
	memcpy(s->pcs + s->n, pcs, 3 * sizeof(u64));
	s->n += 3;
}

const struct arrived_stack *stack_arrivals_end(struct stack_arrivals *a, u64 sp, u64 hash,
					       u64 count)
{
	struct arrived_stack *s = place_of(a, sp);
	u32 n = (u32)count, end = (u32)(count >> 32);

	if (!s)
		return NULL;
	s->open = false;
	/* The last piece is filled up. */
	if (s->hash != hash || n > s->n || s->n - n > 2 || end > CHANNEL_LOST ||
	    n > CHANNEL_DEPTH_MAX)
		return NULL;
	s->n = n;
	s->end = end == CHANNEL_OUTERMOST ? UNWIND_OUTERMOST
		 : end == CHANNEL_DEPTH   ? UNWIND_DEPTH
					  : UNWIND_LOST;
	return s;
}

static struct known_stack *find(const struct known_stacks *known, u64 hash)
{
	size_t i = hash_u64(hash) & (known->cap - 1);

	while (known->items[i].used && known->items[i].hash != hash)
		i = (i + 1) & (known->cap - 1);
	return &known->items[i];
}

static int grow(struct known_stacks *known)
{
	struct known_stacks bigger;

	if (known_init(&bigger, known->cap * 2))
		return -ENOMEM;
	for (size_t i = 0; i < known->cap; i++)
		if (known->items[i].used)
			*find(&bigger, known->items[i].hash) = known->items[i];
	bigger.n = known->n;
	free(known->items);
	*known = bigger;
	return 0;
}

int stack_arrivals_learn(struct stack_arrivals *a, u64 hash, u32 id)
{
	struct known_stack *k;

	if (a->now.n * 2 >= a->now.cap && grow(&a->now))
		return -ENOMEM;
	k = find(&a->now, hash);
	a->now.n += !k->used;
	*k = (struct known_stack){.hash = hash, .id = id, .used = true};
	return 0;
}

int stack_arrivals_find(const struct stack_arrivals *a, u64 hash, u32 *id)
{
	const struct known_stack *k = find(&a->now, hash);

	if (!k->used)
		k = find(&a->before, hash);
	if (!k->used)
		return -ENOENT;
	*id = k->id;
	return 0;
}

void stack_arrivals_forget(struct stack_arrivals *a)
{
	struct known_stacks old = a->before;

	/*
	 * A hash is of its time, by the seed, and hurts nobody later. A thread that had
	 * found it may not have had a CPU while modules changed over and over.
	 */
	if (a->now.n < FORGET_MIN)
		return;
	a->before = a->now;
	memset(old.items, 0, old.cap * sizeof(*old.items));
	old.n = 0;
	a->now = old;
}
