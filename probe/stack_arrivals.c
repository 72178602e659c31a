// SPDX-License-Identifier: MIT
#include "probe/stack_arrivals.h"

#include <stdlib.h>
#include <string.h>

/* More than threads that send a new stack at the same instant; the oldest gives way. */
#define PLACES 32

struct stack_arrivals {
	struct arrived_stack places[PLACES];
	u32 next;
};

struct stack_arrivals *stack_arrivals_create(void)
{
	return calloc(1, sizeof(struct stack_arrivals));
}

void stack_arrivals_destroy(struct stack_arrivals *a)
{
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
