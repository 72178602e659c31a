// SPDX-License-Identifier: MIT
/*
 * Stacks of one class, that is with the same stack pointer and return address, which come in
 * turn: each of two has a memo, and the walk finds the right one.
 */
#include "agent/recall.h"
#include "tests/agent_synthetic.h"
#include "tests/suites.h"

#define DEPTH 30U

static struct synthetic syn;

/* The n-th stack: with its big function, all return addresses but the innermost are in other places. */
static u64 build(u32 n)
{
	u32 functions[DEPTH];

	for (u32 i = 0; i < DEPTH; i++)
		functions[i] = i ? 3U + 2 * (i % 2) : SYN_FIRST;
	functions[5 + n] = SYN_BIG;
	return syn_build(&syn, functions, DEPTH);
}

static struct agent_memos *memos_of_1(void)
{
	return (struct agent_memos *)syn.h.threads[1].memo;
}

/* Walks the n-th stack. Returns the memo that has it. */
static struct agent_memo *walk(u32 n)
{
	u64 sp = build(n);
	struct agent_memo *memo;

	host_assert(syn_walk_both(&syn, sp, 0));
	memo = agent_memo_for(memos_of_1(), sp, *syn_word(sp));
	host_assert(memo->slot == sp && memo->frames == DEPTH);
	host_assert(memo->top == memo->known_top && memos_of_1()->busy == 0);
	return memo;
}

/* What a walk of thread 1 knows at its beginning. */
static struct recall recall_of_1(void)
{
	u64 generation = syn.h.channel->generation;

	return (struct recall){syn.h.channel, generation, rule_key(generation),
			       syn.h.threads[1].stack};
}

START_TEST(two_in_turn)
{
	struct agent_memo *memo[2], kept[2];

	syn_open_by_hand(&syn, 21);
	for (u32 i = 0; i < 2; i++)
		walk(i);
	for (u32 i = 0; i < 2; i++)
		kept[i] = *(memo[i] = walk(i));
	ck_assert_ptr_ne(memo[0], memo[1]);
	/* A walk writes its steps there. */
	memos_of_1()->step[0].slot = 0;
	for (u32 round = 0; round < 200; round++) {
		u32 i = syn_below(&syn, 2);

		ck_assert_ptr_eq(walk(i), memo[i]);
	}
	ck_assert_uint_eq(memos_of_1()->step[0].slot, 0);
	for (u32 i = 0; i < 2; i++) {
		ck_assert_mem_eq(memo[i]->word, kept[i].word, sizeof(kept[i].word));
		ck_assert_mem_eq(memo[i]->more, kept[i].more, sizeof(kept[i].more));
	}
	syn_close(&syn);
}
END_TEST

/* The one that was used longer ago gives way. */
START_TEST(a_third_one)
{
	struct agent_memo *memo[3];

	syn_open_by_hand(&syn, 22);
	memo[0] = walk(0);
	memo[1] = walk(1);
	memo[2] = walk(2);
	ck_assert_ptr_eq(memo[2], memo[0]);
	ck_assert_ptr_eq(walk(1), memo[1]);
	ck_assert_ptr_eq(walk(2), memo[2]);
	ck_assert_ptr_eq(walk(0), memo[1]);
	ck_assert_ptr_eq(walk(2), memo[2]);
	syn_close(&syn);
}
END_TEST

/* Of somebody who has used the memos in the middle of a walk that goes on: neither is to be believed. */
START_TEST(used_by_another)
{
	struct agent_memo *memo[2];
	struct recall recall;
	u64 sp;

	syn_open_by_hand(&syn, 23);
	memo[0] = walk(0);
	memo[1] = walk(1);
	sp = build(0);
	recall = recall_of_1();
	/* The walk began at sp, and has asked memo[1]. */
	memos_of_1()->busy = sp + 8;
	ck_assert_uint_eq(agent_walk_on(&recall, &syn.h.threads[1], memos_of_1(), memo[1], sp, 0),
			  0);
	ck_assert_uint_eq(memo[0]->generation, MEMO_INVALID);
	ck_assert_uint_eq(memo[1]->generation, MEMO_INVALID);
	ck_assert_uint_eq(memos_of_1()->busy, 0);
	walk(0);
	walk(1);
	ck_assert_ptr_ne(walk(0), walk(1));
	syn_close(&syn);
}
END_TEST

/* Modules have changed, and with them all hashes. */
START_TEST(another_generation)
{
	syn_open_by_hand(&syn, 24);
	for (u32 round = 0; round < 5; round++) {
		for (u32 i = 0; i < 4; i++)
			walk(i % 2);
		syn_publish(&syn);
	}
	syn_close(&syn);
}
END_TEST

/* They change while the second memo is asked: what it says is of no use. */
START_TEST(another_generation_on_the_way)
{
	struct agent_memo *memo[2];
	struct recall recall;
	u64 sp;

	syn_open_by_hand(&syn, 26);
	memo[0] = walk(0);
	memo[1] = walk(1);
	sp = build(0);
	recall = recall_of_1();
	syn.h.channel->generation += 2;
	ck_assert(agent_memos_take(memos_of_1(), sp));
	ck_assert(agent_walk_on(&recall, &syn.h.threads[1], memos_of_1(), memo[1], sp, 0));
	ck_assert_uint_eq(memo[0]->generation, recall.generation + 2);
	walk(0);
	syn_close(&syn);
}
END_TEST

/* Those of another set, which a thread that has changed stacks may bring, are left alone. */
START_TEST(a_memo_of_others)
{
	struct agent_memo *other;
	struct recall recall;
	u64 sp;

	syn_open_by_hand(&syn, 27);
	walk(0);
	host_walk(syn.h.channel, &syn.h.threads[3], build(0), 0);
	other = ((struct agent_memos *)syn.h.threads[3].memo)->of + 5;
	sp = build(1);
	recall = recall_of_1();
	ck_assert(agent_memos_take(memos_of_1(), sp));
	ck_assert_uint_eq(agent_walk_on(&recall, &syn.h.threads[1], memos_of_1(), other, sp, 0), 0);
	ck_assert_uint_eq(memos_of_1()->busy, 0);
	for (u32 i = 0; i <= memos_of_1()->mask; i++)
		ck_assert_uint_le(memos_of_1()->last[i], memos_of_1()->mask);
	walk(0);
	walk(1);
	syn_close(&syn);
}
END_TEST

/* Memos that another thread has had: each class begins with its own. */
START_TEST(given_back)
{
	struct agent_memos *memos;

	syn_open_by_hand(&syn, 28);
	walk(0);
	memos = memos_of_1();
	ck_assert_uint_le(memos->mask + 1, MEMO_CLASSES);
	for (u32 i = 0; i < MEMO_CLASSES; i++)
		memos->last[i] = 0xff;
	syn.h.threads[1].memo = 0;
	syn.h.channel->memos_taken[0] = 0;
	host_walk(syn.h.channel, &syn.h.threads[1], build(0), 0);
	ck_assert_ptr_eq(memos_of_1(), memos);
	for (u32 i = 0; i <= memos->mask; i++)
		ck_assert_uint_eq(memos->last[i], i);
	walk(0);
	walk(1);
	syn_close(&syn);
}
END_TEST

/* Of a thread that has few memos, and many classes in each. */
START_TEST(few_memos)
{
	syn_open_by_hand(&syn, 25);
	walk(0);
	memos_of_1()->mask = 3;
	for (u32 i = 0; i <= 3; i++)
		memos_of_1()->last[i] = (u8)i;
	for (u32 round = 0; round < 300; round++)
		walk(syn_below(&syn, 20));
	syn_close(&syn);
}
END_TEST

Suite *agent_turns_suite(void)
{
	Suite *s = suite_create("agent_turns");
	TCase *tc = tcase_create("turns");

	tcase_add_test(tc, two_in_turn);
	tcase_add_test(tc, a_third_one);
	tcase_add_test(tc, used_by_another);
	tcase_add_test(tc, another_generation);
	tcase_add_test(tc, another_generation_on_the_way);
	tcase_add_test(tc, a_memo_of_others);
	tcase_add_test(tc, given_back);
	tcase_add_test(tc, few_memos);
	suite_add_tcase(s, tc);
	return s;
}
