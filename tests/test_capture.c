// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/json.h"
#include "report/json_out.h"
#include "tests/capture_sample.h"
#include "tests/suites.h"

/* The capture as JSON, malloc'ed. */
static char *to_json(const struct capture *capture, size_t *len)
{
	struct err err = ERR_INIT;
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(json_write(f, capture, &err), 0);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static char *sample_json(size_t *len)
{
	struct capture *capture = capture_sample();
	char *text = to_json(capture, len);

	capture_destroy(capture);
	return text;
}

/* json_read_buffer of text must fail; what it says goes to err. */
static void assert_refused(const char *text, size_t len, struct err *err)
{
	/* A copy without a byte behind it, so that ASan sees a read too far. */
	char *exact = malloc(len ? len : 1);
	struct capture *capture;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, text, len);
	err_reset(err);
	capture = json_read_buffer(exact, len, "t.json", err);
	free(exact);
	ck_assert_msg(!capture, "accepted: %.200s", text);
	ck_assert_int_ne(err->code, 0);
	ck_assert_ptr_nonnull(strstr(err->msg, "t.json: "));
}

START_TEST(write_read_write_gives_the_same_bytes)
{
	struct err err = ERR_INIT;
	size_t len, again_len;
	char *text = sample_json(&len), *again;
	struct capture *capture = json_read_buffer(text, len, "t.json", &err);

	ck_assert_msg(capture, "%s", err.msg);
	again = to_json(capture, &again_len);
	ck_assert_uint_eq(len, again_len);
	ck_assert_str_eq(text, again);
	capture_destroy(capture);
	free(text);
	free(again);
}
END_TEST

/* Every figure of *was, which is destroyed, comes back as it was, in its own member. */
static void assert_nothing_lost(struct capture *was)
{
	struct err err = ERR_INIT;
	size_t len;
	char *text = to_json(was, &len);
	struct capture *is = json_read_buffer(text, len, "t.json", &err);
	const struct capture_snapshot *a = &was->snapshots[1], *b;

	ck_assert_msg(is, "%s", err.msg);
	b = &is->snapshots[1];
	ck_assert_mem_eq(&a->totals, &b->totals, sizeof(a->totals));
	ck_assert_mem_eq(&a->process, &b->process, sizeof(a->process));
	for (u32 i = 0; i < SAMPLE_STACKS; i++) {
		ck_assert_mem_eq(&a->sites[i], &b->sites[i], sizeof(a->sites[i]));
		ck_assert_int_eq(was->stacks[i].cut, is->stacks[i].cut);
	}
	ck_assert_mem_eq(was->timeline, is->timeline, sizeof(*was->timeline) * was->timeline_n);
	ck_assert(b->time == a->time && b->reason == a->reason && b->number == a->number);
	ck_assert(is->target.start_time == was->target.start_time);
	ck_assert_str_eq(is->settings.allocators[0], was->settings.allocators[0]);
	ck_assert(b->estimated == a->estimated);
	ck_assert_uint_eq(is->settings.sample_bytes, was->settings.sample_bytes);
	capture_destroy(was);
	capture_destroy(is);
	free(text);
}

START_TEST(nothing_is_lost)
{
	struct capture *numbered = capture_sample_estimated();
	struct ledger_totals *t;
	struct capture_site *site;

	assert_nothing_lost(capture_sample());
	assert_nothing_lost(capture_sample_estimated());
	/* Each error another number, so that none can be taken for another. */
	t = &numbered->snapshots[1].totals;
	t->live_bytes_error = 1;
	t->live_blocks_error = 2;
	t->peak_bytes_error = 3;
	t->total_bytes_error = 4;
	t->total_allocations_error = 5;
	t->total_frees_error = 6;
	t->temporary_error = 7;
	site = &numbered->snapshots[1].sites[0];
	site->live_bytes_error = 8;
	site->live_blocks_error = 9;
	site->total_bytes_error = 10;
	site->total_allocations_error = 11;
	assert_nothing_lost(numbered);
}
END_TEST

/* What only estimates have is in no other capture, and may be missing in one. */
START_TEST(errors_are_those_of_estimates)
{
	static const char *const totals[] = {"recorded_allocations",    "live_bytes_error",
					     "live_blocks_error",       "total_bytes_error",
					     "total_allocations_error", "total_frees_error",
					     "temporary_error",         "peak_bytes_error"};
	struct capture *capture = capture_sample_estimated(), *back;
	struct err err = ERR_INIT;
	json_t *root, *snapshot, *site;
	size_t len;
	char *text = sample_json(&len);

	ck_assert_ptr_null(strstr(text, "_error"));
	ck_assert_ptr_null(strstr(text, "recorded_allocations"));
	free(text);
	text = to_json(capture, &len);
	root = json_loadb(text, len, 0, NULL);
	free(text);
	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "settings"),
							    "sample_bytes")),
			 524288);
	snapshot = json_array_get(json_object_get(root, "snapshots"), 1);
	site = json_array_get(json_object_get(snapshot, "sites"), SAMPLE_LEAK);
	ck_assert(json_is_true(json_object_get(snapshot, "estimated")));
	ck_assert_int_eq(json_integer_value(json_object_get(snapshot, totals[0])), 32991);
	ck_assert_int_eq(json_integer_value(json_object_get(snapshot, "temporary_error")), 17);
	ck_assert_int_eq(json_integer_value(json_object_get(site, "live_blocks_error")), 1024);
	for (size_t i = 0; i < ARRAY_SIZE(totals); i++)
		ck_assert_msg(json_object_del(snapshot, totals[i]) == 0, "%s", totals[i]);
	text = json_dumps(root, 0);
	back = json_read_buffer(text, strlen(text), "t.json", &err);
	ck_assert_msg(back, "%s", err.msg);
	ck_assert_uint_eq(back->snapshots[1].totals.live_bytes_error, 0);
	json_decref(root);
	free(text);
	capture_destroy(back);
	capture_destroy(capture);
}
END_TEST

START_TEST(members_are_those_of_the_format)
{
	struct capture *capture = capture_sample();
	json_t *root, *snapshot, *frame;
	size_t len;
	char *text;

	capture->snapshots[0].process.known = false;
	text = to_json(capture, &len);
	root = json_loadb(text, len, 0, NULL);
	ck_assert_ptr_nonnull(root);
	ck_assert_str_eq(json_string_value(json_object_get(root, "format")), "memattach-capture");
	ck_assert_int_eq(json_integer_value(json_object_get(root, "version")), 1);
	snapshot = json_array_get(json_object_get(root, "snapshots"), 1);
	ck_assert(json_real_value(json_object_get(snapshot, "peak_time")) == 3.201);
	ck_assert_int_eq(json_integer_value(json_object_get(snapshot, "unknown_frees")), 12345);
	frame = json_array_get(json_object_get(root, "frames"), 0); /* malloc, no line */
	ck_assert(json_is_null(json_object_get(frame, "file")));
	ck_assert(json_is_null(json_object_get(frame, "line")));
	snapshot = json_array_get(json_object_get(root, "snapshots"), 0);
	ck_assert(json_is_null(json_object_get(snapshot, "process")));
	json_decref(root);
	free(text);
	capture_destroy(capture);
}
END_TEST

/* A file with this text, made under a directory of its own. */
static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static int run_python(const char *script, const char *a, const char *b)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/usr/bin/python3", "python3", "-W", "ignore", "-c", script, a, b, NULL);
		_exit(127);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_schema_describes(const struct capture *capture)
{
	static const char *const validate =
		"import json, sys, jsonschema\n"
		"schema = json.load(open(sys.argv[1]))\n"
		"jsonschema.Draft7Validator.check_schema(schema)\n"
		"good = json.load(open(sys.argv[2]))\n"
		"v = jsonschema.Draft7Validator(schema)\n"
		"for e in v.iter_errors(good): print(e, file=sys.stderr); sys.exit(1)\n"
		/* A member that it does not know would pass. */
		"for s in good['snapshots']:\n"
		" for x, kind in [(s, 'snapshot')] + [(x, 'site') for x in s['sites']]:\n"
		"  for key in x:\n"
		"   assert key in schema['definitions'][kind]['properties'], key\n"
		/* And it can say no. */
		"del good['snapshots'][0]['sites'][0]['largest']\n"
		"sys.exit(2 if v.is_valid(good) else 0)\n";
	char path[] = "/tmp/memattach-test-XXXXXX";
	size_t len;
	char *text = to_json(capture, &len);
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	write_file(path, text, len);
	ck_assert_int_eq(run_python(validate, "report/capture.schema.json", path), 0);
	unlink(path);
	free(text);
}

START_TEST(schema_describes_what_is_written)
{
	struct capture *capture = capture_sample(), *estimated = capture_sample_estimated();

	if (run_python("import jsonschema", "", "") != 0) {
		fprintf(stderr, "skipped: /usr/bin/python3 has no jsonschema\n");
		return;
	}
	capture->snapshots[0].process.known = false;
	assert_schema_describes(capture);
	assert_schema_describes(estimated);
	capture_destroy(capture);
	capture_destroy(estimated);
}
END_TEST

START_TEST(hostile_strings_become_valid_json)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"plain", "\"plain\""},
		{"a\"b\\c", "\"a\\\"b\\\\c\""},
		{"\n\t\x01\x1b[31m\x7f", "\"\\n\\t\\u0001\\u001b[31m\\u007f\""},
		{"caf\xc3\xa9", "\"caf\xc3\xa9\""},
		{"\xff", "\"\xef\xbf\xbd\""},
		{"a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},               /* cut short */
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong '/' */
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* a surrogate */
		{"\xe2\x80\xae", "\"\\u202e\""},                              /* right to left */
		{"\xc2\x9b", "\"\\u009b\""},                                  /* CSI in 8 bits */
		{"\xf3\xa0\x80\x81", "\"\\udb40\\udc01\""},                   /* a tag */
		{"\xf0\x9f\x92\xa9", "\"\xf0\x9f\x92\xa9\""},
		{"", "\"\""},
		{NULL, "null"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		json_out_string(f, cases[i].in);
		fclose(f);
		ck_assert_str_eq(text, cases[i].out);
		free(text);
	}
}
END_TEST

START_TEST(numbers_read_back_as_they_were)
{
	static const struct {
		double in;
		const char *out;
	} cases[] = {
		{0, "0"},
		{5.003, "5.003"},
		{0.5, "0.5"},
		{0.1 + 0.2, "0.30000000000000004"},
		{1763718000.25, "1763718000.25"},
		{NAN, "0"},
		{INFINITY, "0"},
		{4294967.295, "4294967.295"},
		{1e300, "1e+300"},
		{0.0001, "0.0001"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);

		json_out_double(f, cases[i].in);
		fclose(f);
		ck_assert_str_eq(text, cases[i].out);
		free(text);
	}
}
END_TEST

START_TEST(figures_beyond_63_bits_are_bounded)
{
	struct capture *capture = capture_sample();
	struct err err = ERR_INIT;
	struct capture *back;
	size_t len;
	char *text;

	capture->snapshots[0].totals.total_bytes = UINT64_MAX;
	capture->frames[0].offset = UINT64_MAX - 5;
	text = to_json(capture, &len);
	back = json_read_buffer(text, len, "t.json", &err);
	ck_assert_msg(back, "%s", err.msg);
	ck_assert_uint_eq(back->snapshots[0].totals.total_bytes, INT64_MAX);
	capture_destroy(back);
	capture_destroy(capture);
	free(text);
}
END_TEST

/* A capture that is cut anywhere is refused, at whatever byte. */
START_TEST(every_truncation_is_refused)
{
	struct err err = ERR_INIT;
	size_t len;
	char *text = sample_json(&len);

	ck_assert_int_eq(text[len - 1], '\n'); /* only that one may be missing */
	for (size_t n = 0; n < len - 1; n++)
		assert_refused(text, n, &err);
	free(text);
}
END_TEST

/* Replaces the first `from` behind `after` in text by `to`, and says why that is refused. */
static void refuse_with(const char *after, const char *from, const char *to, const char *said)
{
	struct err err = ERR_INIT;
	size_t len, n;
	char *text = sample_json(&len), *at = strstr(text, after), *changed;

	ck_assert_ptr_nonnull(at);
	at = strstr(at, from);
	ck_assert_ptr_nonnull(at);
	n = (size_t)(at - text);
	changed = malloc(len + strlen(to) + 1);
	ck_assert_ptr_nonnull(changed);
	sprintf(changed, "%.*s%s%s", (int)n, text, to, at + strlen(from));
	assert_refused(changed, strlen(changed), &err);
	ck_assert_msg(strstr(err.msg, said), "'%s' does not say '%s'", err.msg, said);
	free(changed);
	free(text);
}

START_TEST(what_is_wrong_is_said_with_its_place)
{
	refuse_with("{", "memattach-capture", "flightrec", "this is no memattach capture");
	refuse_with("{", "\"version\": 1", "\"version\": 2", "capture version 2; this");
	refuse_with("\"target\"", "\"pid\": 1234", "\"pid\": -1", "target.pid: -1 is not between");
	refuse_with("\"target\"", "\"pid\": 1234", "\"pid\": 1e3",
		    "target.pid: a fraction where an integer is expected");
	refuse_with("\"target\"", "\"*:6379\"", "{}",
		    "target.command[1]: an object where a string");
	refuse_with("\"frames\"", "\"inlined\": false", "\"inlined\": 0", "frames[0].inlined: ");
	refuse_with("\"stacks\"", "[0,1,", "[0,99,",
		    "stacks[0][1]: not the number of one of the 20");
	refuse_with("\"stacks\"", "[0,1,", "[0,20,",
		    "stacks[0][1]: not the number of one of the 20");
	refuse_with("\"stacks\"", "[0,1,", "[0,\"1\",", "stacks[0][1]: not the number");
	refuse_with("\"cut_stacks\"", "\"stack\": 3", "\"stack\": 8",
		    "cut_stacks[0]: stack: 8 is not");
	refuse_with("\"cut_stacks\"", "depth", "width", "cut_stacks[0]: reason");
	refuse_with("\"timeline\"", "\"time\": 1.001", "\"time\": 1e99", "timeline[1].time: ");
	refuse_with("\"snapshots\"", "\"signal\"", "\"sig\\u001b\"",
		    "snapshots[0].reason: \"sig\\x1b\" is none");
	refuse_with("\"snapshots\"", "\"process\": {", "\"process\": 3, \"x\": {",
		    "snapshots[0].process: an integer where an object");
	refuse_with("\"snapshots\"", "\"stack\": 7", "\"stack\": 99",
		    "snapshots[0].sites[7].stack: 99 is not a stack");
	refuse_with("\"snapshots\"", "\"stack\": 7", "\"stack\": 8",
		    "snapshots[0].sites[7].stack: 8 is not a stack");
	refuse_with("\"snapshots\"", "\"stack\": 7", "\"stack\": 6",
		    "snapshots[0].sites[7].stack: stack 6 has two sites");
	refuse_with("\"snapshots\"", "\"largest\": 128, ", "",
		    "snapshots[0].sites[0]: \"largest\" is");
	refuse_with("\"snapshots\"", "\"sites\": [", "\"sites\": [[],", "snapshots[0].sites");
	refuse_with("\"snapshots\"", "\"number\": 2", "\"number\": 2, \"number\": 3", "duplicate");
	refuse_with("\"tool\"", "\"0.1.0\"", "\"a\\u0000b\"", "\\u0000");
}
END_TEST

/* Each member in turn gets a value of each type: refused or read, never worse. */
START_TEST(every_value_of_another_type_is_survived)
{
	static const char *const values[] = {
		"null", "true", "-1", "1.5", "\"x\"", "[]", "{}", "[[[0]]]", "99999999999999999999",
		"1e999"};
	size_t len;
	char *text = sample_json(&len), *changed = malloc(len + 64), *p = text;
	size_t read = 0, refused = 0;

	ck_assert_ptr_nonnull(changed);
	while ((p = strstr(p, "\": "))) {
		size_t end;

		p += 3;
		end = strcspn(p, ",}]\n");
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			struct err err = ERR_INIT;
			struct capture *capture;

			sprintf(changed, "%.*s%s%s", (int)(p - text), text, values[i], p + end);
			capture = json_read_buffer(changed, strlen(changed), "t.json", &err);
			ck_assert_int_eq(!capture, err.code != 0);
			*(capture ? &read : &refused) += 1;
			capture_destroy(capture);
		}
	}
	ck_assert_uint_gt(refused, 1000);
	ck_assert_uint_gt(read, 10); /* null for a string, for one */
	free(changed);
	free(text);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
	size_t n = 1000000;
	char *text = malloc(n);
	struct err err = ERR_INIT;

	ck_assert_ptr_nonnull(text);
	memset(text, '[', n);
	assert_refused(text, n, &err);
	free(text);
}
END_TEST

START_TEST(unknown_members_are_passed_over)
{
	struct err err = ERR_INIT;
	size_t len;
	char *text = sample_json(&len), *changed = malloc(len + 64);
	struct capture *capture;

	ck_assert_ptr_nonnull(changed);
	sprintf(changed, "{\"later\": [1, {}], %s", text + 1);
	capture = json_read_buffer(changed, strlen(changed), "t.json", &err);
	ck_assert_msg(capture, "%s", err.msg);
	capture_destroy(capture);
	free(changed);
	free(text);
}
END_TEST

START_TEST(files_are_read_and_missing_ones_said)
{
	char path[] = "/tmp/memattach-test-XXXXXX";
	struct err err = ERR_INIT;
	struct capture *capture;
	size_t len;
	char *text = sample_json(&len);
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	write_file(path, text, len);
	capture = json_read(path, &err);
	ck_assert_msg(capture, "%s", err.msg);
	capture_destroy(capture);
	unlink(path);
	ck_assert_ptr_null(json_read(path, &err));
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(err.msg, path));
	err_reset(&err);
	ck_assert_ptr_null(json_read("/tmp", &err));
	ck_assert_int_eq(err.code, EISDIR);
	free(text);
}
END_TEST

START_TEST(reasons_have_names)
{
	for (int i = CAPTURE_SIGNAL; i <= CAPTURE_USER; i++)
		ck_assert_int_eq(capture_reason_parse(capture_reason_name((enum capture_reason)i)),
				 i);
	ck_assert_str_eq(capture_reason_name(CAPTURE_EXEC), "exec");
	ck_assert_int_eq(capture_reason_parse("because"), -1);
}
END_TEST

Suite *capture_suite(void)
{
	Suite *suite = suite_create("capture");
	TCase *tcase = tcase_create("json");
	TCase *hostile = tcase_create("hostile");

	tcase_add_test(tcase, write_read_write_gives_the_same_bytes);
	tcase_add_test(tcase, nothing_is_lost);
	tcase_add_test(tcase, errors_are_those_of_estimates);
	tcase_add_test(tcase, members_are_those_of_the_format);
	tcase_add_test(tcase, schema_describes_what_is_written);
	tcase_add_test(tcase, hostile_strings_become_valid_json);
	tcase_add_test(tcase, numbers_read_back_as_they_were);
	tcase_add_test(tcase, figures_beyond_63_bits_are_bounded);
	tcase_add_test(tcase, unknown_members_are_passed_over);
	tcase_add_test(tcase, files_are_read_and_missing_ones_said);
	tcase_add_test(tcase, reasons_have_names);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	tcase_add_test(hostile, every_truncation_is_refused);
	tcase_add_test(hostile, what_is_wrong_is_said_with_its_place);
	tcase_add_test(hostile, every_value_of_another_type_is_survived);
	tcase_add_test(hostile, deep_nesting_is_refused);
	tcase_set_timeout(hostile, 120);
	suite_add_tcase(suite, hostile);
	return suite;
}
