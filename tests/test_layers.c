// SPDX-License-Identifier: MIT
/* tests/layers.sh and tests/style.sh: this tree keeps the rules, and one that breaks them is found out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/put_file.h"
#include "tests/suites.h"

static char dir[] = "/tmp/memattach-test-XXXXXX";
static char output[65536];

/* The exit status of a script of ours on the tree in where; what it printed is in output. */
static int run(const char *script, const char *where)
{
	char command[256];
	size_t len;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "tests/%s %s 2>&1", script, where);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	len = fread(output, 1, sizeof(output) - 1, pipe);
	output[len] = '\0';
	status = pclose(pipe);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void assert_passes(const char *script, const char *where)
{
	int status = run(script, where);

	ck_assert_msg(status == 0 && output[0] == '\0', "tests/%s: %d\n%s", script, status, output);
}

static void assert_fails(const char *script, const char *words)
{
	ck_assert_int_eq(run(script, dir), 1);
	ck_assert_msg(strstr(output, words) != NULL, "\"%s\" is not in: %s", words, output);
}

static void put(const char *name, const char *text)
{
	put_file(dir, name, text);
}

static void drop(const char *name)
{
	drop_file(dir, name);
}

static void make_tree(void)
{
	static const char *const folders[] = {"base", "proc", "attach", "symbols", "tests", "util"};
	char path[256];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		ck_assert_int_eq(mkdir(path, 0755), 0);
	}
	put("base/err.h", "/* SPDX-License-Identifier: MIT */\n");
	put("proc/maps.c", "// SPDX-License-Identifier: MIT\n#include \"base/err.h\"\n"
			   "#include \"proc/maps.h\"\n#include <stdio.h>\n");
}

static void drop_tree(void)
{
	drop("base/err.h");
	drop("base");
	drop("proc/maps.c");
	drop("proc");
	drop("attach");
	drop("symbols");
	drop("tests");
	drop("util");
	drop("");
}

START_TEST(this_tree_keeps_the_layers)
{
	assert_passes("layers.sh", ".");
}
END_TEST

START_TEST(this_tree_keeps_the_style)
{
	assert_passes("style.sh", ".");
}
END_TEST

START_TEST(forbidden_arrows_are_found)
{
	make_tree();
	assert_passes("layers.sh", dir);
	/* Up. */
	put("base/log.c", "\n  # include \"proc/maps.h\"\n");
	assert_fails("layers.sh", "base/log.c:2: base may not include \"proc/maps.h\"");
	drop("base/log.c");
	/* Sideways. */
	put("attach/a.c", "#include \"symbols/s.h\"\n");
	assert_fails("layers.sh", "attach/a.c:1: attach may not include \"symbols/s.h\"");
	drop("attach/a.c");
	/* Not root-relative: it would be a file at the top. */
	put("proc/status.c", "#include \"maps.h\"\n");
	assert_fails("layers.sh", "proc may not include \"maps.h\"");
	drop("proc/status.c");
	/* The session has no business with the report; memattach.c has. */
	put("session.c", "#include \"report/text.h\"\n");
	assert_fails("layers.sh", "session may not include \"report/text.h\"");
	drop("session.c");
	put("memattach.c", "#include \"report/text.h\"\n#include \"session.h\"\n");
	assert_passes("layers.sh", dir);
	drop("memattach.c");
	drop_tree();
}
END_TEST

START_TEST(a_folder_that_is_not_in_the_table)
{
	make_tree();
	put("util/helpers.c", "int x;\n");
	assert_fails("layers.sh", "the folder util/ is not in the table");
	drop("util/helpers.c");
	drop_tree();
}
END_TEST

START_TEST(breaches_of_style_are_found)
{
	char text[8192];
	size_t len;

	make_tree();
	assert_passes("style.sh", dir);
	put("proc/bare.c", "int x;\n");
	assert_fails("style.sh", "proc/bare.c: no SPDX line");
	len = (size_t)sprintf(text, "// SPDX-License-Identifier: MIT\nint f(void)\n{\n");
	memset(text + len, '\n', 59);
	strcpy(text + len + 59, "}\n");
	put("proc/bare.c", text);
	assert_passes("style.sh", dir);
	memset(text + len, '\n', 60);
	strcpy(text + len + 60, "}\n");
	put("proc/bare.c", text);
	assert_fails("style.sh", "proc/bare.c:3: a function of 60 lines");
	memset(text + len, '\n', 598);
	text[len + 598] = '\0';
	put("proc/bare.c", text);
	assert_fails("style.sh", "proc/bare.c: 601 lines");
	drop("proc/bare.c");
	put("tests/suites.h", "/* SPDX-License-Identifier: MIT */\n X(one)\n");
	put("tests/test_one.c", "// SPDX-License-Identifier: MIT\n");
	assert_passes("style.sh", dir);
	put("tests/test_two.c", "// SPDX-License-Identifier: MIT\n");
	assert_fails("style.sh", "tests/test_two.c: not in SUITES");
	drop("tests/test_two.c");
	drop("tests/test_one.c");
	drop("tests/suites.h");
	drop_tree();
}
END_TEST

Suite *layers_suite(void)
{
	Suite *suite = suite_create("layers");
	TCase *tcase = tcase_create("layers");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, this_tree_keeps_the_layers);
	tcase_add_test(tcase, this_tree_keeps_the_style);
	tcase_add_test(tcase, forbidden_arrows_are_found);
	tcase_add_test(tcase, a_folder_that_is_not_in_the_table);
	tcase_add_test(tcase, breaches_of_style_are_found);
	suite_add_tcase(suite, tcase);
	return suite;
}
