// SPDX-License-Identifier: MIT
/*
 * May this function be patched? Small functions in assembly, each with one thing that
 * counts, and what is said of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/jump_safety_x86_64.h"
#include "probe/relocate_x86_64.h"
#include "tests/suites.h"

/* A function of the text below, from js_NAME to js_NAME_end. */
/* clang-format off */
#define FUNCTION(name, body)                                                                       \
	".balign 16\n"                                                                             \
	".globl js_" name "\n.globl js_" name "_end\n.type js_" name ", @function\n"               \
	"js_" name ":\n" body "\njs_" name "_end:\n"

__asm__(".text\n.balign 4096\njs_text:\n"
	/* What compilers make: safe. */
	FUNCTION("plain", "push %rbp; mov %rsp, %rbp; sub $16, %rsp; mov %rdi, -8(%rbp)\n"
		"mov -8(%rbp), %rax; leave; ret")
	FUNCTION("five", ".byte 0xe9; .long js_plain - . - 4")
	FUNCTION("loop_behind", "xor %eax, %eax; mov %rdi, %rcx; 1: inc %rax; dec %rcx; jne 1b; ret")
	FUNCTION("to_byte_0", "test %rdi, %rdi; je 1f; dec %rdi; jmp js_to_byte_0; 1: ret")
	FUNCTION("to_byte_5", ".byte 0x0f, 0x1f, 0x44, 0, 0; 1: dec %rdi; jne 1b; ret")
	FUNCTION("got_jump", "xor %eax, %eax; mov %rdi, %rsi; jmp *js_pointer(%rip)")
	FUNCTION("vtable_jump", "mov (%rdi), %rax; mov %rdi, %rsi; jmp *16(%rax)")
	FUNCTION("register_jump", "mov 8(%rdi), %rax; mov (%rdi), %rdi; jmp *%rax")
	FUNCTION("switch", "cmp $3, %edi; ja 1f; lea js_table(%rip), %rdx; mov %edi, %edi\n"
		"movslq (%rdx,%rdi,4), %rax; add %rdx, %rax; notrack jmp *%rax\n"
		"js_case_0: mov $10, %eax; ret\n"
		"js_case_1: mov $11, %eax; ret\n"
		"1: xor %eax, %eax; ret")
	FUNCTION("goto", "mov %edi, %edi; lea js_labels(%rip), %rdx; jmp *(%rdx,%rdi,8)\n"
		"js_label_0: mov $10, %eax; ret\n"
		"js_label_1: mov $11, %eax; ret")
	FUNCTION("constant", "movabs $0x9e3779b97f4a7c15, %rdx; mov (%rdi), %rax; imul %rdx, %rdi\n"
		"jmp *%rax")
	/* Not safe. */
	FUNCTION("short", "xor %eax, %eax; ret")
	FUNCTION("branch_1", "push %rbp; 1: mov %rdi, %rax; dec %rdi; jne 1b; pop %rbp; ret")
	FUNCTION("branch_4", "endbr64; 1: dec %rdi; nop; nop; jne 1b; ret")
	FUNCTION("branch_loop", "push %rbp; 1: mov %rdi, %rax; mov %rdi, %rcx; loop 1b; ret")
	FUNCTION("branch_near", "push %rbp; 1: mov %rdi, %rax; .skip 200, 0x90; jne 1b; ret")
	FUNCTION("call_inside", "push %rbp; 1: mov %rdi, %rax; dec %rdi; call 1b; ret")
	FUNCTION("takes_inside", "push %rbp; 1: mov %rdi, %rax; lea 1b(%rip), %rax; ret")
	FUNCTION("reads_itself", "push %rbp; mov %rsp, %rbp; mov js_reads_itself(%rip), %rax; ret")
	FUNCTION("garbage", "push %rbp; mov %rsp, %rbp; jmp 1f; .byte 6, 6; 1: pop %rbp; ret")
	FUNCTION("cut_off", "push %rbp; mov %rsp, %rbp; pop %rbp; ret; .byte 0x48, 0x8b")
	FUNCTION("first_call", "push %rbx; call *%rax; mov %rax, %rbx; pop %rbx; ret")
	FUNCTION("first_loop", "nop; nop; 1: loop 1b; ret")
	FUNCTION("first_syscall", "nop; nop; syscall; nop; ret")
	FUNCTION("bad_switch", "xor %eax, %eax; 9: cmp $3, %edi; ja 1f; lea js_bad_table(%rip), %rdx\n"
		"movslq (%rdx,%rdi,4), %rax; add %rdx, %rax; jmp *%rax; 1: ret\n"
		".set js_bad_label, 9b")
	FUNCTION("bad_goto", "xor %eax, %eax; 9: lea js_bad_labels(%rip), %rdx; jmp *(%rdx,%rdi,8)\n"
		"js_bad_goto_1: ret; .set js_bad_goto_0, 9b")
	FUNCTION("bad_pointer", "xor %eax, %eax; 9: mov js_bad_labels_pointer(%rip), %rdx\n"
		"jmp *(%rdx,%rdi,8); .set js_bad_pointer_0, 9b")
	FUNCTION("distances", "lea 9f(%rip), %rdx; add %rdi, %rdx; jmp *%rdx; 9: ret")
	FUNCTION("half_address", "movabs $0x123456, %rdx; add %rdi, %rdx; jmp *%rdx")
	/* Arguments on the stack: only wrapping them is not safe. */
	FUNCTION("args_6", "push %rbx; sub $32, %rsp; mov %rdi, 24(%rsp); call js_plain\n"
		"mov 24(%rsp), %rdi; add $32, %rsp; pop %rbx; ret")
	FUNCTION("args_7", "mov %rdi, %rax; add %rsi, %rax; add 8(%rsp), %rax; ret")
	FUNCTION("args_7_frame", "push %rbp; mov %rsp, %rbp; mov %rdi, -8(%rbp); add 16(%rbp), %rdi\n"
		"pop %rbp; ret")
	FUNCTION("args_7_late", "push %rbx; push %r12; sub $8, %rsp; call js_plain; test %eax, %eax\n"
		"je 1f; add $8, %rsp; pop %r12; pop %rbx; ret\n"
		"1: mov 0x20(%rsp), %rdi; call js_plain; jmp js_args_6")
	FUNCTION("variadic", "sub $216, %rsp; lea 224(%rsp), %rax; mov %rax, 8(%rsp); call js_plain\n"
		"add $216, %rsp; ret")
	FUNCTION("realigned", "lea 8(%rsp), %r10; and $-32, %rsp; push -8(%r10); push %rbp\n"
		"mov %rsp, %rbp; push %r10; call js_plain; mov -8(%rbp), %r10; leave\n"
		"lea -8(%r10), %rsp; ret")
	FUNCTION("aligned", "push %rbp; mov %rsp, %rbp; and $-64, %rsp; sub $128, %rsp\n"
		"mov %rdi, 64(%rsp); mov %rsp, %rdi; call js_plain; leave; ret")
	FUNCTION("alloca", "push %rbp; mov %rsp, %rbp; push %rbx; sub $8, %rsp; add $15, %rdi\n"
		"and $-16, %rdi; sub %rdi, %rsp; mov %rsp, %rdi; call js_plain\n"
		"lea -8(%rbp), %rsp; pop %rbx; pop %rbp; ret")
	FUNCTION("return_address", ".byte 0x0f, 0x1f, 0x44, 0, 0; mov (%rsp), %rax; ret")
	FUNCTION("by_copy", "push %rbx; mov %rsp, %rax; mov 16(%rax), %rbx; mov %rbx, %rax\n"
		"pop %rbx; ret")
	FUNCTION("scratch_after_call", "push %rbx; mov %rsp, %rsi; call js_plain; mov 16(%rsi), %rax\n"
		"pop %rbx; ret")
	FUNCTION("cold", "push %rbx; mov %rdi, %rbx; test %rdi, %rdi; je js_cold_part; pop %rbx; ret")
	FUNCTION("cold_7", "push %rbx; mov %rdi, %rbx; test %rdi, %rdi; je js_cold_7_part\n"
		"pop %rbx; ret")
	FUNCTION("tail_known", "lea 8(%rdi), %rsi; mov %rsi, %rdi; jmp js_args_7")
	FUNCTION("tail_pointer", "lea 8(%rdi), %rsi; mov %rsi, %rdi; jmp *8(%rdi)")
	FUNCTION("tail_got", "lea 8(%rdi), %rsi; mov %rsi, %rdi; jmp *js_pointer(%rip)")
	FUNCTION("noreturn", "test %rdi, %rdi; je 1f; mov %rdi, %rax; ret\n"
		"1: sub $8, %rsp; call js_plain")
	".byte 6\n"
	FUNCTION("escapes", "xor %eax, %eax; mov %rsp, %rdi; sub $8, %rsp; call js_plain\n"
		"add $8, %rsp; ret")
	FUNCTION("escapes_late", "push %rbx; lea 8(%rsp), %rbx; mov %rbx, (%rdi); pop %rbx; ret")
	FUNCTION("stored", "xor %eax, %eax; test %edi, %edi; mov %rsp, (%rdi); ret")
	FUNCTION("push_loop", "push %rbp; mov %rsp, %rbp; nop; 1: push %rax; dec %rdi; jne 1b; leave; ret")
	FUNCTION("pop_loop", "push %rbp; mov %rsp, %rbp; sub $800, %rsp; 1: pop %rax; dec %rdi\n"
		"jne 1b; leave; ret")
	FUNCTION("switched_stack", ".byte 0x0f, 0x1f, 0x44, 0, 0; push %rbx; mov %rsp, %rax\n"
		"mov %rdi, %rsp; push %rax; pop %rsp; pop %rbx; ret")
	FUNCTION("loads_stack", "push %rbp; mov %rsp, %rbp; mov %rdi, %rsp; leave; ret")
	/* Parts of others, and stubs. */
	"js_cold_part: sub $16, %rsp; mov %rdi, 8(%rsp); call js_plain; add $16, %rsp; pop %rbx; ret\n"
	"js_cold_7_part: mov 16(%rsp), %rdi; call js_plain; pop %rbx; ret\n"
	FUNCTION("calls_plt", "sub $8, %rsp; mov %rdi, %rsi; call js_stub; add $8, %rsp; ret")
	FUNCTION("jumps_plt", "xor %eax, %eax; mov %rdi, %rsi; jmp js_stub")
	FUNCTION("calls_got", "sub $8, %rsp; mov %rdi, %rsi; call *js_pointer(%rip); add $8, %rsp; ret")
	FUNCTION("calls_register", "sub $8, %rsp; mov %rdi, %rsi; call *%rdi; add $8, %rsp; ret")
	"js_stub: endbr64; .byte 0xf2; jmp *js_pointer(%rip)\n"
	"js_text_end:\n"
	".section .rodata\n.balign 8\n"
	"js_table: .long js_case_0 - js_table, js_case_1 - js_table, js_case_0 - js_table\n"
	"	.long js_cold_part - js_table\n"
	".skip 256, 0xaa\n"
	"js_bad_table: .long js_bad_switch_end - js_bad_table - 1, js_bad_label - js_bad_table\n"
	".skip 65536, 0xaa\n"
	".section .data.rel.ro, \"aw\"\n.balign 8\n"
	"js_labels: .quad js_label_0, js_label_1\n"
	".skip 256, 0xaa\n"
	"js_bad_labels: .quad js_bad_goto_1, js_bad_goto_0, js_bad_pointer_0\n"
	".skip 65536, 0xaa\n"
	"js_bad_labels_pointer: .quad js_bad_labels\n"
	"js_pointer: .quad js_plain\n"
	".skip 65536, 0xaa\n"
	".text\n");
/* clang-format on */

extern const u8 js_text[], js_text_end[];

static ssize_t read_self(void *ctx, u64 address, void *buffer, size_t len)
{
	(void)ctx;
	if (address < 0x10000 || address >= 1ULL << 47)
		return -14;
	memcpy(buffer, (const void *)(uintptr_t)address, len);
	return (ssize_t)len;
}

static const struct mem_reader self = {.read = read_self};

static u64 at(const void *place)
{
	return (u64)(uintptr_t)place;
}

static struct jump_question question(const u8 *start, const u8 *end)
{
	return (struct jump_question){.address = at(start),
				      .size = (u64)(end - start),
				      .code = start,
				      .available = (size_t)(end - start),
				      .text = at(js_text),
				      .text_end = at(js_text_end),
				      .memory = &self};
}

struct expected {
	const char *name;
	const u8 *start, *end;
	const char *why; /* a part of it, NULL: it is safe */
};

#define SAFE(NAME)      X(NAME, NULL)
#define UNSAFE(NAME, W) X(NAME, W)
#define X(NAME, W)      extern const u8 js_##NAME[], js_##NAME##_end[];
#define FUNCTIONS                                                                                  \
	SAFE(plain)                                                                                \
	SAFE(five)                                                                                 \
	SAFE(loop_behind)                                                                          \
	SAFE(to_byte_0)                                                                            \
	SAFE(to_byte_5)                                                                            \
	SAFE(got_jump)                                                                             \
	SAFE(vtable_jump)                                                                          \
	SAFE(register_jump)                                                                        \
	SAFE(switch)                                                                               \
	SAFE(goto)                                                                                 \
	SAFE(constant)                                                                             \
	UNSAFE(short, "shorter than a jump")                                                       \
	UNSAFE(branch_1, "branches into its first bytes")                                          \
	UNSAFE(branch_4, "branches into its first bytes")                                          \
	UNSAFE(branch_loop, "branches into its first bytes")                                       \
	UNSAFE(branch_near, "branches into its first bytes")                                       \
	UNSAFE(call_inside, "branches into its first bytes")                                       \
	UNSAFE(takes_inside, "takes an address in its first bytes")                                \
	UNSAFE(reads_itself, "reads its own first bytes")                                          \
	UNSAFE(garbage, "no instruction")                                                          \
	UNSAFE(cut_off, "no instruction")                                                          \
	UNSAFE(first_call, "only run in their own place")                                          \
	UNSAFE(first_loop, "only run in their own place")                                          \
	UNSAFE(first_syscall, "only run in their own place")                                       \
	UNSAFE(bad_switch, "indirect jump")                                                        \
	UNSAFE(bad_goto, "indirect jump")                                                          \
	UNSAFE(bad_pointer, "indirect jump")                                                       \
	UNSAFE(distances, "indirect jump")                                                         \
	UNSAFE(half_address, "indirect jump")

#define CUSTOM                                                                                     \
	SAFE(args_6)                                                                               \
	UNSAFE(args_7, "arguments on the stack")                                                   \
	UNSAFE(args_7_frame, "arguments on the stack")                                             \
	UNSAFE(args_7_late, "arguments on the stack")                                              \
	UNSAFE(variadic, "arguments on the stack")                                                 \
	UNSAFE(realigned, "arguments on the stack")                                                \
	SAFE(aligned)                                                                              \
	SAFE(alloca)                                                                               \
	UNSAFE(return_address, "arguments on the stack")                                           \
	UNSAFE(by_copy, "arguments on the stack")                                                  \
	SAFE(cold)                                                                                 \
	UNSAFE(cold_7, "arguments on the stack")                                                   \
	UNSAFE(tail_known, "arguments on the stack")                                               \
	UNSAFE(tail_pointer, "goes on elsewhere")                                                  \
	UNSAFE(tail_got, "goes on elsewhere")                                                      \
	SAFE(noreturn)                                                                             \
	UNSAFE(escapes, "arguments on the stack")                                                  \
	UNSAFE(escapes_late, "arguments on the stack")                                             \
	UNSAFE(stored, "arguments on the stack")                                                   \
	SAFE(scratch_after_call)                                                                   \
	SAFE(push_loop)                                                                            \
	UNSAFE(pop_loop, "stack pointer cannot be followed")                                       \
	UNSAFE(switched_stack, "stack pointer cannot be followed")                                 \
	UNSAFE(loads_stack, "stack pointer cannot be followed")
FUNCTIONS
CUSTOM
#undef X
#define X(NAME, W) {#NAME, js_##NAME, js_##NAME##_end, W},
static const struct expected functions[] = {FUNCTIONS}, custom[] = {CUSTOM};
#undef X

extern const u8 js_calls_plt[], js_calls_plt_end[], js_jumps_plt[], js_jumps_plt_end[];
extern const u8 js_calls_got[], js_calls_got_end[], js_calls_register[], js_calls_register_end[];

static void check(const struct expected *e, const struct jump_question *q)
{
	const char *why;
	bool safe = jump_is_safe(q, &why);

	ck_assert_msg(safe == !e->why, "%s: %s", e->name, safe ? "safe" : why);
	ck_assert_msg(safe ? !why : !!strstr(why, e->why), "%s: %s", e->name, why);
}

START_TEST(one_thing_each)
{
	struct jump_question q = question(functions[_i].start, functions[_i].end);

	check(&functions[_i], &q);
}
END_TEST

START_TEST(arguments_on_the_stack)
{
	struct jump_question q = question(custom[_i].start, custom[_i].end);
	const struct expected fine = {.name = custom[_i].name};

	/* Of the table: safe, whatever it does with the stack. */
	check(&fine, &q);
	q.custom = true;
	check(&custom[_i], &q);
}
END_TEST

START_TEST(known_functions)
{
	u64 known[] = {at(js_plain), at(js_args_7)};
	struct jump_question q = question(js_tail_known, js_tail_known_end);
	const struct expected fine = {.name = "known"};

	q.custom = true;
	q.known = known;
	q.known_n = 2;
	check(&fine, &q);
	q = question(js_tail_got, js_tail_got_end);
	q.custom = true;
	q.known = known;
	q.known_n = 2;
	check(&fine, &q);
	/* By way of the PLT: the stub's pointer leads to js_plain. */
	q = question(js_jumps_plt, js_jumps_plt_end);
	q.custom = true;
	check(&(struct expected){.name = "plt, followed"}, &q);
	q.text = at(js_jumps_plt);
	q.text_end = at(js_jumps_plt_end);
	check(&(struct expected){.name = "plt, elsewhere", .why = "elsewhere"}, &q);
	q.known = known;
	q.known_n = 2;
	check(&(struct expected){.name = "plt, known"}, &q);
}
END_TEST

/* Where a function is, and what else the caller knows. */
START_TEST(place)
{
	struct jump_question q = question(js_plain, js_plain_end), changed;

	changed = q;
	changed.symbol_inside = true;
	check(&(struct expected){.name = "symbol", .why = "symbol"}, &changed);
	changed = q;
	changed.branched_into = true;
	check(&(struct expected){.name = "branch", .why = "other code"}, &changed);
	changed = q;
	changed.available--;
	check(&(struct expected){.name = "read", .why = "cannot be read"}, &changed);
	changed = q;
	changed.size = 0;
	check(&(struct expected){.name = "size", .why = "size is unknown"}, &changed);
	/* A limit serves as size; what follows the function must be code. */
	changed.limit = q.size;
	check(&(struct expected){.name = "limit"}, &changed);
	changed.limit = at(js_short) - at(js_plain);
	changed.available = changed.limit;
	check(&(struct expected){.name = "limit, several"}, &changed);
	changed = q;
	changed.size = changed.available = 1ULL << 40;
	check(&(struct expected){.name = "huge", .why = "believable"}, &changed);
	changed = q;
	changed.size = 4;
	check(&(struct expected){.name = "short", .why = "shorter"}, &changed);
	changed.size = 6; /* push, mov, and a part of sub */
	check(&(struct expected){.name = "beyond", .why = "beyond its end"}, &changed);
}
END_TEST

START_TEST(two_pages)
{
	u8 code[64];
	struct jump_question q = {.code = code, .size = sizeof(code), .available = sizeof(code)};

	memset(code, 0x90, sizeof(code));
	for (u64 offset = 4080; offset < 4100; offset++) {
		const char *why;

		q.address = 0x400000 + offset;
		ck_assert_int_eq(jump_is_safe(&q, &why), offset <= 4091 || offset >= 4096);
	}
}
END_TEST

/* An indirect jump is refused if there is no memory to look at. */
START_TEST(no_memory)
{
	struct jump_question q = question(js_switch, js_switch_end);

	q.memory = NULL;
	check(&(struct expected){.name = "switch", .why = "indirect jump"}, &q);
}
END_TEST

static size_t put_branch(u8 *text, size_t at_byte, const char *opcode, size_t n, u64 target)
{
	s32 distance = (s32)(target - (at_byte + n + 4));

	memcpy(text + at_byte, opcode, n);
	memcpy(text + at_byte + n, &distance, sizeof(distance));
	return n + 4;
}

/* Each kind of branch, from before and from behind, to each byte; and from within. */
START_TEST(branches_of_others)
{
	static const char *const opcodes[] = {"\xe8", "\xe9", "\x0f\x80", "\x0f\x84", "\x0f\x8f"};
	static const size_t places[] = {0, 77, 0x8000, 0xfffa, 0x4010, 0x403a, 0x403b, 0x3ffa};
	static u8 text[0x10000];
	const u64 base = 0x55550000;

	for (size_t k = 0; k < ARRAY_SIZE(opcodes); k++) {
		for (size_t p = 0; p < ARRAY_SIZE(places); p++) {
			for (u64 to = 0; to < 8; to++) {
				struct jump_range ranges[] = {{base + 0x3000, 64, false},
							      {base + 0x4000, 64, false},
							      {base + 0x4040, 64, false}};
				bool inside = places[p] >= 0x4000 && places[p] < 0x4040;
				size_t n = strlen(opcodes[k]);

				memset(text, 0x90, sizeof(text));
				put_branch(text, places[p], opcodes[k], n, 0x4000 + to);
				if (places[p] + n + 4 > sizeof(text))
					continue;
				jump_branches_into(text, sizeof(text), base, ranges, 3);
				ck_assert_msg(ranges[1].hit == (!inside && to > 0 && to < 5),
					      "opcode %zu at %#zx to %lu", k, places[p],
					      (unsigned long)to);
				ck_assert(!ranges[0].hit && !ranges[2].hit);
			}
		}
	}
}
END_TEST

/* Functions that are less than five bytes apart are all seen. */
START_TEST(branches_to_neighbours)
{
	u8 text[64];
	struct jump_range ranges[] = {{0x1000, 2, false}, {0x1002, 2, false}, {0x1004, 2, false}};

	memset(text, 0x90, sizeof(text));
	put_branch(text, 10, "\xe9", 1, 0x1003);
	jump_branches_into(text, sizeof(text), 0, ranges, 3);
	ck_assert(ranges[0].hit && ranges[1].hit && !ranges[2].hit);
	/* The first bytes need not be aligned. */
	ranges[0] = (struct jump_range){.address = 0x100e, .size = 64};
	put_branch(text, 10, "\xe9", 1, 0x1012);
	jump_branches_into(text, sizeof(text), 0, ranges, 1);
	ck_assert(ranges[0].hit);
}
END_TEST

START_TEST(speed_of_the_search)
{
	size_t len = 64U << 20;
	struct jump_range ranges[100];
	struct timespec start, end;
	u8 *text = malloc(len);
	size_t code = at(js_text_end) - at(js_text);
	double seconds;

	/* Real code, again and again. */
	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i + code <= len; i += code)
		memcpy(text + i, js_text, code);
	for (u64 i = 0; i < ARRAY_SIZE(ranges); i++)
		ranges[i] = (struct jump_range){.address = 0x10000000 + i * 0x1230, .size = 64};
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	jump_branches_into(text, len, 0x10000000, ranges, ARRAY_SIZE(ranges));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	printf("jump_safety: %.0f MB/s are searched for branches\n", (double)len / 1e6 / seconds);
	free(text);
}
END_TEST

START_TEST(calls)
{
	u64 targets[] = {at(js_plain), at(js_args_7)}, none[] = {1, at(js_text_end)};
	const struct {
		const u8 *start, *end;
		enum jump_calls one, other;
	} cases[] = {
		{js_plain, js_plain_end, JUMP_CALLS_NOTHING, JUMP_CALLS_NOTHING},
		{js_to_byte_0, js_to_byte_0_end, JUMP_CALLS_NOTHING, JUMP_CALLS_NOTHING},
		{js_five, js_five_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_args_6, js_args_6_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_tail_known, js_tail_known_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_calls_plt, js_calls_plt_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_jumps_plt, js_jumps_plt_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_calls_got, js_calls_got_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_got_jump, js_got_jump_end, JUMP_CALLS_ONE, JUMP_CALLS_OTHERS},
		{js_calls_register, js_calls_register_end, JUMP_CALLS_OTHERS, JUMP_CALLS_OTHERS},
		{js_cold, js_cold_end, JUMP_CALLS_OTHERS, JUMP_CALLS_OTHERS},
		{js_garbage, js_garbage_end, JUMP_CALLS_OTHERS, JUMP_CALLS_OTHERS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jump_question q = question(cases[i].start, cases[i].end);

		ck_assert_msg(jump_calls_any(&q, targets, 2) == cases[i].one, "case %zu", i);
		ck_assert_msg(jump_calls_any(&q, none, 2) == cases[i].other, "case %zu", i);
	}
}
END_TEST

START_TEST(calls_of_known_functions)
{
	u64 targets[] = {at(js_plain), at(js_args_7)};
	const struct {
		const u8 *start, *end;
		bool known;
	} cases[] = {
		{js_plain, js_plain_end, true},
		{js_five, js_five_end, true},
		{js_args_6, js_args_6_end, true},
		{js_calls_plt, js_calls_plt_end, true},
		{js_jumps_plt, js_jumps_plt_end, true},
		{js_calls_got, js_calls_got_end, true},
		/* One call of something else is enough. */
		{js_args_7_late, js_args_7_late_end, false},
		{js_calls_register, js_calls_register_end, false},
		{js_vtable_jump, js_vtable_jump_end, false},
		{js_cold, js_cold_end, false},
		{js_garbage, js_garbage_end, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct jump_question q = question(cases[i].start, cases[i].end);

		ck_assert_msg(jump_calls_only(&q, targets, 2) == cases[i].known, "case %zu", i);
	}
}
END_TEST

Suite *jump_safety_suite(void)
{
	Suite *suite = suite_create("jump_safety");
	TCase *tcase = tcase_create("jump_safety");

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, one_thing_each, 0, (int)ARRAY_SIZE(functions));
	tcase_add_loop_test(tcase, arguments_on_the_stack, 0, (int)ARRAY_SIZE(custom));
	tcase_add_test(tcase, known_functions);
	tcase_add_test(tcase, place);
	tcase_add_test(tcase, two_pages);
	tcase_add_test(tcase, no_memory);
	tcase_add_test(tcase, branches_of_others);
	tcase_add_test(tcase, branches_to_neighbours);
	tcase_add_test(tcase, speed_of_the_search);
	tcase_add_test(tcase, calls);
	tcase_add_test(tcase, calls_of_known_functions);
	suite_add_tcase(suite, tcase);
	return suite;
}
