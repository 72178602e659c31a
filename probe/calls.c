// SPDX-License-Identifier: MIT
#include "probe/calls.h"

#define RETURN_ADDRESS_SIZE 8

void calls_cut(struct calls *calls, u32 n, void (*dropped)(void *ctx, struct call *call), void *ctx)
{
	while (calls->n > n)
		dropped(ctx, &calls->items[--calls->n]);
	if (calls->barrier > calls->n)
		calls->barrier = 0;
}

int calls_match_return(const struct calls *calls, u64 ret, u64 sp)
{
	for (u32 i = calls->n; i-- > 0;)
		if (calls->items[i].ret == ret && calls->items[i].sp + RETURN_ADDRESS_SIZE == sp)
			return (int)i;
	return -1;
}

u32 calls_alive(const struct calls *calls, u64 sp)
{
	u32 n = calls->n;

	/* A handler on an alternate stack has a stack pointer that says nothing about those below. */
	while (n > calls->barrier && calls->items[n - 1].sp <= sp)
		n--;
	return n;
}
