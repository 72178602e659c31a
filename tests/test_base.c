// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/safe_file.h"
#include "tests/suites.h"

START_TEST(first_failure_is_kept)
{
	struct err err = ERR_INIT;

	ck_assert_int_eq(err_set(&err, ENOENT, "first %d", 1), -ENOENT);
	ck_assert_int_eq(err_sys(&err, EIO, "second"), -EIO);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_str_eq(err.msg, "first 1");
	err_reset(&err);
	err_sys(&err, EIO, "third");
	ck_assert_str_eq(err.msg, "third: Input/output error");
	ck_assert_int_eq(err_set(NULL, EPERM, "nobody reads it"), -EPERM);
}
END_TEST

START_TEST(file_appears_whole_or_not_at_all)
{
	char dir[] = "/tmp/memattach-test-XXXXXX";
	struct err err = ERR_INIT;
	struct safe_file file;
	char path[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/out", dir);
	ck_assert_int_eq(safe_file_open(&file, path, &err), 0);
	fputs("half", file.f);
	fflush(file.f);
	ck_assert_int_ne(access(path, F_OK), 0);
	safe_file_abort(&file);
	ck_assert_int_ne(access(path, F_OK), 0);

	ck_assert_int_eq(safe_file_open(&file, path, &err), 0);
	fputs("whole", file.f);
	ck_assert_int_eq(safe_file_commit(&file, &err), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	/* The temporary files are gone, too, or the directory would not be empty. */
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(full_disk_is_said)
{
	struct err err = ERR_INIT;
	struct safe_file file;

	ck_assert_int_eq(safe_file_open(&file, "/dev/full", &err), 0);
	fputs("lost", file.f);
	ck_assert_int_eq(safe_file_commit(&file, &err), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(err.msg, "/dev/full"));
}
END_TEST

START_TEST(unwritable_directory_is_said)
{
	struct err err = ERR_INIT;
	struct safe_file file;

	ck_assert_int_eq(safe_file_open(&file, "/no/such/directory/out", &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, "/no/such/directory/out"));
}
END_TEST

Suite *base_suite(void)
{
	Suite *suite = suite_create("base");
	TCase *tcase = tcase_create("base");

	tcase_add_test(tcase, first_failure_is_kept);
	tcase_add_test(tcase, file_appears_whole_or_not_at_all);
	tcase_add_test(tcase, full_disk_is_said);
	tcase_add_test(tcase, unwritable_directory_is_said);
	suite_add_tcase(suite, tcase);
	return suite;
}
