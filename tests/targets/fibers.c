// SPDX-License-Identifier: MIT
/*
 * An allocator that waits for memory as programs with fibers do: it switches to another
 * one in the middle of its call.
 *
 *	enter	a fiber begins an allocation	-> "inside"
 *	leave	and ends it			-> "left"
 */
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "talk.h"

#define STACK_SIZE 65536

static ucontext_t scheduler, fiber;

NOINLINE void *fiber_alloc(size_t size)
{
	char *block = malloc(size);

	swapcontext(&fiber, &scheduler);
	block[0] = 'f';
	return block;
}

static void *volatile last;

static void allocate_for_ever(void)
{
	for (;;) {
		last = fiber_alloc(100);
		if (!last || *(char *)last != 'f')
			hurt("the block is not what it was");
		free(last);
		swapcontext(&fiber, &scheduler);
	}
}

int main(void)
{
	const char *line;

	getcontext(&fiber);
	fiber.uc_stack.ss_sp = malloc(STACK_SIZE);
	fiber.uc_stack.ss_size = STACK_SIZE;
	makecontext(&fiber, allocate_for_ever, 0);
	say("ready");
	while ((line = hear())) {
		swapcontext(&scheduler, &fiber);
		say(strcmp(line, "enter") == 0 ? "inside" : "left");
	}
	return 0;
}
