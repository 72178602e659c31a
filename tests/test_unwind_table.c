// SPDX-License-Identifier: MIT
/* What .eh_frame is compiled to: synthetic sections row by row, and how much of real ones rows cover. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/in_loops.h"
#include "tests/suites.h"
#include "unwind/compile.h"
#include "unwind/table_cache.h"

/* Module addresses 0x1000 .. 0x3000, section at 0x8000; the data as given. */
static void compile_bytes(struct unwind_table *table, const u8 *data, size_t size, bool debug)
{
	struct elf_cfi elf = {.base = 0x1000, .top = 0x3000};
	struct cfi_section *section = debug ? &elf.debug_frame : &elf.eh_frame;

	*section = (struct cfi_section){data, size, debug ? 0 : 0x8000, true};
	ck_assert_int_eq(unwind_table_compile_elf(table, &elf), 0);
}

static void assert_rows(const struct unwind_table *table, const struct unwind_row *rows, size_t n)
{
	for (size_t i = 0; i < n && i < table->n; i++) {
		ck_assert_msg(table->rows[i].start == rows[i].start &&
				      table->rows[i].rule == rows[i].rule,
			      "row %zu: %x %x, expected %x %x", i, table->rows[i].start,
			      table->rows[i].rule, rows[i].start, rows[i].rule);
	}
	ck_assert_uint_eq(table->n, n);
}

static void assert_compiles(const u8 *data, size_t size, bool debug, const struct unwind_row *rows,
			    size_t n)
{
	struct unwind_table table;

	compile_bytes(&table, data, size, debug);
	assert_rows(&table, rows, n);
	unwind_table_deinit(&table);
}

/* A CIE "zR" with udata4 addresses: CFA = rsp + 8, return address at CFA - 8. 24 bytes. */
#define CIE_ZR                                                                                     \
	20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x03, 0x0c, 7, 8, 0x90, 1, 0, 0

/* The head of an FDE of len bytes in all, at offset at, for addresses [start, start + size). */
#define FDE(len, at, start, size)                                                                  \
	(len) - 4, 0, 0, 0, (at) + 4, 0, 0, 0, (start)&255, (start) >> 8, 0, 0, (size)&255,        \
		(size) >> 8, 0, 0, 0

#define NONE      0
#define RSP(n)    unwind_rule(UNWIND_RSP, 0, n)
#define RSP_16(n) unwind_rule(UNWIND_RSP, 2, n) /* rbp at CFA - 16 */

START_TEST(frame_pointer_prologue)
{
	static const u8 data[] = {
		CIE_ZR, FDE(32, 24, 0x1010, 0x20),
		0x41,   0x0e,
		16,     0x86,
		2, /* push %rbp */
		0x43,   0x0d,
		6, /* mov %rsp, %rbp */
		0x02,   0x10,
		0x0c,   7,
		8, /* leave, 16 bytes on */
		0,      0,
		0,      0,
		0,      0, /* terminator */
	};
	const struct unwind_row expected[] = {
		{0, NONE},
		{0x10, unwind_rule(UNWIND_RSP, 0, 8)},
		{0x11, unwind_rule(UNWIND_RSP, 2, 16)},
		{0x14, unwind_rule(UNWIND_RBP, 2, 16)},
		{0x24, unwind_rule(UNWIND_RSP, 2, 8)},
		{0x30, NONE},
	};
	struct unwind_table table;

	compile_bytes(&table, data, sizeof(data), false);
	assert_rows(&table, expected, ARRAY_SIZE(expected));
	ck_assert_uint_eq(unwind_rows_find(table.rows, table.n, 0x13), expected[2].rule);
	ck_assert_uint_eq(unwind_rows_find(table.rows, table.n, 0x2f), expected[4].rule);
	ck_assert_uint_eq(unwind_rows_find(table.rows, table.n, 0x30), NONE);
	ck_assert_uint_eq(unwind_rows_find(table.rows, table.n, 0xffffffff), NONE);
	unwind_table_deinit(&table);
}
END_TEST

START_TEST(remember_restore_and_extended_forms)
{
	static const u8 data[] = {
		CIE_ZR, FDE(46, 24, 0x1000, 0x100),
		0x0a, /* remember_state */
		0x03,   0x10,
		0,      0x0e,
		48, /* advance_loc2 16, def_cfa_offset 48 */
		0x05,   6,
		2, /* offset_extended rbp */
		0x04,   0x10,
		0,      0,
		0,      0x0b, /* advance_loc4 16, restore_state */
		0x50,   0x13,
		0x7e, /* advance_loc 16, def_cfa_offset_sf -2 * -8 */
		0x11,   6,
		2, /* offset_extended_sf rbp 2 * -8 */
		0x50,   0xc6,
		0x2e,   16, /* restore rbp, args_size */
		0x50,   0x07,
		16, /* undefined rip: outermost */
		0,
	};
	const struct unwind_row expected[] = {
		{0, RSP(8)},        {0x10, RSP_16(48)}, {0x20, RSP(8)},
		{0x30, RSP_16(16)}, {0x40, RSP(16)},    {0x50, unwind_rule(UNWIND_FIRST, 0, 0)},
		{0x100, NONE},
	};

	assert_compiles(data, sizeof(data), false, expected, ARRAY_SIZE(expected));
}
END_TEST

START_TEST(expressions)
{
	static const u8 data[] = {
		CIE_ZR, FDE(60, 24, 0x1000, 0x100),
		0x0f,   11,
		0x77,   8,
		0x80,   0,
		0x3f,   0x1a,
		0x3b,   0x2a,
		0x33,   0x24,
		0x22, /* PLT */
		0x50,   0x0f,
		3,      0x76,
		0x78,   0x06, /* CFA = *(rbp - 8) */
		0x10,   6,
		2,      0x76,
		0, /* rbp at rbp + 0 */
		0x50,   0x0f,
		2,      0x77,
		8, /* an expression that rows do not know */
		0x50,   0x0c,
		3,      8, /* CFA = rbx + 8 */
		0x50,   0x0c,
		7,      4, /* CFA = rsp + 4 */
		0x50,   0x0c,
		7,      8,
		0xff, /* and a malformed end (restore of r63 is fine) */
		0x3f, /* no instruction */
	};
	static const u32 ask = UNWIND_ASK;
	const struct unwind_row expected[] = {
		{0, unwind_rule(UNWIND_PLT, 0, 88)},
		{0x10, unwind_rule(UNWIND_RBP_DEREF, UNWIND_RBP_AT_RBP, -8)},
		{0x20, ask},
		{0x100, NONE},
	};

	assert_compiles(data, sizeof(data), false, expected, ARRAY_SIZE(expected));
}
END_TEST

/* 64-bit entries, a CIE behind its FDE, and .debug_frame's other ids. */
START_TEST(other_entry_formats)
{
	static const u8 eh64[] = {
		0xff, 0xff, 0xff, 0xff, 28,   0,    0, 0,    0, 0,   0,   0, /* 64-bit length */
		0,    0,    0,    0,    0,    0,    0, 0,    1, 'z', 'R', 0, 1, 0x78, 16,
		1,    0x03, 0x0c, 7,    8,    0x90, 1, 0,    0, 0,   0,   0, 0, 0xff, 0xff,
		0xff, 0xff, 20,   0,    0,    0,    0, 0,    0, 0,   52,  0, 0, 0,    0,
		0,    0,    0,    0,    0x10, 0,    0, 0x10, 0, 0,   0,   0, 0, 0,    0,
	};
	static const u8 debug[] = {
		24, 0,    0,    0,    28, 0,    0,  0, /* the FDE first; its CIE is at 28 */
		0,  0x10, 0,    0,    0,  0,    0,  0, 0x10, 0, 0,    0,    0,    0,
		0,  0,    0x44, 0x0e, 16, 0,    16, 0, 0,    0, 0xff, 0xff, 0xff, 0xff,
		3,  0,    1,    0x78, 16, 0x0c, 7,  8, 0x90, 1, 0,    0,
	};
	const struct unwind_row expected64[] = {{0, RSP(8)}, {0x10, NONE}};
	const struct unwind_row expected_debug[] = {{0, RSP(8)}, {4, RSP(16)}, {0x10, NONE}};

	assert_compiles(eh64, sizeof(eh64), false, expected64, ARRAY_SIZE(expected64));
	assert_compiles(debug, sizeof(debug), true, expected_debug, ARRAY_SIZE(expected_debug));
}
END_TEST

START_TEST(overlapping_functions)
{
	static const u8 data[] = {
		CIE_ZR,
		FDE(24, 24, 0x1020, 0x20),
		0x0e,
		32,
		0,
		0,
		0,
		0,
		0, /* later in order, first here */
		FDE(24, 48, 0x1000, 0x28),
		0x0e,
		16,
		0x60,
		0x0e,
		24,
		0,
		0,
		FDE(24, 72, 0x2ff8, 0x20),
		0x0e,
		64,
		0,
		0,
		0,
		0,
		0, /* sticks out of the module */
		FDE(24, 96, 0x1030, 0),
		0x0e,
		64,
		0,
		0,
		0,
		0,
		0, /* of no size */
	};
	const struct unwind_row expected[] = {
		{0, RSP(16)}, {0x20, RSP(24)}, {0x28, RSP(32)}, {0x40, NONE}};

	assert_compiles(data, sizeof(data), false, expected, ARRAY_SIZE(expected));
}
END_TEST

static const struct {
	const char *path;
	double share; /* of rows that need no libdw, at least, in percent */
} files[] = {
	{"/lib/x86_64-linux-gnu/libc.so.6", 99.9},
	{"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 99.9},
	{"/usr/bin/python3", 99.9},
	{"/usr/bin/redis-server", 99.9},
	{"/usr/bin/node", 99.5},
	/* Debian's own node is a small program over this. */
	{"/usr/lib/x86_64-linux-gnu/libnode.so.108", 99.5},
};

/* Too small to say anything: where most of it is in a library. */
#define SMALL_FILE (256 * 1024)

START_TEST(coverage)
{
	int fd = open(files[_i].path, O_RDONLY | O_CLOEXEC);
	struct unwind_table table;
	size_t ask = 0, none = 0;
	double ms, share;
	u64 before;

	if (fd < 0) {
		printf("unwind_table: SKIPPED: %s is not installed\n", files[_i].path);
		return;
	}
	if (lseek(fd, 0, SEEK_END) < SMALL_FILE) {
		printf("unwind_table: SKIPPED: %s is a small file here\n", files[_i].path);
		close(fd);
		return;
	}
	before = clock_ns();
	ck_assert_int_eq(unwind_table_compile(&table, fd), 0);
	ms = (double)(clock_ns() - before) / 1e6;
	ck_assert_uint_gt(table.n, 1000);
	for (size_t i = 0; i < table.n; i++) {
		ask += unwind_rule_kind(table.rows[i].rule) == UNWIND_ASK;
		none += unwind_rule_kind(table.rows[i].rule) == UNWIND_NONE;
		if (i)
			assert_in_loop(table.rows[i - 1].start < table.rows[i].start);
	}
	share = 100 - 100.0 * (double)ask / (double)(table.n - none);
	printf("unwind_table: %s: %zu rows, %zu gaps, %zu need libdw: %.3f %% covered; %.1f ms\n",
	       files[_i].path, table.n - none, none, ask, share, ms);
	ck_assert(share >= files[_i].share);
	unwind_table_deinit(&table);
	close(fd);
}
END_TEST

/* A copy of a file in memory, so that a test can change it. */
static int copy_file(const char *path, u8 **data, size_t *size)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("copy", MFD_CLOEXEC);
	off_t n = lseek(from, 0, SEEK_END);

	ck_assert_int_ge(to, 0);
	ck_assert_int_gt(n, 0);
	*size = (size_t)n;
	ck_assert_int_eq(ftruncate(to, n), 0);
	*data = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
	ck_assert_ptr_ne(*data, MAP_FAILED);
	ck_assert_int_eq(pread(from, *data, *size, 0), n);
	close(from);
	return to;
}

START_TEST(without_section_headers)
{
	struct unwind_table with, without;
	u8 *data;
	size_t size;
	int fd = copy_file("/lib/x86_64-linux-gnu/libc.so.6", &data, &size);

	ck_assert_int_eq(unwind_table_compile(&with, fd), 0);
	memset(data + offsetof(Elf64_Ehdr, e_shoff), 0, 8);
	memset(data + offsetof(Elf64_Ehdr, e_shnum), 0, 4);
	ck_assert_int_eq(unwind_table_compile(&without, fd), 0);
	ck_assert_uint_gt(with.n, 1000);
	ck_assert_uint_eq(with.n, without.n);
	ck_assert_mem_eq(with.rows, without.rows, with.n * sizeof(*with.rows));
	unwind_table_deinit(&with);
	unwind_table_deinit(&without);
	munmap(data, size);
	close(fd);
}
END_TEST

START_TEST(compiled_once_per_file)
{
	struct table_cache *cache = table_cache_create();
	const struct unwind_table *first, *second;
	u8 *data;
	size_t size;
	int fd = copy_file("/lib/x86_64-linux-gnu/libm.so.6", &data, &size);

	first = table_cache_get(cache, fd);
	ck_assert_uint_gt(first->n, 100);
	for (int i = 0; i < 1000; i++) {
		table_cache_put(cache, first);
		second = table_cache_get(cache, fd);
		ck_assert_ptr_eq(first, second);
	}
	ck_assert_uint_eq(table_cache_compiled(cache), 1);
	/* Another file of the same inode number is another one; 100 of them do not stay. */
	table_cache_put(cache, first);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(ftruncate(fd, (off_t)size + i + 1), 0);
		second = table_cache_get(cache, fd);
		ck_assert_ptr_nonnull(second);
		table_cache_put(cache, second);
	}
	ck_assert_uint_eq(table_cache_compiled(cache), 101);
	ck_assert_int_eq(ftruncate(fd, (off_t)size + 1), 0);
	table_cache_put(cache, table_cache_get(cache, -1));
	table_cache_destroy(cache);
	munmap(data, size);
	close(fd);
}
END_TEST

Suite *unwind_table_suite(void)
{
	Suite *suite = suite_create("unwind_table");
	TCase *tcase = tcase_create("table");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, frame_pointer_prologue);
	tcase_add_test(tcase, remember_restore_and_extended_forms);
	tcase_add_test(tcase, expressions);
	tcase_add_test(tcase, other_entry_formats);
	tcase_add_test(tcase, overlapping_functions);
	tcase_add_loop_test(tcase, coverage, 0, (int)ARRAY_SIZE(files));
	tcase_add_test(tcase, without_section_headers);
	tcase_add_test(tcase, compiled_once_per_file);
	suite_add_tcase(suite, tcase);
	return suite;
}
