// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report/line.h"
#include "report/text.h"
#include "tests/capture_sample.h"
#include "tests/suites.h"

/* The report of snapshot index, malloc'ed. */
static char *to_text(const struct capture *capture, size_t index,
		     const struct text_options *options)
{
	struct err err = ERR_INIT;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	ck_assert_msg(text_write(f, capture, index, options, &err) == 0, "%s", err.msg);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static void assert_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part), "'%s' is missing in:\n%.3000s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	ck_assert_msg(!strstr(text, part), "'%s' is in:\n%.3000s", part, text);
}

/* The report of the sample's second snapshot. */
static char *sample_text(enum text_sort sort, u32 top, u32 width)
{
	struct text_options options = {.sort = sort, .top = top, .width = width};
	struct capture *capture = capture_sample();
	char *text = to_text(capture, 1, &options);

	capture_destroy(capture);
	return text;
}

START_TEST(head_has_the_totals)
{
	char *text = sample_text(SORT_LIVE, 10, 100);

	assert_has(text, "memattach 0.1.0: redis-server (PID 1234) on db7, snapshot 2 (detach), "
			 "5.0 s after attach\n");
	assert_has(text, "  redis-server *:6379\n");
	assert_has(text,
		   "  live       11.0 MiB (11,555,452 bytes) in 102,470 blocks since attach\n");
	assert_has(text, "  peak       12.0 MiB (12,620,884 bytes), 3.2 s after attach\n");
	assert_has(text, "2,324,089 calls, 93.3 % temporary\n");
	assert_has(text,
		   "  freed      2,221,619 blocks of these; 12,345 more from before attach\n");
	assert_has(text, "  process    RSS 20.0 MiB (peak 21.0 MiB), PSS 19.0 MiB, VSZ 64.0 MiB");
	assert_has(text, "  faults     12,345 minor, 3 major; 5 threads\n");
	assert_has(text, "  cgroup     50.0 MiB of 64.0 MiB, 78.1 %\n");
	assert_has(text, "  recorded   every allocation since attach, exactly\n");
	assert_has(text, "  - RSS grew by 12.1 MiB in 5.0 s, and the program holds it.\n");
	assert_lacks(text, "failed");
	free(text);
}
END_TEST

START_TEST(table_names_the_guilty_line)
{
	char *text = sample_text(SORT_LIVE, 3, 120);

	assert_has(text, "Top 3 of 7 stacks by live bytes\n");
	assert_has(text, "\n1  10.0 MiB  90.7 %  102,400  +6.0 MiB    100 MiB  10.0 MiB  sdsnewlen "
			 "sds.c:113 via zmalloc < createStringObject\n");
	assert_has(text, "search::Indexer::addDocument indexer.cpp:214");
	assert_has(text, "    4.6 KiB  <0.1 %  in 4 more stacks\n");
	assert_lacks(text, "Top 3 of 7 stacks by live bytes\n#4");
	assert_lacks(text, "#4 ");
	free(text);
}
END_TEST

START_TEST(stacks_are_whole_and_marked)
{
	char *text = sample_text(SORT_LIVE, 0, 100);

	assert_has(text,
		   "#1  10.0 MiB live in 102,400 blocks, 90.7 % of live bytes, +6.0 MiB since the "
		   "last snapshot\n"
		   "    allocated 100 MiB in 1,024,000 calls, 921,600 freed, 85.0 % temporary; "
		   "largest 128 B;\n    at the peak 10.0 MiB; oldest 4.9 s, median 2.1 s\n"
		   "       at malloc                  (in libc.so.6)\n"
		   "       by ztrymalloc_usable       src/zmalloc.c:98 [inlined]\n"
		   "       by zmalloc                 src/zmalloc.c:131\n"
		   "    -> by sdsnewlen               /build/redis/src/sds.c:113\n"
		   "       by createStringObject      src/object.c:88\n"
		   "       by setGenericCommand       src/t_string.c:91\n"
		   "       by call                    src/server.c:3374\n"
		   "       by readQueryFromClient     src/networking.c:2700\n"
		   "       by main                    src/server.c:7212\n"
		   "       by __libc_start_call_main  (in libc.so.6)\n\n");
	assert_has(text, "    -> by 0x7f00000010e0  (in libsearch.so+0x10e0)\n");
	assert_has(text, "    -> by 0x7f0000001100  (in no known module)\n"
			 "       ... [cut: no unwind information further out]\n");
	assert_has(text, "       by start_thread    (in libc.so.6)\n"
			 "       ... [cut: deeper than --depth 64]\n");
	assert_has(text, "       (no stack)\n       ... [cut: no unwind");
	free(text);
	/* Too wide for one line: broken, and the place is there. */
	text = sample_text(SORT_LIVE, 0, 80);
	assert_has(text, "-> by search::Indexer::addDocument(std::string const&)\n"
			 "            /home/ci/search/src/indexer.cpp:214 (in libsearch.so)\n");
	free(text);
}
END_TEST

/* No line of the table is wider than the terminal, and none loses its place. */
START_TEST(table_fits_the_terminal)
{
	static const u32 widths[] = {60, 80, 100, 120, 160, 200};

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		char *text = sample_text(SORT_LIVE, 10, widths[i]);
		char *table = strstr(text, "\n#"), *end = strstr(text, "\nBy function");
		size_t lines = 0;

		ck_assert(table && end && table < end);
		for (char *p = table + 1; p < end; p = strchr(p, '\n') + 1, lines++) {
			size_t bytes = strcspn(p, "\n");

			ck_assert_msg(line_columns(p, bytes) <= widths[i], "%u: %.*s", widths[i],
				      (int)bytes, p);
		}
		ck_assert_uint_ge(lines, SAMPLE_STACKS); /* 7 stacks and the heading */
		assert_has(table, "sds.c:113");
		assert_has(table, "indexer.cpp:214");
		free(text);
	}
}
END_TEST

/* The rank of each place in the table, by sort key. */
START_TEST(each_sort_has_its_order)
{
	static const struct {
		enum text_sort sort;
		const char *heading, *first, *second;
	} cases[] = {
		{SORT_LIVE, "by live bytes", "\n1  10.0 MiB", "\n2   1.0 MiB"},
		{SORT_BLOCKS, "by live blocks", "\n1  102,400", "\n2       64"},
		{SORT_TOTAL, "by bytes allocated in all", "\n1   16.0 GiB", "\n2    100 MiB"},
		{SORT_PEAK, "by bytes live at the peak", "\n1  10.0 MiB", "\n2   2.0 MiB"},
		{SORT_TEMPORARY, "by temporary allocations", "\n1  1,299,000", "\n2    870,400"},
		{SORT_GROWTH, "by growth of live bytes", "\n1  +6.0 MiB", "\n2  -1.5 KiB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = sample_text(cases[i].sort, 0, 100);

		assert_has(text, cases[i].heading);
		assert_has(text, cases[i].first);
		assert_has(text, cases[i].second);
		ck_assert(strstr(text, cases[i].first) < strstr(text, cases[i].second));
		free(text);
	}
}
END_TEST

START_TEST(what_has_none_of_the_key_is_left_out)
{
	char *text = sample_text(SORT_TEMPORARY, 0, 100);

	assert_has(text, "3 stacks by temporary allocations\n");
	assert_lacks(text, "loadServerConfig");
	free(text);
	text = sample_text(SORT_LIVE, 0, 100);
	assert_lacks(text, "loadServerConfig"); /* freed it all */
	free(text);
	text = sample_text(SORT_TOTAL, 0, 100);
	assert_has(text, "loadServerConfig config.c:610 via fopen64");
	free(text);
}
END_TEST

START_TEST(growth_of_the_first_snapshot_is_since_attach)
{
	struct text_options options = {.sort = SORT_GROWTH, .width = 100};
	struct capture *capture = capture_sample();
	char *text = to_text(capture, 0, &options);

	assert_has(text, "snapshot 1 (signal), 2.5 s after attach");
	assert_has(text, "\n1   +4.0 MiB");
	assert_has(text, "+4.0 MiB since attach\n");
	free(text);
	capture_destroy(capture);
}
END_TEST

/* sdsnewlen is in two stacks; main is in all that have names, but the table need not say so thrice. */
START_TEST(functions_have_own_and_total)
{
	char *text = sample_text(SORT_LIVE, 0, 100), *functions = strstr(text, "By function");
	char *stacks = strstr(text, "The stacks in full");

	ck_assert(functions && stacks);
	*stacks = '\0';
	assert_has(functions, "10.0 MiB   90.9 %  10.0 MiB   90.9 %  sdsnewlen  src/sds.c\n");
	assert_has(functions, "11.0 MiB   99.8 %       0 B    0.0 %  call  src/server.c\n");
	assert_has(functions, " 1.0 MiB    9.1 %   1.0 MiB    9.1 %  search::Indexer::addDocument");
	/* In exactly the stacks of createStringObject, which is nearer to the leaf. */
	assert_lacks(functions, "setGenericCommand");
	assert_lacks(functions, "malloc");
	free(text);
}
END_TEST

START_TEST(recursion_counts_once)
{
	struct text_options options = {.width = 100};
	struct capture *capture = capture_sample();
	u32 *frames = capture->stacks[SAMPLE_LEAK].frames;
	char *text;

	frames[5] = frames[4] = frames[3]; /* sdsnewlen, three times */
	text = to_text(capture, 1, &options);
	assert_has(text, "10.0 MiB   90.9 %  10.0 MiB   90.9 %  sdsnewlen  src/sds.c\n");
	free(text);
	capture_destroy(capture);
}
END_TEST

START_TEST(hostile_names_are_shown_harmless)
{
	struct text_options options = {.width = 120};
	struct capture *capture = capture_sample();
	char *text;

	free(capture->target.command[1]);
	capture->target.command[1] = strdup("\x1b[41m\n\xe2\x80\xae");
	free(capture->target.host);
	capture->target.host = strdup("h\rx");
	free(capture->snapshots[1].diagnosis[0]);
	capture->snapshots[1].diagnosis[0] = strdup("bell \x07 \xff");
	text = to_text(capture, 1, &options);
	for (const char *p = text; *p; p++)
		ck_assert_msg(((u8)*p >= 0x20 && (u8)*p < 0x7f) || *p == '\n',
			      "byte %02x in\n%.3000s", (u8)*p, text);
	assert_has(text, "\\x0a\\x1b[2Jname\\xff\\u202e<\"&");
	assert_has(text, "/x/\\u009b.c:3 (in lib.so)");
	assert_has(text, "redis-server \\x1b[41m\\x0a\\u202e\n");
	assert_has(text, "on h\\x0dx,");
	assert_has(text, "- bell \\x07 \\xff\n");
	free(text);
	capture_destroy(capture);
}
END_TEST

START_TEST(color_only_when_asked_for)
{
	struct text_options options = {.width = 100, .color = true};
	struct capture *capture = capture_sample();
	char *plain = sample_text(SORT_LIVE, 0, 100), *text = to_text(capture, 1, &options);
	char *from = text, *to = text;

	assert_lacks(plain, "\x1b");
	assert_has(text, "\x1b[1;31msdsnewlen\x1b[0m");
	/* Without the colours it is the same, column by column, and every line ends without one. */
	while (*from) {
		if (*from == '\x1b') {
			from += strcspn(from, "m") + 1;
			continue;
		}
		*to++ = *from++;
	}
	*to = '\0';
	ck_assert_uint_eq(strlen(text), strlen(plain));
	ck_assert_str_eq(text, plain);
	free(text);
	free(plain);
	capture_destroy(capture);
}
END_TEST

START_TEST(what_is_not_exact_is_said)
{
	struct text_options options = {.width = 100};
	struct capture *capture = capture_sample();
	struct capture_snapshot *snapshot = &capture->snapshots[1];
	char *text;

	snapshot->lost_events = 1234;
	snapshot->totals.replaced = 1;
	snapshot->totals.failed_allocations = 2;
	snapshot->process.known = false;
	text = to_text(capture, 1, &options);
	assert_has(text,
		   "  ! 1,234 events were lost: figures are too low or too high by up to that "
		   "many allocations and\n    frees.\n");
	assert_has(text, "  ! 1 free was missed");
	assert_has(text, "  ! 3 of 8 stacks cut short (deeper than --depth, or code without unwind "
			 "information), with");
	assert_has(text, "  failed     2 allocations returned NULL\n");
	assert_lacks(text, "stimate");
	assert_lacks(text, "\u00b1");
	assert_has(text, "  process    gone before its memory could be read\n");
	assert_lacks(text, "exactly");
	free(text);
	capture_destroy(capture);
}
END_TEST

/* A note at the head, and a standard error beside each total. */
START_TEST(estimates_are_marked)
{
	struct text_options options = {.width = 100, .top = 3};
	struct capture *capture = capture_sample_estimated();
	struct capture_snapshot *snapshot = &capture->snapshots[1];
	char *text = to_text(capture, 1, &options);

	assert_has(text,
		   "\n\n  ! Estimates from sampling, mean 512 KiB between samples: 32,991 "
		   "allocations were recorded; \u00b1 is\n    the standard error. Record without "
		   "--sample for exact figures.\n  live");
	assert_has(text,
		   "  live       11.0 MiB \u00b1 113 KiB in 102,470 \u00b1 1,024 blocks since "
		   "attach\n");
	assert_has(text, "  peak       12.0 MiB \u00b1 123 KiB, 3.2 s after attach\n");
	assert_has(text, "  allocated  16.1 GiB \u00b1 165 MiB in 2,324,089 \u00b1 23,240 calls\n");
	assert_has(text, "  freed      2,221,619 \u00b1 22,216 blocks of these\n");
	assert_has(text, "Top 3 of 7 stacks by live bytes, estimated\n"
			 "#      live       +/-   share   blocks    growth  where\n"
			 "1  10.0 MiB   102 KiB  90.7 %  102,400  +6.0 MiB  sdsnewlen ");
	/* sqrt(4096^2 + 512^2 + 100^2 + 24^2): each has as much as its figure. */
	assert_has(text, "\n    4.6 KiB   4.0 KiB  <0.1 %  in 4 more stacks\n");
	assert_has(text, "By function, estimated: own");
	assert_has(text, "#1  10.0 MiB \u00b1 102 KiB live in 102,400 \u00b1 1,024 blocks, 90.7 %");
	assert_has(text, "    allocated 100 MiB \u00b1 1.0 MiB in 1,024,000 \u00b1 10,240 calls, "
			 "921,600 freed; largest recorded 128 B;\n    at the peak 10.0 MiB; ");
	assert_lacks(text, "exactly");
	assert_lacks(text, "before attach"); /* frees of unknown blocks mean nothing */
	assert_lacks(text, "temporary");
	assert_lacks(text, " temp ");
	free(text);
	snapshot->totals.temporary = 232409;
	snapshot->totals.failed_allocations = 1;
	snapshot->lost_events = 5;
	text = to_text(capture, 1, &options);
	assert_has(text, " calls, 10.0 % temporary\n");
	assert_has(text, "  failed     at least 1 allocation returned NULL\n");
	assert_has(text, "  ! 5 events were lost: figures are too low or too high by what");
	free(text);
	snapshot->sites_n = 0;
	text = to_text(capture, 1, &options);
	assert_has(text, "No allocation was recorded. With --sample that may be chance");
	free(text);
	capture_destroy(capture);
}
END_TEST

/* The column of errors is that of the sort key; where it is not known there is none. */
START_TEST(errors_of_each_sort)
{
	static const struct {
		enum text_sort sort;
		const char *first;
	} cases[] = {
		{SORT_LIVE, "\n1  10.0 MiB   102 KiB  90.7 %"},
		{SORT_BLOCKS, "\n1  102,400  1,024  >99.9 %"},
		{SORT_TOTAL, "\n1   16.0 GiB   164 MiB  99.4 %"},
		{SORT_PEAK, "\n1  10.0 MiB  83.1 %"},
		{SORT_GROWTH, "\n1  +6.0 MiB  10.0 MiB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text_options options = {.width = 100, .sort = cases[i].sort};
		struct capture *capture = capture_sample_estimated();
		char *text = to_text(capture, 1, &options);

		assert_has(text, cases[i].first);
		if (cases[i].sort == SORT_PEAK || cases[i].sort == SORT_GROWTH)
			assert_lacks(text, "+/-");
		free(text);
		capture_destroy(capture);
	}
}
END_TEST

START_TEST(nothing_allocated_is_said)
{
	struct text_options options = {.width = 80};
	struct capture *capture = capture_sample();
	char *text;

	capture->snapshots[0].sites_n = 0;
	memset(&capture->snapshots[0].totals, 0, sizeof(capture->snapshots[0].totals));
	text = to_text(capture, 0, &options);
	assert_has(text, "No allocation was seen.");
	assert_has(text, "--alloc");
	assert_lacks(text, "#1");
	assert_lacks(text, "NaN");
	assert_lacks(text, "nan");
	free(text);
	/* All of it freed: a different sentence. */
	capture->snapshots[0].sites[0] = capture->snapshots[0].sites[SAMPLE_FREED];
	capture->snapshots[0].sites_n = 1;
	text = to_text(capture, 0, &options);
	assert_has(text, "No stack has any live bytes");
	assert_has(text, "--sort total");
	free(text);
	capture_destroy(capture);
}
END_TEST

START_TEST(snapshot_that_is_not_there_is_an_error)
{
	struct text_options options = {0};
	struct capture *capture = capture_sample();
	struct err err = ERR_INIT;

	ck_assert_int_eq(text_write(stdout, capture, 2, &options, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.msg, "2 snapshots"));
	capture_destroy(capture);
}
END_TEST

START_TEST(sorts_have_words)
{
	ck_assert_int_eq(text_sort_parse("live"), SORT_LIVE);
	ck_assert_int_eq(text_sort_parse("blocks"), SORT_BLOCKS);
	ck_assert_int_eq(text_sort_parse("total"), SORT_TOTAL);
	ck_assert_int_eq(text_sort_parse("peak"), SORT_PEAK);
	ck_assert_int_eq(text_sort_parse("temporary"), SORT_TEMPORARY);
	ck_assert_int_eq(text_sort_parse("growth"), SORT_GROWTH);
	ck_assert_int_eq(text_sort_parse("size"), -1);
}
END_TEST

/* 5,000 different stacks of 60 frames. */
static struct capture *large_capture(void)
{
	struct capture *capture = capture_sample();
	struct capture_snapshot *snapshot = &capture->snapshots[1];
	const u32 stacks_n = 5000, depth = 60;

	capture->stacks = realloc(capture->stacks, stacks_n * sizeof(*capture->stacks));
	snapshot->sites = realloc(snapshot->sites, stacks_n * sizeof(*snapshot->sites));
	ck_assert(capture->stacks && snapshot->sites);
	for (u32 i = SAMPLE_STACKS; i < stacks_n; i++) {
		u32 *frames = malloc(depth * sizeof(*frames));

		ck_assert_ptr_nonnull(frames);
		for (u32 k = 0; k < depth; k++)
			frames[k] = (u32)((i * 31 + k * 7) % capture->frames_n);
		capture->stacks[i] = (struct capture_stack){frames, depth, CAPTURE_WHOLE};
		snapshot->sites[i] = snapshot->sites[i % SAMPLE_STACKS];
		snapshot->sites[i].stack = i;
	}
	capture->stacks_n = capture->stacks_cap = snapshot->sites_n = stacks_n;
	return capture;
}

START_TEST(five_thousand_stacks_take_no_time)
{
	struct text_options options = {.width = 100, .sort = SORT_TOTAL};
	struct capture *capture = large_capture();
	u64 begin = clock_ns();
	char *text = to_text(capture, 1, &options);
	u64 ms = (clock_ns() - begin) / 1000000;

	assert_has(text, "5,000 stacks by bytes allocated in all\n");
	assert_has(text, "\n#5000  ");
	ck_assert_uint_gt(strlen(text), 5000 * 1000);
	/* A tenth of this on an idle machine; under ASan and with others at work, more. */
	ck_assert_uint_lt(ms, 5000);
	free(text);
	capture_destroy(capture);
}
END_TEST

Suite *text_suite(void)
{
	Suite *suite = suite_create("text");
	TCase *report = tcase_create("report");

	tcase_add_test(report, head_has_the_totals);
	tcase_add_test(report, table_names_the_guilty_line);
	tcase_add_test(report, stacks_are_whole_and_marked);
	tcase_add_test(report, table_fits_the_terminal);
	tcase_add_test(report, each_sort_has_its_order);
	tcase_add_test(report, what_has_none_of_the_key_is_left_out);
	tcase_add_test(report, growth_of_the_first_snapshot_is_since_attach);
	tcase_add_test(report, functions_have_own_and_total);
	tcase_add_test(report, recursion_counts_once);
	tcase_add_test(report, hostile_names_are_shown_harmless);
	tcase_add_test(report, color_only_when_asked_for);
	tcase_add_test(report, what_is_not_exact_is_said);
	tcase_add_test(report, estimates_are_marked);
	tcase_add_test(report, errors_of_each_sort);
	tcase_add_test(report, nothing_allocated_is_said);
	tcase_add_test(report, snapshot_that_is_not_there_is_an_error);
	tcase_add_test(report, sorts_have_words);
	tcase_add_test(report, five_thousand_stacks_take_no_time);
	tcase_set_timeout(report, 30);
	suite_add_tcase(suite, report);
	return suite;
}
