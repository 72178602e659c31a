// SPDX-License-Identifier: MIT
#include "tests/suites.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/types.h"
#include "proc/maps.h"

static int parse(struct maps *maps, const char *text)
{
	return maps_parse(maps, text, strlen(text), NULL);
}

START_TEST(line_is_read_field_by_field)
{
	struct maps maps;

	ck_assert_int_eq(
		parse(&maps,
		      "7f2c4a028000-7f2c4a1bd000 r-xp 00028000 fe:01 1835034    /a/libc.so\n"
		      "7ffd1000-7ffd2000 rw-s 00000000 00:00 0 \n"
		      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]"),
		0);
	/* The second begins below the end of the first: it is what is left of it, nothing. */
	ck_assert_uint_eq(maps.n, 2);
	ck_assert_uint_eq(maps.items[0].start, 0x7f2c4a028000);
	ck_assert_uint_eq(maps.items[0].end, 0x7f2c4a1bd000);
	ck_assert_uint_eq(maps.items[0].offset, 0x28000);
	ck_assert_uint_eq(maps.items[0].dev, makedev(0xfe, 1));
	ck_assert_uint_eq(maps.items[0].inode, 1835034);
	ck_assert(maps.items[0].read && !maps.items[0].write && maps.items[0].exec);
	ck_assert(!maps.items[0].shared && !maps.items[0].deleted);
	ck_assert_str_eq(maps.items[0].path, "/a/libc.so");
	ck_assert_str_eq(maps.items[1].path, "[vsyscall]");
	maps_deinit(&maps);
}
END_TEST

START_TEST(overlap_is_clipped)
{
	struct maps maps;

	ck_assert_int_eq(parse(&maps, "1000-3000 r--p 0 00:00 0\n2000-5000 r-xp 1000 00:00 0\n"),
			 0);
	ck_assert_uint_eq(maps.n, 2);
	ck_assert_uint_eq(maps.items[1].start, 0x3000);
	ck_assert_uint_eq(maps.items[1].offset, 0x2000);
	ck_assert_str_eq(maps.items[1].path, "");
	maps_deinit(&maps);
}
END_TEST

START_TEST(escapes_and_deleted_in_text)
{
	struct maps maps;

	ck_assert_int_eq(parse(&maps, "1000-2000 r-xp 0 01:02 3 /a\\012b\\013 (deleted)\n"), 0);
	ck_assert_str_eq(maps.items[0].path, "/a\nb\\013");
	ck_assert(maps.items[0].deleted);
	maps_deinit(&maps);
}
END_TEST

START_TEST(garbage_is_refused)
{
	static const char *const bad[] = {
		"x",
		"\n",
		"1000-2000",
		"2000-1000 r-xp 0 00:00 0",
		"1000-1000 r-xp 0 00:00 0",
		"1000-2000 r-x 0 00:00 0",
		"1000-2000 rwxq 0 00:00 0",
		"1000-2000 r-xp  00:00 0",
		"1000-2000 r-xp 0 0000 0",
		"1000-2000 r-xp 0 00:00 0x",
		"1000-2000 r-xp 0 00:00 a",
		"1000-2000 R-xp 0 00:00 0",
		"10000000000000000-20000000000000000 r-xp 0 00:00 0",
		"1000-2000 r-xp 0 100000000:00 0",
		"1000-2000 r-xp 0 00:00 18446744073709551616",
		"1000-2000 r--p 0 00:00 0\ngarbage\n",
	};
	struct maps maps;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_msg(parse(&maps, bad[i]) == -EINVAL, "accepted: %s", bad[i]);
		ck_assert_uint_eq(maps.n, 0);
	}
	ck_assert_int_eq(maps_parse(&maps, "1000-2000 r-xp 0 00:00 3 /a\0b", 29, NULL), -EINVAL);
	ck_assert_int_eq(maps_parse(&maps, "", 0, NULL), 0);
	ck_assert_uint_eq(maps.n, 0);
}
END_TEST

START_TEST(address_is_found)
{
	struct maps maps;

	ck_assert_int_eq(parse(&maps, "1000-2000 r--p 0 00:00 0\n4000-5000 r--p 0 00:00 0\n"), 0);
	ck_assert_ptr_null(maps_find(&maps, 0xfff));
	ck_assert_ptr_eq(maps_find(&maps, 0x1000), &maps.items[0]);
	ck_assert_ptr_eq(maps_find(&maps, 0x1fff), &maps.items[0]);
	ck_assert_ptr_null(maps_find(&maps, 0x2000));
	ck_assert_ptr_eq(maps_find(&maps, 0x4fff), &maps.items[1]);
	ck_assert_ptr_null(maps_find(&maps, 0x5000));
	maps_deinit(&maps);
	ck_assert_ptr_null(maps_find(&maps, 0x1000));
}
END_TEST

/* Maps dir/name, and unlinks or renames it: what maps_read then says of it. */
static void check_name(const char *dir, const char *name, bool unlinked)
{
	char path[256];
	const struct map *m;
	struct err err = ERR_INIT;
	struct maps maps;
	void *p;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	close(fd);
	if (unlinked)
		ck_assert_int_eq(unlink(path), 0);
	ck_assert_msg(maps_read(&maps, getpid(), &err) == 0, "%s", err.msg);
	m = maps_find(&maps, (u64)(uintptr_t)p);
	ck_assert_ptr_nonnull(m);
	ck_assert_str_eq(m->path, path);
	ck_assert_int_eq(m->deleted, unlinked);
	maps_deinit(&maps);
	munmap(p, 4096);
	if (!unlinked)
		unlink(path);
}

START_TEST(odd_names_of_real_files)
{
	char dir[] = "/tmp/memattach-test-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	check_name(dir, "plain", false);
	check_name(dir, "plain", true);
	check_name(dir, "living (deleted)", false);
	check_name(dir, "dead (deleted)", true);
	check_name(dir, "new\nline", false);
	check_name(dir, "new\nline", true);
	check_name(dir, "new\nline (deleted)", false);
	check_name(dir, " spaces  in it ", false);
	/* Which of the two it is only map_files tells, to the privileged. */
	if (access("/proc/self/map_files", X_OK) == 0)
		check_name(dir, "literal\\012escape", false);
	else
		fprintf(stderr, "skipped: a literal \\012 in a name can only be told by root\n");
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(thirty_thousand_mappings)
{
	const size_t n = 30000;
	char *area = mmap(NULL, n * 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct err err = ERR_INIT;
	struct maps maps;
	size_t found = 0;

	ck_assert_ptr_ne(area, MAP_FAILED);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(mprotect(area + i * 8192, 4096, PROT_READ), 0);
	ck_assert_msg(maps_read(&maps, getpid(), &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < n; i++) {
		const struct map *m = maps_find(&maps, (u64)(uintptr_t)area + i * 8192);

		found += m && m->read && m->end - m->start == 4096;
	}
	ck_assert_uint_eq(found, n);
	maps_deinit(&maps);
	munmap(area, n * 2 * 4096);
}
END_TEST

START_TEST(no_such_process)
{
	struct err err = ERR_INIT;
	struct maps maps;

	ck_assert_int_eq(maps_read(&maps, 0x3fffffff, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, "/proc/1073741823/maps"));
	ck_assert_uint_eq(maps.n, 0);
}
END_TEST

Suite *maps_suite(void)
{
	Suite *suite = suite_create("maps");
	TCase *tcase = tcase_create("maps");

	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, line_is_read_field_by_field);
	tcase_add_test(tcase, overlap_is_clipped);
	tcase_add_test(tcase, escapes_and_deleted_in_text);
	tcase_add_test(tcase, garbage_is_refused);
	tcase_add_test(tcase, address_is_found);
	tcase_add_test(tcase, odd_names_of_real_files);
	tcase_add_test(tcase, thirty_thousand_mappings);
	tcase_add_test(tcase, no_such_process);
	suite_add_tcase(suite, tcase);
	return suite;
}
