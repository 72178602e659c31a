// SPDX-License-Identifier: MIT
/*
 * Walks with a memo of the one before against walks without, on stacks that change
 * in every way between them: the hash is the same, always, and the frames that are
 * sent are those that are there.
 */
#include <signal.h>
#include <sys/time.h>

#include "agent/memo.h"
#include "tests/agent_synthetic.h"
#include "tests/suites.h"

static struct synthetic syn;

static u32 random_rule(struct synthetic *s)
{
	static const u32 kinds[] = {UNWIND_RSP, UNWIND_RSP,       UNWIND_RSP, UNWIND_RSP,
				    UNWIND_RBP, UNWIND_RBP_DEREF, UNWIND_PLT, UNWIND_NONE};
	static const u32 saved[] = {0, 0, 0, 0, 2, 2, 2, 3, 4, UNWIND_RBP_AT_RBP};
	u32 kind = kinds[syn_below(s, ARRAY_SIZE(kinds))];
	u32 rbp = saved[syn_below(s, ARRAY_SIZE(saved))];
	s32 offset = 8 * (s32)(1 + syn_below(s, 6));

	if (syn_below(s, 60) == 0)
		kind = UNWIND_FIRST + syn_below(s, 2);
	if (syn_below(s, 40) == 0)
		kind = syn_below(s, 2) ? UNWIND_OURS : UNWIND_SIGNAL;
	if (syn_below(s, 200) == 0)
		offset = -8;
	if (kind == UNWIND_PLT)
		offset = 8 * (s32)syn_below(s, 16);
	return unwind_rule((enum unwind_row_kind)kind, rbp, offset);
}

/* Half of the functions have a rule that others have, too. */
static void random_rules(struct synthetic *s)
{
	for (u32 i = 0; i < SYN_FUNCTIONS; i++)
		s->rows[i].rule = i % 2 && i > 16 ? s->rows[i % 16].rule : random_rule(s);
}

/* What may lie on a stack: return addresses mostly, addresses in the stack, numbers. */
static u64 random_word(struct synthetic *s)
{
	u32 kind = syn_below(s, 40);

	if (kind < 27)
		return syn_pc(syn_below(s, SYN_FUNCTIONS));
	if (kind < 37)
		return s->low + syn_below(s, SYN_STACK / 8) * 8ULL;
	if (kind == 37)
		return syn_random(s);
	return kind == 38 ? 0 : syn_below(s, 4096);
}

/* Addresses near the one before, as frame pointers are: 64 words are enough to make chains. */
static u64 near(struct synthetic *s, u64 address)
{
	u64 at = address + 8 * (1 + syn_below(s, 12));

	return at < s->high - 64 ? at : s->low;
}

static void fill_stack(struct synthetic *s, u64 from, u32 words)
{
	for (u64 at = from; words-- > 0 && at < s->high; at += 8)
		*syn_word(at) = syn_below(s, 4) ? random_word(s) : near(s, at);
}

static void change_words(struct synthetic *s, u64 sp)
{
	for (u32 n = 1 + syn_below(s, 3); n > 0; n--) {
		u64 *word = syn_word(sp + 8ULL * syn_below(s, 200));
		u64 function = (*word - SYN_CODE) / SYN_FUNCTION;

		/* Often by a function that has the same rule. */
		if (function < SYN_FUNCTIONS - 16 && syn_below(s, 3))
			*word = syn_pc((u32)function + 16);
		else
			*word = random_word(s);
	}
}

/* What a program does between two calls. */
static void change(struct synthetic *s, u64 *sp, u64 *bp)
{
	u32 n = 1 + syn_below(s, 12);

	switch (syn_below(s, 8)) {
	case 0: /* the same again */
		break;
	case 1: /* a call from another place */
		*syn_word(*sp) = random_word(s);
		break;
	case 2: /* something further out */
		change_words(s, *sp);
		break;
	case 3: /* calls */
		if (*sp - 8 * n > s->low)
			*sp -= 8 * n;
		fill_stack(s, *sp, n);
		break;
	case 4: /* returns */
		*sp += 8 * n;
		break;
	case 5: /* longjmp */
		*sp += 8 * (u64)syn_below(s, 100);
		break;
	case 6:
		*bp = syn_below(s, 2) ? near(s, *sp) : random_word(s);
		break;
	default: /* sp and rbp move together */
		*sp += 8;
		*bp = near(s, *sp);
		break;
	}
	if (*sp > s->high - 4096 || syn_below(s, 2000) == 0)
		*sp = s->low + 4096 + 8ULL * syn_below(s, 1024);
	if (syn_below(s, 5000) == 0)
		fill_stack(s, s->low, SYN_STACK / 8);
}

/* Stacks of random words: a walk is what it is, and a memo makes no difference to it. */
START_TEST(random_stacks)
{
	u64 sp, bp;

	syn_open(&syn, 1 + (u64)_i);
	random_rules(&syn);
	syn_publish(&syn);
	syn.h.channel->depth = 1 + syn_below(&syn, 100);
	fill_stack(&syn, syn.low, SYN_STACK / 8);
	sp = syn.low + 4096;
	bp = sp + 64;
	for (u32 round = 0; round < 100000; round++) {
		stand_in.n = 0;
		syn_walk_both(&syn, sp, bp);
		change(&syn, &sp, &bp);
		if (syn_below(&syn, 500) == 0) {
			/* Other modules: what was remembered is void. */
			for (u32 n = 0; n < 30; n++)
				syn.rows[syn_below(&syn, SYN_FUNCTIONS)].rule = random_rule(&syn);
			syn_publish(&syn);
		}
	}
	syn_close(&syn);
}
END_TEST

/* A program that runs: what its stack is known. */
struct frame {
	u64 pc;       /* the return address into it */
	u64 sp, bp;   /* as they were before it made its call */
	u32 function; /* its rule is that of rows */
};

#define PROGRAM_FRAMES 300U

struct program {
	struct frame frames[PROGRAM_FRAMES]; /* outermost first */
	u32 n;
};

/*
 * Function i is entered: with the return address at sp, and rbp as its caller has
 * it. It makes its frame as its rule says, and is about to make a call.
 */
static void enter(struct synthetic *s, struct program *p, u32 function, u64 sp, u64 bp)
{
	u32 rule = s->rows[function].rule, field = unwind_rule_rbp(rule);
	u64 cfa = sp + 8, offset = (u64)unwind_rule_offset(rule);
	struct frame *f = &p->frames[p->n++];

	f->function = function;
	f->pc = syn_pc(function);
	f->bp = bp;
	/* Calls push the return address at f->sp - 8. */
	switch (unwind_rule_kind(rule)) {
	case UNWIND_RSP:
		f->sp = cfa - offset;
		if (field)
			*syn_word(cfa - 8 * field) = bp;
		/* What is saved is there to be used. */
		if (field)
			f->bp = syn_random(s);
		break;
	case UNWIND_RBP:
		*syn_word(cfa - 16) = bp;
		f->bp = cfa - 16;
		f->sp = cfa - 16 - 8 * (u64)syn_below(s, 20);
		break;
	default: /* UNWIND_NONE: push %rbp; mov %rsp, %rbp */
		*syn_word(cfa - 16) = bp;
		f->bp = cfa - 16;
		f->sp = cfa - 16 - 8 * (u64)syn_below(s, 5);
		break;
	}
}

static void call(struct synthetic *s, struct program *p)
{
	struct frame *caller = &p->frames[p->n - 1];
	u32 i = syn_below(s, SYN_FUNCTIONS - 1);

	/* Mostly the same few functions. */
	if (syn_below(s, 3))
		i %= 12;
	*syn_word(caller->sp - 8) = caller->pc;
	enter(s, p, i, caller->sp - 8, caller->bp);
}

static void start_program(struct synthetic *s, struct program *p)
{
	for (u32 i = 0; i < SYN_FUNCTIONS; i++) {
		u32 kind = syn_below(s, 10);
		u32 field = syn_below(s, 3) == 0 ? 2 : 0;
		s32 size = 8 * (s32)(1 + (field ? 1 : 0) + syn_below(s, 6));

		s->rows[i].rule = kind < 7   ? unwind_rule(UNWIND_RSP, field, size)
				  : kind < 9 ? unwind_rule(UNWIND_RBP, 2, 16)
					     : unwind_rule(UNWIND_NONE, 0, 0);
	}
	s->rows[SYN_FUNCTIONS - 1].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(s);
	p->n = 1;
	p->frames[0] = (struct frame){syn_pc(SYN_FUNCTIONS - 1), s->high - 64, syn_random(s),
				      SYN_FUNCTIONS - 1};
}

/* What the model's own hash was for a hash of the agent's. */
#define SEEN (1U << 20)

struct seen {
	u64 agent, model;
};

static u64 model_hash(const struct program *p, u32 depth)
{
	u64 h = p->n > depth;

	for (u32 i = 0; i < p->n && i < depth; i++)
		h = (h ^ p->frames[p->n - 1 - i].pc) * 0x100000001b3ULL + (h >> 29);
	return h;
}

static void check_sent(const struct program *p, u32 depth, u64 hash)
{
	u64 pcs[CHANNEL_DEPTH_MAX], sent;
	unsigned end;
	int n = stand_in_stack(0, pcs, CHANNEL_DEPTH_MAX, &end, &sent);

	host_assert(n == (int)(p->n < depth ? p->n : depth));
	host_assert(sent == hash);
	host_assert(end == (p->n > depth ? CHANNEL_DEPTH : CHANNEL_OUTERMOST));
	for (int i = 0; i < n; i++)
		host_assert(pcs[i] == p->frames[p->n - 1 - (u32)i].pc - 1);
}

/* The hash of the agent's and the model's tell the same stacks apart. */
static void check_hash(struct seen *seen, u64 agent, u64 model)
{
	for (u64 at = agent % SEEN;; at = (at + 1) % SEEN) {
		if (!seen[at].agent)
			seen[at] = (struct seen){agent, model};
		if (seen[at].agent == agent) {
			host_assert(seen[at].model == model);
			return;
		}
	}
}

START_TEST(programs)
{
	static struct program p;
	struct seen *seen = calloc(SEEN, sizeof(*seen));
	u32 depth;

	ck_assert_ptr_nonnull(seen);
	syn_open(&syn, 77 + (u64)_i);
	start_program(&syn, &p);
	depth = syn.h.channel->depth = _i % 3 == 0 ? 64 : 1 + syn_below(&syn, 40);
	for (u32 round = 0; round < 200000; round++) {
		struct frame *top;
		u64 hash;

		for (u32 n = syn_below(&syn, 6); n > 0 && p.n > 1; n--)
			p.n--;
		if (syn_below(&syn, 1000) == 0)
			p.n = 1;
		for (u32 n = 1 + syn_below(&syn, 6); n > 0 && p.n < PROGRAM_FRAMES; n--)
			call(&syn, &p);
		if (round % 50000 > 49000)
			while (p.n < 200)
				call(&syn, &p);
		top = &p.frames[p.n - 1];
		*syn_word(top->sp - 8) = top->pc;
		stand_in.n = 0;
		hash = syn_walk_both(&syn, top->sp - 8, top->bp);
		if (stand_in.n)
			check_sent(&p, depth, hash);
		check_hash(seen, hash, model_hash(&p, depth));
	}
	free(seen);
	syn_close(&syn);
}
END_TEST

#define FIRST  SYN_FIRST
#define TWIN_A 1U
#define TWIN_B 2U
#define SMALL  3U
#define BIG    SYN_BIG

static u64 build(const u32 *functions, u32 n)
{
	return syn_build(&syn, functions, n);
}

/* Recursion much deeper than what is sent, step by step in and out. */
START_TEST(deep_recursion)
{
	u32 functions[300];

	syn_open_by_hand(&syn, 11);
	for (u32 i = 0; i < 300; i++)
		functions[i] = i ? SMALL + (i % 3 == 0) * 10 : FIRST;
	for (u32 n = 1; n < 300; n++)
		syn_walk_both(&syn, build(functions, n), 0);
	for (u32 n = 300; n > 0; n--)
		syn_walk_both(&syn, build(functions, n), 0);
	for (u32 n = 1; n < 300; n += syn_below(&syn, 60))
		syn_walk_both(&syn, build(functions, n), 0);
	for (u32 round = 0; round < 3000; round++)
		syn_walk_both(&syn, build(functions, 1 + syn_below(&syn, 299)), 0);
	syn_close(&syn);
}
END_TEST

/*
 * What is further out than all that was sent has changed, and nothing else. Then
 * a stack with bigger frames brings it into view.
 */
START_TEST(twins)
{
	u32 small[100], big[100];

	syn_open_by_hand(&syn, 12);
	for (u32 twin = 1; twin < 30; twin++) {
		for (u32 n = 40; n < 90; n++) {
			for (u32 i = 0; i < 100; i++)
				small[i] = big[i] = i ? SMALL : FIRST;
			small[twin] = TWIN_A;
			syn_walk_both(&syn, build(small, 82), 0);
			big[twin] = TWIN_B;
			for (u32 i = n < 80 ? n - 4 : 76; i < n; i++)
				big[i] = BIG;
			syn_walk_both(&syn, build(big, n), 0);
			small[twin] = TWIN_B;
			syn_walk_both(&syn, build(small, 82), 0);
			syn_walk_both(&syn, build(small, n), 0);
		}
	}
	syn_close(&syn);
}
END_TEST

/*
 * An outer return address changes, seen in a walk that then has to do without the
 * memo; after that the inner frames are what they were.
 */
START_TEST(changed_further_out)
{
	u32 functions[40];

	syn_open_by_hand(&syn, 13);
	syn.rows[TWIN_A].rule = unwind_rule(UNWIND_OURS, 0, 16);
	syn_publish(&syn);
	for (u32 round = 0; round < 4; round++) {
		for (u32 i = 0; i < 40; i++)
			functions[i] = i ? SMALL : FIRST;
		syn_walk_both(&syn, build(functions, 40), 0);
		functions[5 + round] = 20;
		/* Either not at all, or after some new frames. */
		functions[25 - round] = TWIN_A;
		functions[26 - round] = 30;
		syn_walk_both(&syn, build(functions, 26 + round / 2), 0);
		functions[25 - round] = functions[26 - round] = SMALL;
		syn_walk_both(&syn, build(functions, 40), 0);
	}
	syn_close(&syn);
}
END_TEST

/* A signal handler allocates while the walk that it has interrupted is anywhere. */
static volatile u64 handled, handler_hash, handler_busy;
static u64 handler_sp;

/* That of thread 1. */
static struct agent_memos *memos_of_1(void)
{
	host_assert(syn.h.threads[1].memo);
	return (struct agent_memos *)syn.h.threads[1].memo;
}

static void on_timer(int signo)
{
	u64 hash;

	(void)signo;
	/* Only from the middle of a walk is it of interest. */
	handler_busy += memos_of_1()->busy != 0;
	*syn_word(handler_sp) = syn_pc(1 + handled % 7);
	hash = host_walk(syn.h.channel, &syn.h.threads[1], handler_sp, 0);
	if (handled % 7 == 0) {
		if (!handler_hash)
			handler_hash = hash;
		host_assert(hash == handler_hash);
	}
	handled++;
}

START_TEST(interrupted)
{
	struct sigaction action = {.sa_handler = on_timer};
	struct itimerval timer = {{0, 50}, {0, 50}};
	static u64 expected[64];
	u64 sp[64], rounds = 0;

	syn_open(&syn, 5);
	/* The handler's stack comes to code of the agent's, as after an interrupted walk. */
	syn.rows[200].rule = unwind_rule(UNWIND_OURS, 0, 16);
	syn.rows[255].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(&syn);
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc((u32)(at / 8 % 100));
	*syn_word(syn.high - 1024) = *syn_word(syn.high - 1016) = syn_pc(255);
	handler_sp = syn.low + 1024;
	*syn_word(handler_sp + 80) = syn_pc(200);
	*syn_word(handler_sp + 160) = syn_pc(255);
	for (u32 i = 0; i < 64; i++) {
		sp[i] = syn.high - 1024 - 16 * (5 + i % 40);
		*syn_word(sp[i]) = syn_pc(100 + i % 20);
		expected[i] = host_walk(syn.h.channel, &syn.h.threads[2], sp[i], 0);
		*syn_word(sp[i]) = syn_pc((u32)(sp[i] / 8 % 100));
	}
	host_walk(syn.h.channel, &syn.h.threads[1], sp[0], 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (handled < 4000 && (handler_busy < 200 || handled < 1000)) {
		u32 i = (u32)(rounds++ * 7 % 64);

		*syn_word(sp[i]) = syn_pc(100 + i % 20);
		host_assert(host_walk(syn.h.channel, &syn.h.threads[1], sp[i], 0) == expected[i]);
		/* As it was: others come through here. */
		*syn_word(sp[i]) = syn_pc((u32)(sp[i] / 8 % 100));
	}
	timer = (struct itimerval){0};
	setitimer(ITIMER_REAL, &timer, NULL);
	ck_assert_uint_gt(handler_busy, 0);
	syn_close(&syn);
}
END_TEST

/* The walk that used the memo never ended: longjmp out of a handler. */

START_TEST(abandoned)
{
	struct agent_memos *memo;
	u32 frames = 0;

	syn_open(&syn, 6);
	syn.rows[200].rule = unwind_rule(UNWIND_OURS, 0, 16);
	syn.rows[255].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(&syn);
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(at < syn.high - 256 ? 3 : 255);
	syn_walk_both(&syn, syn.high - 512, 0);
	memo = memos_of_1();
	ck_assert_uint_eq(memo->busy, 0);
	for (u64 i = 0; i <= memo->mask; i++)
		frames += memo->of[i].frames;
	ck_assert_uint_gt(frames, 10);
	memo->busy = 1;
	/* From a place that is in the middle of a walk: it stays. */
	*syn_word(syn.high - 512 + 32) = syn_pc(200);
	syn_walk_both(&syn, syn.high - 512, 0);
	ck_assert_uint_eq(memo->busy, 1);
	*syn_word(syn.high - 512 + 32) = syn_pc(3);
	/* A stack that is cut does not tell. */
	host_walk(syn.h.channel, &syn.h.threads[1], syn.low + 4096, 0);
	ck_assert_uint_eq(memo->busy, 1);
	host_walk(syn.h.channel, &syn.h.threads[1], syn.high - 512, 0);
	ck_assert_uint_eq(memo->busy, 0);
	syn_walk_both(&syn, syn.high - 512, 0);
	syn_close(&syn);
}
END_TEST

static u64 memo_number(u32 thread)
{
	return channel_memo_number(syn.h.threads[thread].memo - (u64)syn.h.channel -
				   syn.h.channel->memos);
}

/* More threads than memos: they do without. And a memo that was given back is taken again. */
START_TEST(pool)
{
	u64 hash;

	syn_open(&syn, 7);
	syn.rows[255].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(&syn);
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(at < syn.high - 256 ? 3 : 255);
	hash = syn_walk_both(&syn, syn.high - 512, 0);
	for (u32 i = 3; i < CHANNEL_MEMOS + 20; i++) {
		ck_assert_uint_eq(host_walk(syn.h.channel, &syn.h.threads[i], syn.high - 512, 0),
				  hash);
		ck_assert_uint_eq(memo_number(i), i - 2 < CHANNEL_MEMOS ? i - 2 : CHANNEL_MEMOS);
	}
	syn.h.threads[50].memo = 0;
	syn.h.channel->memos_taken[48 / 64] &= ~(1ULL << 48 % 64);
	host_walk(syn.h.channel, &syn.h.threads[400], syn.high - 512, 0);
	ck_assert_uint_eq(memo_number(400), 48);
	syn_close(&syn);
}
END_TEST

Suite *agent_memo_suite(void)
{
	Suite *s = suite_create("agent_memo");
	TCase *tc = tcase_create("memo");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, random_stacks, 0, 12);
	tcase_add_loop_test(tc, programs, 0, 6);
	tcase_add_test(tc, deep_recursion);
	tcase_add_test(tc, twins);
	tcase_add_test(tc, changed_further_out);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, abandoned);
	tcase_add_test(tc, pool);
	suite_add_tcase(s, tc);
	return s;
}
