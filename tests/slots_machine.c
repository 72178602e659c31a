// SPDX-License-Identifier: MIT
/*
 * Displaced instructions, executed for real: they run once in its own place (the
 * home) and once from a slot, with the same registers, flags, vector registers,
 * stack and memory, and all of these must be the same afterwards.
 *
 *	home + 0x0c0	exit 2		a branch backwards leads here
 *	home + 0x100	the instructions, behind them exit 0
 *	home + 0x140	exit 1		a branch forwards leads here
 *	home + 0x200	callee: mov (%rsp), %rax; ret
 *	home + 0x400	data
 *	home + 0x600	pointers: to the callee, to exit 1
 *	home + 0x1000	the stack, up to 0x2000
 */
#include "tests/in_loops.h"
#include "tests/slots_machine.h"

#include <check.h>
#include <cpuid.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define STACK 0x1800UL /* where rsp points to */

enum { RBX = 3, RSP, RBP, RSI, RDI, R12 = 12 };

/* Used by the code below; one run at a time. */
u64 slots_sp, slots_end_sp, slots_which;
u32 slots_features; /* what xsave saves */
struct slots_machine *slots_out;
void *slots_entry;

void slots_run(const struct slots_machine *in, struct slots_machine *out, void *entry);
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

_Static_assert(offsetof(struct slots_machine, vectors) == 192, "the code above knows the offsets");

u8 *slots_home, *slots_slot;

static u8 memory[SLOTS_HOME];
static u64 state = 88172645463325252ULL;

u64 slots_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Asked of the CPU, which takes long in a virtual machine. */
static bool cpu_has(enum slots_feature feature)
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

bool slots_has_feature(enum slots_feature feature)
{
	static u8 known[FEATURE_AVX512 + 1]; /* 1: no, 2: yes */

	if (!known[feature])
		known[feature] = (u8)(1 + cpu_has(feature));
	return known[feature] == 2;
}

static u8 *map_page(u8 *hint, size_t size)
{
	u8 *p = mmap(hint, size, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS | (hint ? MAP_FIXED_NOREPLACE : 0), -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void slots_make_places(s64 distance)
{
	slots_home = map_page(NULL, SLOTS_HOME);
	ck_assert_ptr_nonnull(slots_home);
	slots_slot = distance ? NULL : map_page(NULL, 4096);
	for (s64 i = 0; i < 64 && !slots_slot; i++)
		slots_slot = map_page(
			slots_home + distance + i * (distance > 0 ? -1 : 1) * 0x100000, 4096);
	ck_assert_msg(slots_slot != NULL, "no room at a distance of %ld", (long)distance);
	slots_features = slots_has_feature(FEATURE_AVX512) ? 0xe7
			 : slots_has_feature(FEATURE_AVX)  ? 7
							   : 3;
}

static void put_jump(u8 *at, const void *target)
{
	static const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0};

	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &target, sizeof(target));
}

void slots_build(const u8 *code, u32 length)
{
	static const u8 callee[] = {0x48, 0x8b, 0x04, 0x24, 0xc3};
	const void *exit_1 = slots_exit_1, *to_callee = slots_home + SLOTS_CALLEE;

	memset(slots_home, 0xcc, SLOTS_HOME);
	put_jump(slots_home + SLOTS_BACKWARD, slots_exit_2);
	put_jump(slots_home + SLOTS_FORWARD, slots_exit_1);
	memcpy(slots_home + SLOTS_INSTRUCTION, code, length);
	put_jump(slots_home + SLOTS_INSTRUCTION + length, slots_exit_0);
	memcpy(slots_home + SLOTS_CALLEE, callee, sizeof(callee));
	for (size_t i = SLOTS_DATA; i < SLOTS_DATA + 0x100; i++)
		slots_home[i] = (u8)slots_random();
	memcpy(slots_home + SLOTS_POINTERS, &to_callee, sizeof(to_callee));
	memcpy(slots_home + SLOTS_POINTERS + 8, &exit_1, sizeof(exit_1));
	for (size_t i = 0x1000; i < SLOTS_HOME; i++)
		slots_home[i] = (u8)slots_random();
	/* For ret. */
	memcpy(slots_home + STACK, &exit_1, sizeof(exit_1));
	memcpy(memory, slots_home, SLOTS_HOME);
}

void slots_input(struct slots_machine *in, u32 flags)
{
	static const u32 bits[] = {0x1, 0x4, 0x40, 0x80, 0x800};
	u32 mxcsr = 0x1f80;
	u16 control = 0x37f;
	u64 present = slots_features & 7;

	for (int i = 0; i < 16; i++)
		in->r[i] = slots_random();
	in->r[RBX] = (u64)(uintptr_t)slots_exit_1;
	in->r[RSP] = (u64)(uintptr_t)(slots_home + STACK);
	in->r[RBP] = (u64)(uintptr_t)(slots_home + SLOTS_CALLEE);
	in->r[RSI] = (u64)(uintptr_t)(slots_home + SLOTS_DATA + 64);
	in->r[RDI] = (u64)(uintptr_t)(slots_home + SLOTS_DATA);
	in->r[R12] = (u64)(uintptr_t)(slots_home + SLOTS_POINTERS);
	in->flags = 0x202 | (slots_random() & 0x10);
	for (size_t i = 0; i < 5; i++)
		if (flags & (1U << i))
			in->flags |= bits[i];
	memset(in->vectors, 0, SLOTS_VECTORS);
	memcpy(in->vectors, &control, sizeof(control));
	memcpy(in->vectors + 24, &mxcsr, sizeof(mxcsr));
	for (size_t i = 160; i < 160 + 256; i++)
		in->vectors[i] = (u8)slots_random();
	for (size_t i = 576; present & 4 && i < 576 + 256; i++)
		in->vectors[i] = (u8)slots_random();
	memcpy(in->vectors + 512, &present, sizeof(present));
}

void slots_execute(const struct slots_machine *in, struct slots_machine *out, u8 *entry)
{
	memcpy(slots_home, memory, SLOTS_HOME);
	memset(out, 0, sizeof(*out));
	slots_run(in, out, entry);
	/* The x87 instruction pointer is that of the last x87 instruction, wherever it stood. */
	memset(out->vectors + 8, 0, 16);
}

void slots_compare(const char *name, const u8 *slot, size_t length, u32 flags)
{
	static struct slots_machine in, expected, got;
	static u8 expected_memory[SLOTS_HOME];

	slots_input(&in, flags);
	slots_execute(&in, &expected, slots_home + SLOTS_INSTRUCTION);
	memcpy(expected_memory, slots_home, SLOTS_HOME);
	memset(slots_slot, 0xcc, 256);
	memcpy(slots_slot, slot, length);
	slots_execute(&in, &got, slots_slot);
	for (int i = 0; i < 16; i++)
		assert_in_loop_msg(expected.r[i] == got.r[i], "%s: register %d is %#lx, not %#lx",
				   name, i, (unsigned long)got.r[i], (unsigned long)expected.r[i]);
	assert_in_loop_msg(expected.flags == got.flags, "%s: flags %#lx, not %#lx", name,
			   (unsigned long)got.flags, (unsigned long)expected.flags);
	assert_in_loop_msg(expected.exit == got.exit, "%s: exit %lu, not %lu", name,
			   (unsigned long)got.exit, (unsigned long)expected.exit);
	assert_in_loop_msg(memcmp(&expected, &got, sizeof(got)) == 0, "%s: vector registers differ",
			   name);
	assert_in_loop_msg(memcmp(expected_memory, slots_home, SLOTS_HOME) == 0,
			   "%s: memory or stack differ", name);
}
