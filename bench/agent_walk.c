// SPDX-License-Identifier: MIT
/*
 * What a walk of the agent's costs, in this process: stacks of 20 frames and more, the
 * same one again and again, or two in turn that differ in their inner frames; with
 * a memo of the last walk, and without.
 */
#include <stdio.h>

#include "base/clock.h"
#include "tests/agent_host.h"
#include "tests/agent_probe.h"

#define WALKS 3000000U

static struct host host;
static volatile u64 sink;
static u64 frames;

static void walk(uint64_t sp, uint64_t bp)
{
	sink = host_walk(host.channel, &host.threads[0], sp, bp);
}

static void nothing(uint64_t sp, uint64_t bp)
{
	sink = sp + bp;
}

static void count(uint64_t sp, uint64_t bp)
{
	struct host_stack stack;
	u32 depth = host.channel->depth;

	host.channel->depth = CHANNEL_DEPTH_MAX;
	host_reference(&host, &stack, sp, bp);
	host.channel->depth = depth;
	frames = stack.n - 1;
}

typedef void (*run_fn)(unsigned walks);

/* A function that calls the next one, and is no jump. */
#define LINK(name, next)                                                                           \
	static __attribute__((noinline)) void name(unsigned n)                                     \
	{                                                                                          \
		char pad[40];                                                                      \
		__asm__ volatile("" ::"r"(pad) : "memory");                                        \
		next(n);                                                                           \
		__asm__ volatile("" ::"r"(pad) : "memory");                                        \
	}

static __attribute__((noinline)) void same(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		agent_probe();
}

static __attribute__((noinline)) void leaf(unsigned n)
{
	(void)n;
	agent_probe();
	__asm__ volatile("" ::: "memory");
}

LINK(a5, leaf)
LINK(a4, a5)
LINK(a3, a4)
LINK(a2, a3)
LINK(b5, leaf)
LINK(b4, b5)
LINK(b3, b4)
LINK(b2, b3)

static __attribute__((noinline)) void in_turn(unsigned n)
{
	for (unsigned i = 0; i < n / 2; i++) {
		a2(0);
		b2(0);
	}
}

static run_fn innermost;

static __attribute__((noinline)) void last(unsigned n)
{
	innermost(n);
	__asm__ volatile("" ::: "memory");
}

LINK(c10, last)
LINK(c9, c10)
LINK(c8, c9)
LINK(c7, c8)
LINK(c6, c7)
LINK(c5, c6)
LINK(c4, c5)
LINK(c3, c4)
LINK(c2, c3)
LINK(c1, c2)

static __attribute__((noinline)) void deeper(unsigned n, unsigned more)
{
	if (more)
		deeper(n, more - 1);
	else
		c1(n);
	__asm__ volatile("" ::: "memory");
}

static double nanoseconds(agent_hook_fn hook, unsigned more)
{
	double best = 1e9;

	agent_hook = hook;
	deeper(1000, more);
	for (int i = 0; i < 5; i++) {
		u64 start = clock_ns();
		double ns;

		deeper(WALKS / 5, more);
		ns = (double)(clock_ns() - start) / (WALKS / 5.0);
		best = ns < best ? ns : best;
	}
	return best;
}

static void measure(const char *name, run_fn run, unsigned more)
{
	u64 memos = host.channel->memos;
	double base, memo, plain;

	innermost = run;
	agent_hook = count;
	deeper(2, more);
	base = nanoseconds(nothing, more);
	memo = nanoseconds(walk, more) - base;
	host.channel->memos = 0;
	host.threads[0].memo = 0;
	plain = nanoseconds(walk, more) - base;
	host.channel->memos = memos;
	printf("%-28s %3lu frames: %6.1f ns with a memo, %6.1f ns without\n", name,
	       (unsigned long)frames, memo, plain);
}

int main(void)
{
	host_open(&host);
	measure("the same stack", same, 5);
	measure("the same stack", same, 25);
	measure("the same stack", same, 45);
	measure("two, inner 5 frames differ", in_turn, 0);
	measure("two, inner 5 frames differ", in_turn, 20);
	measure("the same stack, cut", same, 100);
	measure("two, cut", in_turn, 100);
	host_close(&host);
	return 0;
}
