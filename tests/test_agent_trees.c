// SPDX-License-Identifier: MIT
/*
 * Random trees of calls, of functions that keep rbp and such that use it, with and
 * without variable frames, left by return and by longjmp. Walked with a memo and
 * without; the frames are those that memattach's
 * own walker finds.
 */
#include <alloca.h>
#include <setjmp.h>

#include "tests/agent_host.h"
#include "tests/agent_probe.h"
#include "tests/suites.h"

#define NOINLINE       __attribute__((noinline))
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

static struct host host;
static u64 random_state;
static unsigned calls, budget;
static jmp_buf escapes[40];

static u32 below(u32 n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)(random_state >> 33) % n;
}

static void compare_sent(u64 sp, u64 bp, u64 hash)
{
	static struct host_stack expected;
	u64 pcs[CHANNEL_DEPTH_MAX], sent;
	unsigned end;
	int n = stand_in_stack(0, pcs, CHANNEL_DEPTH_MAX, &end, &sent);

	host_reference(&host, &expected, sp, bp);
	host_assert(n == (int)expected.n - 1 && end == expected.end && sent == hash);
	host_assert(memcmp(pcs, expected.pcs + 1, (u32)n * sizeof(pcs[0])) == 0);
}

static void compare_memo(u64 sp, u64 bp)
{
	struct channel *channel = host.channel;
	u64 memos = channel->memos, hash, plain;

	/* Now and then as if it were new, to see the frames. */
	if (calls++ % 256 == 0)
		memset((char *)channel + channel->known, 0, CHANNEL_KNOWN * sizeof(u64));
	stand_in.n = 0;
	hash = host_walk(channel, &host.threads[1], sp, bp);
	if (stand_in.n)
		compare_sent(sp, bp, hash);
	channel->memos = 0;
	plain = host_walk(channel, &host.threads[2], sp, bp);
	channel->memos = memos;
	host_assert(hash == plain);
}

static void branch(u32 depth);

NOINLINE static void plain_call(u32 depth)
{
	branch(depth);
	NO_TAIL_CALL();
}

NOINLINE static void variable_call(u32 depth)
{
	char *more = alloca(16 + below(200));

	__asm__ volatile("" ::"r"(more) : "memory");
	branch(depth);
	NO_TAIL_CALL();
}

/* rbp is a number like any other here. */
NOINLINE static void busy_call(u32 depth)
{
	u64 a = random_state, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;

	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	branch(depth);
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
}

NOINLINE static void guarded_call(u32 depth)
{
	if (!setjmp(escapes[depth]))
		branch(depth);
	NO_TAIL_CALL();
}

NOINLINE static void branch(u32 depth)
{
	u32 n = 1 + below(4);

	for (u32 i = 0; i < n && budget; i++) {
		u32 kind = depth < 39 ? below(9) : 9;

		if (kind < 2)
			plain_call(depth + 1);
		else if (kind < 4)
			variable_call(depth + 1);
		else if (kind < 6)
			busy_call(depth + 1);
		else if (kind < 7)
			guarded_call(depth + 1);
		if (budget) {
			budget--;
			agent_probe();
		}
		if (kind == 8 && depth > 2 && below(20) == 0)
			longjmp(escapes[0], 1);
	}
	NO_TAIL_CALL();
}

START_TEST(call_trees)
{
	agent_hook = compare_memo;
	calls = 0;
	host_open(&host);
	random_state = 1 + (u64)_i;
	budget = 100000;
	host.channel->depth = _i ? 20 : 64;
	(void)setjmp(escapes[0]);
	while (budget)
		branch(1);
	ck_assert_uint_ge(calls, 100000);
	host_close(&host);
}
END_TEST

Suite *agent_trees_suite(void)
{
	Suite *s = suite_create("agent_trees");
	TCase *tc = tcase_create("trees");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, call_trees, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
