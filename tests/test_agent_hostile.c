// SPDX-License-Identifier: MIT
/*
 * The agent's walker and a channel full of nonsense, stacks that are not there any more,
 * signals in displaced code. Around the stack is memory that must not be read, and
 * reads of it are not made good here.
 */
#include <signal.h>
#include <ucontext.h>

#include "agent/send.h"
#include "agent/abi.h"
#include "agent/fixup.h"
#include "probe/agent_rows.h"
#include "tests/agent_synthetic.h"
#include "tests/suites.h"
#include "unwind/compile.h"

extern const int32_t __start_agent_fixup[], __stop_agent_fixup[];

static struct synthetic syn;
static volatile u64 fixed, forbidden_low, forbidden_high;

/* What memattach does with a SIGSEGV at a load of the agent's. */
static void fix_up(int signo, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	u64 address = (u64)info->si_addr;

	for (const int32_t *pair = __start_agent_fixup; pair < __stop_agent_fixup; pair += 2) {
		if ((u64)regs[REG_RIP] != (u64)pair + (u64)(s64)pair[0])
			continue;
		if (address >= forbidden_low && address < forbidden_high)
			break;
		regs[REG_RIP] = (greg_t)((u64)(pair + 1) + (u64)(s64)pair[1]);
		fixed++;
		return;
	}
	signal(signo, SIG_DFL);
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = fix_up, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	fixed = forbidden_low = forbidden_high = 0;
}

/* Nothing right below and above the stack may be read, whatever the tables say. */
static void forbid_edges(void)
{
	forbidden_low = syn.low - 4096;
	forbidden_high = syn.high + 4096;
}

static void random_bytes(void *to, size_t size)
{
	u64 *words = to;

	for (size_t i = 0; i < size / 8; i++)
		words[i] = syn_random(&syn);
}

/* Modules, rows and rules that are not memattach's. */
static void spoil_channel(void)
{
	struct channel *c = syn.h.channel;
	char *memory = (char *)c;
	struct channel_module *modules = (struct channel_module *)(memory + c->modules);
	u64 *rules = (u64 *)(memory + c->rules);

	random_bytes(modules, 2 * CHANNEL_MODULES * sizeof(*modules));
	for (u32 i = 0; i < 2 * CHANNEL_MODULES; i++) {
		if (syn_below(&syn, 4) == 0)
			continue;
		modules[i].start = SYN_CODE + syn_below(&syn, 4096);
		modules[i].end = modules[i].start + syn_below(&syn, 4096);
		modules[i].base = SYN_CODE - syn_below(&syn, 2) * syn_random(&syn);
		modules[i].n = syn_below(&syn, 3) ? syn_below(&syn, 1000) : (u32)syn_random(&syn);
		modules[i].first = syn_below(&syn, 3) ? 0 : (u32)syn_random(&syn);
	}
	random_bytes(memory + c->rows, 8192);
	/* Rules without a tag are right for something in one of some thousand entries: make it more. */
	for (u32 i = 0; i < CHANNEL_RULES; i++)
		if (syn_below(&syn, 2))
			rules[i] = syn_random(&syn) << 33 |
				   ((SYN_CODE >> CHANNEL_RULES_BITS ^
				     c->generation * 0x9e3779b97f4a7c15ULL >> 31) &
				    0x1ffffffffULL);
	c->modules_n[0] = syn_below(&syn, 3) ? syn_below(&syn, 2048) : (u32)syn_random(&syn);
	c->modules_n[1] = syn_below(&syn, 2048);
	c->list = (u32)syn_random(&syn);
	c->depth = 1 + syn_below(&syn, CHANNEL_DEPTH_MAX);
	if (syn_below(&syn, 3) == 0)
		c->generation += 2;
}

START_TEST(nonsense)
{

	install();
	syn_open(&syn, 99 + (u64)_i);
	forbid_edges();
	for (u32 round = 0; round < 400; round++) {
		spoil_channel();
		for (u64 at = syn.low; at < syn.high; at += 8)
			*syn_word(at) = syn_below(&syn, 3)   ? SYN_CODE + syn_below(&syn, 4096)
					: syn_below(&syn, 2) ? syn.low + syn_below(&syn, SYN_STACK)
							     : syn_random(&syn);
		for (u32 walk = 0; walk < 200; walk++) {
			u64 sp = syn.low + syn_below(&syn, SYN_STACK);
			u64 bp = syn_below(&syn, 2) ? sp + syn_below(&syn, 256) : syn_random(&syn);

			if (syn_below(&syn, 8))
				sp &= ~7ULL;
			stand_in.n = 0;
			host_walk(syn.h.channel, &syn.h.threads[1], sp, bp);
			agent_nesting(syn.h.channel, &syn.h.threads[1], sp, bp);
		}
	}
	syn_close(&syn);
}
END_TEST

/* Nothing below the call's own sp is read, even if it could be. */
START_TEST(only_from_sp_on)
{
	u64 sp;

	install();
	syn_open(&syn, 3);
	sp = syn.low + SYN_STACK / 2;
	for (u32 i = 0; i < SYN_FUNCTIONS; i++)
		syn.rows[i].rule = unwind_rule(UNWIND_RSP, 30, 16);
	syn_publish(&syn);
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(1);
	ck_assert_int_eq(mprotect((void *)syn.low, SYN_STACK / 2, PROT_NONE), 0);
	forbidden_low = syn.low;
	forbidden_high = sp;
	host_walk(syn.h.channel, &syn.h.threads[1], sp, 0);
	host_walk(syn.h.channel, &syn.h.threads[1], sp, 0);
	ck_assert_uint_eq(fixed, 0);
	syn_close(&syn);
}
END_TEST

/* The stack that memattach has named is smaller by now: it is asked again, and the walk made again. */
START_TEST(vanished)
{
	struct channel *c;
	u64 sp, hash;

	install();
	syn_open(&syn, 4);
	c = syn.h.channel;
	sp = syn.high - 8192 + 1024;
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(1);
	c->depth = 250;
	for (int memo = 0; memo < 2; memo++) {
		ck_assert_int_eq(mprotect((void *)(syn.high - 4096), 4096, PROT_READ | PROT_WRITE),
				 0);
		stand_in.range = (struct channel_range){syn.low, syn.high};
		host_walk(c, &syn.h.threads[1], sp, 0);
		ck_assert_int_eq(mprotect((void *)(syn.high - 4096), 4096, PROT_NONE), 0);
		stand_in.range.high -= 4096;
		stand_in.asked = 0;
		fixed = 0;
		hash = host_walk(c, &syn.h.threads[1], sp, 0);
		ck_assert_uint_gt(fixed, 0);
		ck_assert_uint_eq(stand_in.asked, 1);
		ck_assert(agent_known_find(c, hash));
		/* From now on it is known. */
		fixed = 0;
		ck_assert_uint_eq(host_walk(c, &syn.h.threads[1], sp, 0), hash);
		ck_assert_uint_eq(fixed, 0);
		/* Again without a memo. */
		c->memos = 0;
		syn.h.threads[1] = (struct channel_thread){0};
		memset((char *)c + c->ranges, 0, CHANNEL_RANGES * sizeof(u64));
	}
	syn_close(&syn);
}
END_TEST

/* A stack that is remembered, and gone, above one that is there: what is left of it is read once. */
START_TEST(gone_above_another)
{
	struct channel *c;
	u64 above, sp, hash;

	install();
	syn_open(&syn, 5);
	c = syn.h.channel;
	syn.rows[255].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(&syn);
	above = syn.high - 4096 + 512;
	/* Of the same class: their innermost frames are the same, and so are the lower bits. */
	sp = above - 16384;
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(1);
	for (u64 i = 0; i < 2; i++)
		*syn_word(sp + 256 + 8 * i) = *syn_word(above + 256 + 8 * i) = syn_pc(255);
	hash = host_walk(c, &syn.h.threads[2], sp, 0);
	host_walk(c, &syn.h.threads[1], above, 0);
	ck_assert_int_eq(mprotect((void *)(syn.high - 4096), 4096, PROT_NONE), 0);
	fixed = 0;
	ck_assert_uint_eq(host_walk(c, &syn.h.threads[1], sp, 0), hash);
	ck_assert_uint_gt(fixed, 0);
	fixed = 0;
	ck_assert_uint_eq(host_walk(c, &syn.h.threads[1], sp, 0), hash);
	ck_assert_uint_eq(fixed, 0);
	syn_close(&syn);
}
END_TEST

/* It has gone, and memattach does not know it yet: the stack is lost, and said to be. */
START_TEST(gone_for_good)
{
	u64 lost, hash;

	install();
	syn_open(&syn, 4);
	ck_assert_int_eq(mprotect((void *)syn.low, SYN_STACK, PROT_NONE), 0);
	lost = syn.h.channel->lost[CHANNEL_LOSS_STACK];
	hash = host_walk(syn.h.channel, &syn.h.threads[1], syn.low + 4096, 0);
	ck_assert(!agent_known_find(syn.h.channel, hash));
	ck_assert_uint_eq(syn.h.channel->lost[CHANNEL_LOSS_STACK], lost + 1);
	ck_assert_int_eq(agent_nesting(syn.h.channel, &syn.h.threads[1], syn.low + 4096, 0),
			 AGENT_UNKNOWN);
	syn_close(&syn);
}
END_TEST

/* A signal has interrupted code at pc with the stack pointer sp: what its handler sees on the stack. */
static u64 interrupt(u64 pc, u64 sp, u64 frame)
{
	/* The handler's return address is the trampoline; the ucontext follows. */
	*syn_word(frame) = syn_pc(100);
	*syn_word(frame + 8 + WALK_UCONTEXT_RIP) = pc;
	*syn_word(frame + 8 + WALK_UCONTEXT_RSP) = sp;
	*syn_word(frame + 8 + WALK_UCONTEXT_RBP) = 0;
	return frame;
}

struct area {
	struct agent_header header;
	char rest[AGENT_AREA_SIZE - sizeof(struct agent_header)];
};

static int sent(u64 sp, u64 *pcs)
{
	unsigned end;
	u64 hash, again;
	int n;

	stand_in.n = 0;
	memset((char *)syn.h.channel + syn.h.channel->known, 0, CHANNEL_KNOWN * sizeof(u64));
	hash = host_walk(syn.h.channel, &syn.h.threads[1], sp, 0);
	n = stand_in_stack(0, pcs, CHANNEL_DEPTH_MAX, &end, &again);
	ck_assert_int_ge(n, 0);
	ck_assert_uint_eq(hash, again);
	return n;
}

START_TEST(displaced_code)
{
	struct area *area = aligned_alloc(AGENT_AREA_SIZE, AGENT_AREA_SIZE);
	struct agent_slot *slot = (struct agent_slot *)((char *)area + AGENT_SLOTS) + 5;
	u64 *table = (u64 *)((char *)area + AGENT_TABLE), start = (u64)area, sp, pcs[256];
	struct unwind_table table_of_area;
	struct unwind_rows rows;

	ck_assert_ptr_nonnull(area);
	memset(area, 0, sizeof(*area));
	syn_open(&syn, 8);
	ck_assert_int_eq(agent_rows_compile(&table_of_area, NULL), 0);
	rows = (struct unwind_rows){table_of_area.rows, table_of_area.n, start};
	ck_assert_int_eq(tables_add(syn.h.tables, 2, start, start + AGENT_AREA_SIZE, &rows, NULL),
			 0);
	/* At its beginning the function has CFA = rsp + 8, from its fourth byte on rsp + 24. */
	syn.rows[100].rule = unwind_rule(UNWIND_SIGNAL, 0, 0);
	syn.rows[7].rule = unwind_rule(UNWIND_RSP, 0, 8);
	syn.rows[8] = (struct unwind_row){7 * SYN_FUNCTION + 4, unwind_rule(UNWIND_RSP, 0, 24)};
	syn.rows[255].rule = unwind_rule(UNWIND_FIRST, 0, 0);
	syn_publish(&syn);
	table[5] = AGENT_ENTRY(SYN_CODE + 7 * SYN_FUNCTION, 0x55);
	*slot = (struct agent_slot){
		.displaced = 6, .steps = 3, .from = {0, 4, 6}, .to = {0, 9, 12}};
	for (u64 at = syn.low; at < syn.high; at += 8)
		*syn_word(at) = syn_pc(255);
	sp = syn.low + 8192;
	*syn_word(sp) = syn_pc(20);
	*syn_word(sp + 8) = syn_pc(21);
	*syn_word(sp + 16) = syn_pc(22);

	/* At its first instruction, displaced: the caller is at sp. */
	ck_assert_int_ge(sent(interrupt((u64)slot, sp, syn.low + 4096), pcs), 4);
	ck_assert_uint_eq(pcs[0], syn_pc(100));
	ck_assert_uint_eq(pcs[1], SYN_CODE + 7 * SYN_FUNCTION);
	ck_assert_uint_eq(pcs[2], syn_pc(20) - 1);
	/* At the second one. */
	ck_assert_int_ge(sent(interrupt((u64)slot + 9, sp, syn.low + 4096), pcs), 3);
	ck_assert_uint_eq(pcs[1], SYN_CODE + 7 * SYN_FUNCTION + 4);
	ck_assert_uint_eq(pcs[2], syn_pc(22) - 1);
	/* In a stub, before and behind its push. */
	slot->stub[0] = AGENT_STUB_PUSH;
	ck_assert_int_ge(sent(interrupt((u64)slot + AGENT_SLOT_CODE, sp, syn.low + 4096), pcs), 3);
	ck_assert_uint_eq(pcs[1], SYN_CODE + 7 * SYN_FUNCTION);
	ck_assert_uint_eq(pcs[2], syn_pc(20) - 1);
	ck_assert_int_ge(sent(interrupt((u64)slot + AGENT_SLOT_CODE + 8, sp, syn.low + 4096), pcs),
			 3);
	ck_assert_uint_eq(pcs[1], SYN_CODE + 7 * SYN_FUNCTION);
	ck_assert_uint_eq(pcs[2], syn_pc(21) - 1);
	/* In one that does not push. */
	slot->stub[0] = 0;
	ck_assert_int_ge(sent(interrupt((u64)slot + AGENT_SLOT_CODE + 8, sp, syn.low + 4096), pcs),
			 3);
	ck_assert_uint_eq(pcs[2], syn_pc(20) - 1);
	/* In the middle of what stands for one instruction: the state is not the program's. */
	ck_assert_int_eq(sent(interrupt((u64)slot + 3, sp, syn.low + 4096), pcs), 1);
	/* A slot beyond the last one, which is the control page. */
	ck_assert_int_le(sent(interrupt(start + AGENT_CONTROL, sp, syn.low + 4096), pcs), 2);
	unwind_table_deinit(&table_of_area);
	syn_close(&syn);
	free(area);
}
END_TEST

/* The table at the end of the image: each pair is a load, and a way out that says so. */
START_TEST(fixups)
{
	size_t size = (size_t)(agent_code_end - agent_code), loads = 0;

	for (size_t at = 0; at < size; at++) {
		size_t landing = agent_fixup_find(agent_code, agent_code_end, at);
		const u8 *load = agent_code + at, *out = agent_code + landing;

		if (!landing)
			continue;
		loads++;
		ck_assert_uint_lt(landing, size);
		/* REX.W mov r/m64, r64; movb $1, m8 with or without a REX prefix. */
		ck_assert_uint_eq(load[0] & 0xf8, 0x48);
		ck_assert_uint_eq(load[1], 0x8b);
		ck_assert(out[0] == 0xc6 || ((out[0] & 0xf0) == 0x40 && out[1] == 0xc6));
	}
	ck_assert_uint_ge(loads, 5);
	ck_assert_uint_eq(agent_fixup_find(agent_code, agent_code + 3, 0), 0);
	ck_assert_uint_eq(agent_fixup_find(agent_code, agent_code + 100, 0), 0);
}
END_TEST

/* Every byte of the agent's code has a rule but what no thread stops at. */
START_TEST(rows_of_the_agent)
{
	struct unwind_table t;
	u32 ours = 0, ask = 0;

	ck_assert_int_eq(agent_rows_compile(&t, NULL), 0);
	for (size_t i = 0; i < t.n; i++) {
		ck_assert(i == 0 || t.rows[i].start > t.rows[i - 1].start);
		ours += unwind_rule_kind(t.rows[i].rule) == UNWIND_OURS;
		ask += unwind_rule_kind(t.rows[i].rule) == UNWIND_ASK;
		ck_assert_uint_ne(unwind_rule_kind(t.rows[i].rule), UNWIND_RSP);
	}
	ck_assert_uint_gt(ours, 50);
	ck_assert_uint_eq(ask, 0);
	ck_assert_uint_eq(unwind_rows_find(t.rows, t.n, AGENT_SLOTS),
			  unwind_rule(UNWIND_SLOT, 0, 0));
	ck_assert_uint_eq(unwind_rows_find(t.rows, t.n, AGENT_CONTROL), UNWIND_NONE);
	ck_assert_uint_eq(
		unwind_rule_kind(unwind_rows_find(t.rows, t.n, AGENT_CODE + AGENT_ENTRY_PUT)),
		UNWIND_OURS);
	unwind_table_deinit(&t);
}
END_TEST

Suite *agent_hostile_suite(void)
{
	Suite *s = suite_create("agent_hostile");
	TCase *tc = tcase_create("hostile");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, nonsense, 0, 4);
	tcase_add_test(tc, only_from_sp_on);
	tcase_add_test(tc, vanished);
	tcase_add_test(tc, gone_above_another);
	tcase_add_test(tc, gone_for_good);
	tcase_add_test(tc, displaced_code);
	tcase_add_test(tc, fixups);
	tcase_add_test(tc, rows_of_the_agent);
	suite_add_tcase(s, tc);
	return s;
}
