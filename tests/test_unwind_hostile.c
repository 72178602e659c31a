// SPDX-License-Identifier: MIT
/* Whatever a target has in its ELF files and on its stack, reading it ends, and harms nothing. */
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/in_loops.h"
#include "tests/suites.h"
#include "tests/unwind_target.h"
#include "unwind/compile.h"

/* xorshift64 (Marsaglia): the same mutations in every run. */
static u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void assert_sound(const struct unwind_table *table)
{
	for (size_t i = 1; i < table->n; i++)
		assert_in_loop(table->rows[i - 1].start < table->rows[i].start);
	if (table->n)
		ck_assert_int_eq(unwind_rule_kind(table->rows[table->n - 1].rule), UNWIND_NONE);
}

static u8 *read_whole(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t n = lseek(fd, 0, SEEK_END);
	u8 *data = malloc((size_t)n);

	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_nonnull(data);
	ck_assert_int_eq(pread(fd, data, (size_t)n, 0), n);
	close(fd);
	*size = (size_t)n;
	return data;
}

/* A memfd with these bytes. */
static int file_of(const u8 *data, size_t size)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, data, size, 0), (ssize_t)size);
	return fd;
}

static void mutate(u8 *data, size_t size, u64 *state)
{
	static const u8 interesting[] = {0, 1, 0x7f, 0x80, 0xff, 0x0f, 0x10, 0x50, 0xc0};

	for (u64 n = 1 + next_random(state) % 8; n > 0; n--) {
		u64 r = next_random(state);
		u8 *byte = &data[(r >> 16) % size];

		*byte = r & 1 ? (u8)(r >> 8) : interesting[(r >> 8) % sizeof(interesting)];
	}
}

static void mutate_section(const char *path, unsigned times)
{
	struct unwind_table table;
	struct elf_cfi elf;
	u64 state = 0x1234567;
	u8 *copy;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(elf_cfi_open(&elf, fd), 0);
	ck_assert_int_eq(elf_cfi_read_sections(&elf), 0);
	ck_assert_ptr_nonnull(elf.eh_frame.data);
	copy = malloc(elf.eh_frame.size);
	for (unsigned i = 0; i < times; i++) {
		struct elf_cfi mutated = elf;

		memcpy(copy, elf.eh_frame.data, elf.eh_frame.size);
		mutate(copy, elf.eh_frame.size, &state);
		mutated.eh_frame.data = copy;
		mutated.eh_frame.whole = i & 1;
		mutated.debug_frame = i & 2 ? mutated.eh_frame : (struct cfi_section){0};
		ck_assert_int_eq(unwind_table_compile_elf(&table, &mutated), 0);
		assert_sound(&table);
		unwind_table_deinit(&table);
	}
	free(copy);
	elf_cfi_close(&elf);
	close(fd);
}

START_TEST(mutated_eh_frame)
{
	char path[600];

	target_path(path, sizeof(path), "unwind_shapes_O2");
	mutate_section(path, 4000);
	mutate_section("/lib/x86_64-linux-gnu/libc.so.6", 50);
}
END_TEST

START_TEST(truncated_and_mutated_files)
{
	struct unwind_table table;
	char path[600];
	u8 *data, *copy;
	size_t size;
	u64 state = 0x7654321;

	target_path(path, sizeof(path), "unwind_shapes_debug_frame");
	data = read_whole(path, &size);
	copy = malloc(size);
	for (size_t n = 0; n < size; n += 1 + n / 50) {
		int fd = file_of(data, n);

		ck_assert_int_eq(unwind_table_compile(&table, fd), 0);
		assert_sound(&table);
		unwind_table_deinit(&table);
		close(fd);
	}
	for (int i = 0; i < 1500; i++) {
		int fd;

		memcpy(copy, data, size);
		/* The ELF header and the segments; the section headers; anywhere. */
		if (i % 3 == 0)
			mutate(copy, 1024, &state);
		else if (i % 3 == 1)
			mutate(copy + size - 2560, 2560, &state);
		else
			mutate(copy, size, &state);
		fd = file_of(copy, size);
		ck_assert_int_eq(unwind_table_compile(&table, fd), 0);
		assert_sound(&table);
		unwind_table_deinit(&table);
		close(fd);
	}
	free(copy);
	free(data);
}
END_TEST

/*
 * A section of many FDEs that all share one huge CIE, or with CIEs that follow
 * each other without end, must not take quadratic time.
 */
START_TEST(one_big_cie)
{
	const size_t size = 4 << 20, cie = 1 << 20;
	u8 *data = calloc(1, size);
	struct elf_cfi elf = {.base = 0x1000, .top = 0x100000};
	struct unwind_table table;

	u32 length = (u32)cie - 4;

	memcpy(data, &length, 4);
	memcpy(data + 8, "\1\0\1\x78\x10", 5); /* version 1, no augmentation, then a million nops */
	for (size_t at = cie; at + 32 <= size; at += 32) {
		u32 fde[] = {28, (u32)at + 4, 0x1000 + (u32)(at - cie) / 32, 0, 1, 0};

		memcpy(data + at, fde, sizeof(fde));
	}
	elf.eh_frame = (struct cfi_section){data, size, 0x8000, true};
	ck_assert_int_eq(unwind_table_compile_elf(&table, &elf), 0);
	assert_sound(&table);
	unwind_table_deinit(&table);
	memset(data, 0, size); /* all terminators */
	ck_assert_int_eq(unwind_table_compile_elf(&table, &elf), 0);
	ck_assert_uint_eq(table.n, 1);
	unwind_table_deinit(&table);
	free(data);
}
END_TEST

/* Memory of the hostile kinds; ctx says which. */
enum memory_kind { ITSELF, RANDOM, IN_CODE, CLAIMS_TOO_MUCH, NOTHING, MEMORY_KINDS };

struct hostile_memory {
	enum memory_kind kind;
	u64 code; /* an address in a module */
	u64 reads;
};

static ssize_t read_hostile(void *ctx, u64 addr, void *buf, size_t len)
{
	struct hostile_memory *m = ctx;

	m->reads++;
	if (m->kind == NOTHING)
		return -EFAULT;
	for (size_t i = 0; i + 8 <= len; i += 8) {
		u64 word = addr + i, mix = (word ^ 0x5bd1e995) * 0x9e3779b97f4a7c15ULL;

		if (m->kind == RANDOM)
			word = mix >> (mix & 31);
		else if (m->kind != ITSELF)
			word = mix & 64 ? m->code + (mix >> 8) % 0x20000 : word + 64;
		memcpy((u8 *)buf + i, &word, 8);
	}
	return m->kind == CLAIMS_TOO_MUCH ? (ssize_t)len * 3 : (ssize_t)len;
}

START_TEST(hostile_stack)
{
	struct hostile_memory memory = {.kind = (enum memory_kind)_i};
	struct mem_reader reader = {.read = read_hostile, .ctx = &memory};
	const enum unwind_kind kinds[] = {UNWIND_TABLE, UNWIND_LIBDW};
	u64 state = 99;

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		int fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
		struct unwind_module m = {1,  0x7f0000000000, 0x7f0000200000, 0x7f0000000000,
					  fd, "libc"};
		struct unwinder *u = unwinder_create(kinds[k], getpid(), &reader, NULL);

		ck_assert_int_eq(unwinder_add_module(u, &m, NULL), 0);
		memory.code = m.start + 0x26000;
		for (int i = 0; i < 3000; i++) {
			struct unwind_regs regs;
			u64 pcs[UNWIND_MAX_DEPTH], before = memory.reads;
			u32 n;

			for (int r = 0; r < UNWIND_REGISTERS; r++)
				regs.r[r] = 0x7ffd00000000 + next_random(&state) % 65536 * 8;
			if (i % 16 == 0)
				regs.r[7] = next_random(&state);
			if (i % 16 == 1)
				regs.r[6] = regs.r[7];
			regs.r[16] = memory.code + next_random(&state) % 0x100000;
			if (i % 7)
				unwinder_walk(u, getpid(), &regs, pcs, UNWIND_MAX_DEPTH, &n);
			else
				unwinder_walk_entry(u, getpid(), &regs, pcs, UNWIND_MAX_DEPTH, &n);
			ck_assert_uint_ge(n, 1);
			ck_assert_uint_le(n, UNWIND_MAX_DEPTH);
			ck_assert_uint_lt(memory.reads - before, 100000);
		}
		unwinder_destroy(u);
		close(fd);
	}
}
END_TEST

/* Broken files as modules of a walk, so that libdw reads them, too. */
START_TEST(broken_modules)
{
	struct hostile_memory memory = {.kind = IN_CODE, .code = 0x7f0000001000};
	struct mem_reader reader = {.read = read_hostile, .ctx = &memory};
	char path[600];
	u8 *data, *copy;
	size_t size;
	u64 state = 4711;

	target_path(path, sizeof(path), "unwind_shapes_debug_frame");
	data = read_whole(path, &size);
	copy = malloc(size);
	for (int i = 0; i < 400; i++) {
		struct unwind_module m = {1,  0x7f0000000000, 0x7f0000006000, 0x7f0000000000,
					  -1, "broken"};
		struct unwind_regs regs = {0};
		u64 pcs[UNWIND_MAX_DEPTH];
		u32 n;

		memcpy(copy, data, size);
		mutate(copy, i & 1 ? size : 1024, &state);
		m.fd = file_of(copy, size);
		for (int k = 0; k < 2; k++) {
			struct unwinder *u =
				unwinder_create((enum unwind_kind)k, getpid(), &reader, NULL);

			ck_assert_int_eq(unwinder_add_module(u, &m, NULL), 0);
			for (int w = 0; w < 20; w++) {
				regs.r[7] = 0x7ffd00000000;
				regs.r[16] = memory.code + next_random(&state) % 0x1000;
				unwinder_walk(u, getpid(), &regs, pcs, UNWIND_MAX_DEPTH, &n);
				ck_assert_uint_ge(n, 1);
			}
			unwinder_destroy(u);
		}
		close(m.fd);
	}
	free(copy);
	free(data);
}
END_TEST

/* A module that is no ELF file, or none at all, is no error. */
START_TEST(no_elf_file)
{
	struct hostile_memory memory = {.kind = NOTHING};
	struct mem_reader reader = {.read = read_hostile, .ctx = &memory};
	int garbage = file_of((const u8 *)"not an ELF file", 15);

	for (int k = 0; k < UNWIND_KINDS; k++) {
		struct unwinder *u = unwinder_create((enum unwind_kind)k, getpid(), &reader, NULL);
		struct unwind_module m = {1, 0x10000, 0x20000, 0x10000, -1, "gone"};

		ck_assert_int_eq(unwinder_add_module(u, &m, NULL), 0);
		m = (struct unwind_module){2, 0x30000, 0x40000, 0x30000, garbage, "garbage"};
		ck_assert_int_eq(unwinder_add_module(u, &m, NULL), 0);
		unwinder_remove_module(u, 1);
		unwinder_remove_module(u, 7);
		unwinder_destroy(u);
	}
	close(garbage);
}
END_TEST

Suite *unwind_hostile_suite(void)
{
	Suite *suite = suite_create("unwind_hostile");
	TCase *tcase = tcase_create("hostile");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, mutated_eh_frame);
	tcase_add_test(tcase, truncated_and_mutated_files);
	tcase_add_test(tcase, one_big_cie);
	tcase_add_loop_test(tcase, hostile_stack, 0, MEMORY_KINDS);
	tcase_add_test(tcase, broken_modules);
	tcase_add_test(tcase, no_elf_file);
	suite_add_tcase(suite, tcase);
	return suite;
}
