// SPDX-License-Identifier: MIT
/*
 * Displaced instructions, executed for real: each runs once in its own place (the
 * home) and once from a slot, with the same registers, flags, vector registers,
 * stack and memory, and all of these must be the same afterwards.
 *
 *	home + 0x0c0	exit 2		a branch backwards leads here
 *	home + 0x100	the instruction, behind it exit 0
 *	home + 0x140	exit 1		a branch forwards leads here
 *	home + 0x200	callee: mov (%rsp), %rax; ret
 *	home + 0x400	data
 *	home + 0x600	pointers: to the callee, to exit 1
 *	home + 0x1000	the stack, up to 0x2000
 */
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "probe/relocate_x86_64.h"
#include "tests/slots_case.h"
#include "tests/suites.h"

#define HOME_SIZE 0x2000UL
#define STACK     0x1800UL /* where rsp points to */
#define VECTORS   4096

/* Everything that an instruction can see and change, apart from memory. */
struct machine {
	u64 r[16]; /* in the order of their numbers: rax rcx rdx rbx rsp rbp rsi rdi r8 ... */
	u64 flags;
	u64 exit; /* which exit was taken */
	_Alignas(64) u8 vectors[VECTORS];
};

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R12 = 12 };

/* Used by the code below; one run at a time. */
u64 slots_sp, slots_end_sp, slots_which;
u32 slots_features; /* what xsave saves */
struct machine *slots_out;
void *slots_entry;

void slots_run(const struct machine *in, struct machine *out, void *entry);
extern const char slots_exit_0[], slots_exit_1[], slots_exit_2[];

__asm__("	.text\n"
	"slots_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushfq\n"
	"	mov %rsp, slots_sp(%rip)\n"
	"	mov %rsi, slots_out(%rip)\n"
	"	mov %rdx, slots_entry(%rip)\n"
	"	mov slots_features(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 192(%rdi)\n"
	"	pushq 128(%rdi); popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9\n"
	"	mov 80(%rdi), %r10; mov 88(%rdi), %r11; mov 96(%rdi), %r12; mov 104(%rdi), %r13\n"
	"	mov 112(%rdi), %r14; mov 120(%rdi), %r15; mov 32(%rdi), %rsp; mov 56(%rdi), %rdi\n"
	"	jmp *slots_entry(%rip)\n"
	"slots_exit_0: movq $0, slots_which(%rip); jmp 1f\n"
	"slots_exit_1: movq $1, slots_which(%rip); jmp 1f\n"
	"slots_exit_2: movq $2, slots_which(%rip); jmp 1f\n"
	"1:	mov %rsp, slots_end_sp(%rip)\n"
	"	mov slots_sp(%rip), %rsp\n"
	"	pushfq; push %rax\n"
	"	mov slots_out(%rip), %rax\n"
	"	popq 0(%rax); popq 128(%rax)\n"
	"	mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rbp, 40(%rax)\n"
	"	mov %rsi, 48(%rax); mov %rdi, 56(%rax); mov %r8, 64(%rax); mov %r9, 72(%rax)\n"
	"	mov %r10, 80(%rax); mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
	"	mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
	"	mov slots_end_sp(%rip), %rcx; mov %rcx, 32(%rax)\n"
	"	mov slots_which(%rip), %rcx; mov %rcx, 136(%rax)\n"
	"	mov %rax, %rdi\n"
	"	mov slots_features(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 192(%rdi)\n"
	"	popfq; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

_Static_assert(offsetof(struct machine, vectors) == 192, "the code above knows the offsets");

static u8 *home, *slot; /* slot: a page of its own */
static u8 memory[HOME_SIZE];
static u64 state = 88172645463325252ULL;

static u64 random_u64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static bool has_feature(enum slots_feature feature)
{
	u32 a, b = 0, c = 0, d = 0, xcr0, high;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE))
		return feature == FEATURE_NONE;
	__asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	if (feature == FEATURE_AVX)
		return (c & bit_AVX) && (xcr0 & 6) == 6;
	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	if (feature == FEATURE_AVX512)
		return (b & bit_AVX512F) && (xcr0 & 0xe6) == 0xe6;
	return true;
}

static u8 *map_page(u8 *hint, size_t size)
{
	u8 *p = mmap(hint, size, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | (hint ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The home, and a slot at about this distance from it (0: wherever). */
static void make_places(s64 distance)
{
	home = map_page(NULL, HOME_SIZE);
	ck_assert_ptr_nonnull(home);
	slot = distance ? NULL : map_page(NULL, 4096);
	for (s64 i = 0; i < 64 && !slot; i++)
		slot = map_page(home + distance + i * (distance > 0 ? -1 : 1) * 0x100000, 4096);
	ck_assert_msg(slot != NULL, "no room at a distance of %ld", (long)distance);
	slots_features = has_feature(FEATURE_AVX512) ? 0xe7 : has_feature(FEATURE_AVX) ? 7 : 3;
}

static void put_jump(u8 *at, const void *target)
{
	static const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0};

	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &target, sizeof(target));
}

/* Builds the home for a case, keeping what memory looks like in `memory`. */
static void build(const struct slots_case *c)
{
	static const u8 callee[] = {0x48, 0x8b, 0x04, 0x24, 0xc3};
	const void *exit_1 = slots_exit_1, *to_callee = home + SLOTS_CALLEE;

	memset(home, 0xcc, HOME_SIZE);
	put_jump(home + SLOTS_BACKWARD, slots_exit_2);
	put_jump(home + SLOTS_FORWARD, slots_exit_1);
	put_jump(home + SLOTS_INSTRUCTION + c->length, slots_exit_0);
	memcpy(home + SLOTS_CALLEE, callee, sizeof(callee));
	slots_case_write(c, home + SLOTS_INSTRUCTION);
	for (size_t i = SLOTS_DATA; i < SLOTS_DATA + 0x100; i++)
		home[i] = (u8)random_u64();
	memcpy(home + SLOTS_POINTERS, &to_callee, sizeof(to_callee));
	memcpy(home + SLOTS_POINTERS + 8, &exit_1, sizeof(exit_1));
	for (size_t i = 0x1000; i < HOME_SIZE; i++)
		home[i] = (u8)random_u64();
	/* For ret. */
	memcpy(home + STACK, &exit_1, sizeof(exit_1));
	memcpy(memory, home, HOME_SIZE);
}

static void random_input(struct machine *in, u32 flags)
{
	static const u32 bits[] = {0x1, 0x4, 0x40, 0x80, 0x800};
	u32 mxcsr = 0x1f80;
	u16 control = 0x37f;
	u64 present = slots_features & 7;

	for (int i = 0; i < 16; i++)
		in->r[i] = random_u64();
	in->r[RBX] = (u64)(uintptr_t)slots_exit_1;
	in->r[RSP] = (u64)(uintptr_t)(home + STACK);
	in->r[RBP] = (u64)(uintptr_t)(home + SLOTS_CALLEE);
	in->r[RSI] = (u64)(uintptr_t)(home + SLOTS_DATA + 64);
	in->r[RDI] = (u64)(uintptr_t)(home + SLOTS_DATA);
	in->r[R12] = (u64)(uintptr_t)(home + SLOTS_POINTERS);
	in->flags = 0x202 | (random_u64() & 0x10);
	for (size_t i = 0; i < 5; i++)
		if (flags & (1U << i))
			in->flags |= bits[i];
	memset(in->vectors, 0, VECTORS);
	memcpy(in->vectors, &control, sizeof(control));
	memcpy(in->vectors + 24, &mxcsr, sizeof(mxcsr));
	for (size_t i = 160; i < 160 + 256; i++)
		in->vectors[i] = (u8)random_u64();
	for (size_t i = 576; present & 4 && i < 576 + 256; i++)
		in->vectors[i] = (u8)random_u64();
	memcpy(in->vectors + 512, &present, sizeof(present));
}

static void run(const struct machine *in, struct machine *out, u8 *entry)
{
	memcpy(home, memory, HOME_SIZE);
	memset(out, 0, sizeof(*out));
	slots_run(in, out, entry);
	/* The x87 instruction pointer is that of the last x87 instruction, wherever it stood. */
	memset(out->vectors + 8, 0, 16);
}

static void run_case(const struct slots_case *c)
{
	static struct machine in, expected, got;
	static u8 expected_memory[HOME_SIZE];
	struct slot_code code;
	int ret;

	build(c);
	ret = relocate_instruction(home + SLOTS_INSTRUCTION, INSTRUCTION_MAX,
				   (u64)(uintptr_t)(home + SLOTS_INSTRUCTION), (u64)(uintptr_t)slot,
				   &code);
	ck_assert_msg(ret == 0, "%s is refused: %d", c->name, ret);
	ck_assert_uint_eq(code.instruction_length, c->length);
	ck_assert_uint_le(code.length, 62); /* AGENT_SLOT_CODE */
	memset(slot, 0xcc, 4096);
	memcpy(slot, code.bytes, code.length);
	for (u32 flags = 0; flags < 32; flags++) {
		random_input(&in, flags);
		run(&in, &expected, home + SLOTS_INSTRUCTION);
		memcpy(expected_memory, home, HOME_SIZE);
		run(&in, &got, slot);
		for (int i = 0; i < 16; i++)
			ck_assert_msg(expected.r[i] == got.r[i],
				      "%s: register %d is %#lx, not %#lx", c->name, i,
				      (unsigned long)got.r[i], (unsigned long)expected.r[i]);
		ck_assert_msg(expected.flags == got.flags, "%s: flags %#lx, not %#lx", c->name,
			      (unsigned long)got.flags, (unsigned long)expected.flags);
		ck_assert_msg(expected.exit == got.exit, "%s: exit %lu, not %lu", c->name,
			      (unsigned long)got.exit, (unsigned long)expected.exit);
		ck_assert_msg(memcmp(&expected, &got, sizeof(got)) == 0,
			      "%s: vector registers differ", c->name);
		ck_assert_msg(memcmp(expected_memory, home, HOME_SIZE) == 0,
			      "%s: memory or stack differ", c->name);
	}
}

static const s64 distances[] = {0, 0x60000000, -0x60000000};

START_TEST(same_effect_in_a_slot)
{
	size_t skipped = 0;

	make_places(distances[_i]);
	for (size_t i = 0; i < slots_cases_n; i++) {
		if (has_feature(slots_cases[i].feature))
			run_case(&slots_cases[i]);
		else
			skipped++;
	}
	if (_i == 0 && skipped)
		printf("slots: %zu of %zu cases skipped: this CPU lacks the instructions\n",
		       skipped, slots_cases_n);
}
END_TEST

/* All sixteen conditions, both ways, both lengths, forwards and backwards: 32 sets of flags each. */
START_TEST(every_condition)
{
	struct slots_case c = {.name = "jcc"};

	make_places(distances[_i]);
	for (u8 condition = 0; condition < 16; condition++) {
		for (int variant = 0; variant < 4; variant++) {
			bool near = variant & 1;

			c.at = variant & 2 ? SLOTS_BACKWARD : SLOTS_FORWARD;
			c.length = near ? 6 : 2;
			c.bytes[0] = near ? 0x0f : 0x70 | condition;
			c.bytes[1] = near ? 0x80 | condition : 0;
			c.disp_at = near ? 2 : 1;
			c.disp_size = near ? 4 : 1;
			run_case(&c);
		}
	}
}
END_TEST

/* A place behind the instruction, where there is one, is where the state is that of the original. */
START_TEST(after_is_behind_the_copy)
{
	static const struct {
		const char *bytes;
		size_t n;
		u32 after;
	} cases[] = {
		{"\x48\x89\xe5", 3, 3}, {"\x74\x10", 2, 6}, {"\xeb\x10", 2, 0},
		{"\xe8\1\0\0\0", 5, 0}, {"\xff\xd0", 2, 0}, {"\xc3", 1, 1},
		{"\x0f\x1e\xfa", 3, 0}, {"\xff\xe0", 2, 2},
	};
	struct slot_code code;
	u8 bytes[INSTRUCTION_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(bytes, 0x90, sizeof(bytes));
		memcpy(bytes, cases[i].bytes, cases[i].n);
		if (cases[i].bytes[0] == '\x0f') /* endbr64 */
			memcpy(bytes, "\xf3\x0f\x1e\xfa", 4);
		ck_assert_int_eq(
			relocate_instruction(bytes, sizeof(bytes), 0x400000, 0x500000, &code), 0);
		if (cases[i].bytes[0] == '\x0f')
			ck_assert_uint_eq(code.after, 4);
		else
			ck_assert_msg(code.after == cases[i].after, "case %zu: after %u", i,
				      code.after);
	}
}
END_TEST

static int relocate(const void *bytes, size_t available, u64 slot_at)
{
	struct slot_code code;
	/* In memory of this size, so that a sanitizer sees a read beyond it. */
	u8 *copy = malloc(available ? available : 1);
	int ret;

	memcpy(copy, bytes, available);
	ret = relocate_instruction(copy, available, 0x10000000, slot_at, &code);
	free(copy);
	return ret;
}

START_TEST(refusals)
{
	for (size_t i = 0; i < slots_refused_n; i++) {
		const struct slots_case *c = &slots_refused[i];
		int ret = relocate(c->bytes, c->length, 0x10100000);

		ck_assert_msg(ret == -EOPNOTSUPP, "%s: %d", c->name, ret);
	}
}
END_TEST

START_TEST(truncated)
{
	for (size_t i = 0; i < slots_cases_n; i++) {
		const struct slots_case *c = &slots_cases[i];

		for (size_t n = 0; n < c->length; n++) {
			int ret = relocate(c->bytes, n, 0x10100000);

			ck_assert_msg(ret == -EOPNOTSUPP, "%zu bytes of %s: %d", n, c->name, ret);
		}
	}
}
END_TEST

/* An operand too far from the slot; branches and calls have no such limit. */
START_TEST(too_far)
{
	static const u64 far[] = {0x10000000ULL + 0x90000000ULL, 0x7f0000000000ULL};

	for (size_t i = 0; i < slots_cases_n; i++) {
		const struct slots_case *c = &slots_cases[i];
		bool memory_operand = c->at == SLOTS_DATA || c->at == SLOTS_POINTERS ||
				      c->at == SLOTS_POINTERS + 8;

		for (size_t k = 0; k < ARRAY_SIZE(far); k++)
			ck_assert_msg(relocate(c->bytes, c->length, far[k]) ==
					      (memory_operand ? -ERANGE : 0),
				      "%s at %#lx", c->name, (unsigned long)far[k]);
	}
}
END_TEST

/* Random bytes: refused or relocated, never more than a slot, never a byte read that is not there. */
START_TEST(garbage)
{
	u8 bytes[INSTRUCTION_MAX];

	for (int i = 0; i < 200000; i++) {
		size_t n = 1 + random_u64() % INSTRUCTION_MAX;
		int ret;

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (u8)random_u64();
		ret = relocate(bytes, n, 0x10000000 + (random_u64() & 0xffffffff));
		ck_assert_msg(ret == 0 || ret == -EOPNOTSUPP || ret == -ERANGE, "%d", ret);
	}
}
END_TEST

Suite *slots_suite(void)
{
	Suite *suite = suite_create("slots");
	TCase *tcase = tcase_create("slots");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, same_effect_in_a_slot, 0, 3);
	tcase_add_loop_test(tcase, every_condition, 0, 3);
	tcase_add_test(tcase, after_is_behind_the_copy);
	tcase_add_test(tcase, refusals);
	tcase_add_test(tcase, truncated);
	tcase_add_test(tcase, too_far);
	tcase_add_test(tcase, garbage);
	suite_add_tcase(suite, tcase);
	return suite;
}
