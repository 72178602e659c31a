// SPDX-License-Identifier: MIT
/* What memattach writes, and where: reports, captures, files, messages. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* With -p the report is stdout's, and stderr has nothing. */
START_TEST(report_of_a_process_on_stdout)
{
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_start(&m, WORDS("-v", "-p", number_of(target.pid)));
	memattach_wait_for(&m, "attached to");
	target_ask(&target, "add 100", "sessions 100");
	memattach_stop(&m);
	ck_assert_ptr_nonnull(strstr(memattach_out(&m), "open_session"));
	ck_assert_ptr_nonnull(strstr(memattach_out(&m), "leak_cpp.cc:"));
	ck_assert_msg(!strchr(memattach_out(&m), '\033'), "colours without a terminal");
	memattach_cleanup(&m);

	memattach_start(&m, WORDS("-d", "0.2", "--color", "always", "-p", number_of(target.pid)));
	memattach_expect_exit(&m, 0);
	ck_assert_str_eq(memattach_err(&m), "");
	ck_assert_ptr_nonnull(strchr(memattach_out(&m), '\033'));
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* With a command stdout is the command's alone. */
START_TEST(report_of_a_command_on_stderr)
{
	struct memattach m;

	memattach_start(&m, WORDS("--", "sh", "-c", "echo its own words"));
	memattach_expect_exit(&m, 0);
	ck_assert_str_eq(memattach_out(&m), "its own words\n");
	ck_assert_ptr_nonnull(strstr(memattach_err(&m), "live"));
	memattach_cleanup(&m);
	/* Its stdin, too. */
	memattach_start(&m, WORDS("--", "cat"));
	ck_assert_int_eq(write(m.to, "through\n", 8), 8);
	memattach_expect_exit(&m, 0);
	ck_assert_str_eq(memattach_out(&m), "through\n");
	memattach_cleanup(&m);
}
END_TEST

START_TEST(quiet_is_quiet)
{
	struct memattach m, n;
	struct target target;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_attach_nowait(&m, target.pid, NULL);
	memattach_wait_for(&m, "attached to");
	memattach_stop(&m);
	memattach_start(&n, WORDS("-q", "-d", "0.1", "-o", m.json, "-p", number_of(target.pid)));
	memattach_expect_exit(&n, 0);
	ck_assert_str_eq(memattach_err(&n), "");
	ck_assert_str_eq(memattach_out(&n), "");
	json_decref(memattach_capture(&m));
	memattach_cleanup(&n);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* Several files at once, with the numbers in their names, written whole. */
START_TEST(names_of_outputs)
{
	struct target target;
	struct memattach m;
	char option[3][128], path[128];
	json_t *capture;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_attach(&m, target.pid, NULL);
	memattach_stop(&m);
	snprintf(option[0], sizeof(option[0]), "%s/c-%%p-%%n.json", m.dir);
	snprintf(option[1], sizeof(option[1]), "%s/t.txt", m.dir);
	struct memattach n;

	memattach_start(&n, WORDS("-v", "-o", option[0], "-o", option[1], "-o", m.json, "-p",
				  number_of(target.pid)));
	memattach_wait_for(&n, "attached to");
	for (int i = 1; i <= 2; i++) {
		target_say(&target, "add 10");
		target_hear(&target);
		kill(n.pid, SIGUSR1);
		memattach_wait_for(&n, i == 1 ? "snapshot 1 written" : "snapshot 2 written");
	}
	memattach_stop(&n);
	ck_assert_str_eq(memattach_out(&n), "");
	for (int i = 1; i <= 3; i++) {
		snprintf(path, sizeof(path), "%s/c-%d-%d.json", m.dir, (int)target.pid, i);
		capture = capture_load(path);
		ck_assert_int_eq(capture_total(capture, "number"), i);
		ck_assert_str_eq(
			json_string_value(json_object_get(capture_last(capture), "reason")),
			i < 3 ? "signal" : "detach");
		json_decref(capture);
	}
	snprintf(path, sizeof(path), "%s/t.txt", m.dir);
	ck_assert_int_eq(access(path, R_OK), 0);
	json_decref(memattach_capture(&m));
	memattach_cleanup(&n);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

START_TEST(intervals_and_duration)
{
	struct target target;
	struct memattach m;
	json_t *capture, *timeline;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_attach_nowait(&m, target.pid, WORDS("-i", "0.2", "-d", "1.1"));
	memattach_expect_exit(&m, 0);
	capture = memattach_capture(&m);
	ck_assert_uint_ge(json_array_size(json_object_get(capture, "snapshots")), 3);
	timeline = json_object_get(capture, "timeline");
	ck_assert_uint_ge(json_array_size(timeline), 4);
	ck_assert_int_gt(json_integer_value(json_object_get(json_array_get(timeline, 0), "rss")),
			 0);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* Where it cannot write it says so, exits with 125, and the target runs on. */
START_TEST(unwritable_outputs)
{
	static const char *const outputs[] = {"/no/such/folder/out.json", "/dev/full",
					      "/proc/nothing.json"};
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("leak_cpp"), NULL);
	for (size_t i = 0; i < 3; i++) {
		memattach_fails(WORDS("-d", "0.1", "-o", outputs[i], "-p", number_of(target.pid)),
				125, outputs[i]);
		assert_untraced(target.pid);
		target_say(&target, "add 1");
		target_hear(&target);
	}
	/* One that fails does not cost the others. */
	memattach_attach_nowait(&m, target.pid, WORDS("-o", "/dev/full", "-d", "0.1"));
	memattach_expect_exit(&m, 125);
	json_decref(memattach_capture(&m));
	memattach_cleanup(&m);
	/* And a command runs to its end. */
	memattach_start(&m, WORDS("-o", "/dev/full", "--", "sh", "-c", "echo done; exit 3"));
	memattach_expect_exit(&m, 125);
	ck_assert_str_eq(memattach_out(&m), "done\n");
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* The reader of our stdout is gone, or its disk full. */
START_TEST(stdout_that_fails)
{
	struct target target;
	struct memattach m;
	pid_t pid;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), status;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_start(&m, WORDS("-v", "-p", number_of(target.pid)));
	memattach_wait_for(&m, "attached to");
	close(m.out.fd);
	m.out.fd = -1;
	m.out.end = true;
	kill(m.pid, SIGINT);
	memattach_expect_exit(&m, 125);
	memattach_cleanup(&m);
	pid = spawn(&(struct spawn){
		.argv = WORDS(memattach_path(), "-q", "-d", "0.1", "-p", number_of(target.pid)),
		.out = full});
	status = wait_end(pid);
	ck_assert_int_eq(WEXITSTATUS(status), 125);
	close(full);
	target_ask(&target, "add 1", "sessions 1");
	target_end(&target);
}
END_TEST

static void run_report(struct memattach *n, const char *const *args)
{
	memattach_start(n, args);
	memattach_expect_exit(n, 0);
	ck_assert_str_eq(memattach_err(n), "");
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

START_TEST(report_of_a_saved_capture)
{
	static const char *const sorts[] = {"live", "blocks",    "total",
					    "peak", "temporary", "growth"};
	struct target target;
	struct memattach m, n;
	char other[128];
	FILE *f;

	target_start(&target, WORDS("exact", "1"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "run 500", "done");
	memattach_snapshot(&m);
	target_ask(&target, "run 500", "done");
	memattach_stop(&m);

	run_report(&n, WORDS("report", m.json));
	ck_assert_ptr_nonnull(strstr(memattach_out(&n), "site_"));
	ck_assert_ptr_nonnull(strstr(memattach_out(&n), "exact.c:"));
	memattach_cleanup(&n);
	for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++) {
		run_report(&n, WORDS("report", m.json, "--sort", sorts[i], "-n", "3"));
		ck_assert_ptr_nonnull(strstr(memattach_out(&n), "site_"));
		memattach_cleanup(&n);
	}
	/* More of them with a larger --top. */
	run_report(&n, WORDS("report", m.json, "--top", "1"));
	size_t few = count(memattach_out(&n), "exact.c:");

	memattach_cleanup(&n);
	run_report(&n, WORDS("report", m.json, "--top", "0"));
	ck_assert_uint_gt(count(memattach_out(&n), "exact.c:"), few);
	memattach_cleanup(&n);
	run_report(&n, WORDS("report", "--snapshot", "1", m.json));
	memattach_cleanup(&n);
	snprintf(other, sizeof(other), "%s/again.json", m.dir);
	run_report(&n, WORDS("report", m.json, "-o", other));
	ck_assert_str_eq(memattach_out(&n), "");
	memattach_cleanup(&n);
	json_t *again = capture_load(other), *first = capture_load(m.json);

	ck_assert_int_eq(capture_total(again, "live_bytes"), capture_total(first, "live_bytes"));
	json_decref(again);
	json_decref(first);

	memattach_fails(WORDS("report", m.json, "--snapshot", "9"), 125, "9");
	memattach_fails(WORDS("report", "/no/such/capture.json"), 125, "/no/such/capture.json");
	f = fopen(other, "we");
	fputs("{\"format\": \"something else\"}\n", f);
	fclose(f);
	memattach_fails(WORDS("report", other), 125, "again.json");
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* That its figures are estimates is in the capture, in the report, and in a report made of the capture. */
START_TEST(sampled_run_says_so)
{
	static const char words[] = "! Estimates from sampling, mean 1.5 MiB between samples: ";
	struct memattach m, again;
	json_t *capture, *settings;

	memattach_launch(&m, WORDS("-s", "1536K", "-o", "-"), WORDS("/bin/true"));
	memattach_expect_exit(&m, 0);
	ck_assert_msg(strstr(memattach_out(&m), words), "%s", memattach_out(&m));
	capture = memattach_capture(&m);
	settings = json_object_get(capture, "settings");
	ck_assert_int_eq(json_integer_value(json_object_get(settings, "sample_bytes")), 1536 << 10);
	ck_assert(json_is_true(json_object_get(capture_last(capture), "estimated")));
	ck_assert(json_is_integer(json_object_get(capture_last(capture), "live_bytes_error")));
	json_decref(capture);
	memattach_start(&again, WORDS("report", m.json));
	memattach_expect_exit(&again, 0);
	ck_assert_str_eq(memattach_out(&again), memattach_out(&m));
	memattach_cleanup(&again);
	memattach_cleanup(&m);
}
END_TEST

/* What a real run writes is what the schema says. */
START_TEST(capture_fits_its_schema)
{
	static const char script[] =
		"import json, sys, jsonschema\n"
		"jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))\n";
	struct target target;
	struct memattach m;
	pid_t pid;

	pid = spawn(&(struct spawn){.argv = WORDS("/usr/bin/python3", "-c", "import jsonschema")});
	if (wait_end(pid) != 0) {
		printf("skipped: /usr/bin/python3 has no jsonschema\n");
		return;
	}
	target_start(&target, WORDS("shapes"), NULL);
	memattach_attach(&m, target.pid, WORDS("--depth", "20"));
	target_ask(&target, "shape deep", "ok");
	target_ask(&target, "shape jit", "ok");
	memattach_snapshot(&m);
	memattach_stop(&m);
	pid = spawn(&(struct spawn){.argv = WORDS("/usr/bin/python3", "-c", script,
						  "report/capture.schema.json", m.json)});
	ck_assert_int_eq(wait_end(pid), 0);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
#define MEMORY_MAX 0 /* its own needs are beyond any limit */
#else
#define MEMORY_MAX (360UL << 20)
#endif

/* There is more to remember than there may be memory for: it is said, and the run goes on. */
START_TEST(memory_is_limited)
{
	struct rlimit before, limit;
	struct target target;
	struct memattach m;
	json_t *capture;

	target_start(&target, WORDS("hoard"), NULL);
	if (MEMORY_MAX == 0) {
		printf("outputs: skipped: no limit of memory with a sanitizer\n");
		target_end(&target);
		return;
	}
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit = (struct rlimit){MEMORY_MAX, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	memattach_attach(&m, target.pid, NULL);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	target_ask(&target, "hoard 10000000", "hoarded");
	target_ask(&target, "round 1000", "done");
	memattach_stop(&m);
	capture = capture_load(m.json);
	ck_assert_ptr_nonnull(strstr(memattach_err(&m), "limit of memory"));
	ck_assert_int_gt(capture_total(capture, "lost_events"), 1000000);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* SIGINT, SIGTERM and SIGHUP end a run in good order; a command goes on by itself. */
START_TEST(signals_end_the_run)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct memattach m;
	struct target target;
	char *path = target_program("leak_cpp");
	json_t *capture;

	memattach_launch(&m, NULL, WORDS(path));
	memattach_adopt(&m, &target);
	target_ask(&target, "add 10", "sessions 10");
	kill(m.pid, signals[_i]);
	/* The command has our end of its stderr and goes on, so that has no end. */
	ck_assert_int_eq(wait_end(m.pid), 0);
	m.pid = 0;
	capture = memattach_capture(&m);
	ck_assert_str_eq(json_string_value(json_object_get(capture_last(capture), "reason")),
			 "detach");
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "add 10", "sessions 20");
	target_leave(&target);
	free(path);
}
END_TEST

Suite *outputs_suite(void)
{
	Suite *suite = suite_create("outputs");
	TCase *tcase = tcase_create("outputs");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, report_of_a_process_on_stdout);
	tcase_add_test(tcase, report_of_a_command_on_stderr);
	tcase_add_test(tcase, quiet_is_quiet);
	tcase_add_test(tcase, names_of_outputs);
	tcase_add_test(tcase, intervals_and_duration);
	tcase_add_test(tcase, unwritable_outputs);
	tcase_add_test(tcase, stdout_that_fails);
	tcase_add_test(tcase, report_of_a_saved_capture);
	tcase_add_test(tcase, sampled_run_says_so);
	tcase_add_test(tcase, capture_fits_its_schema);
	tcase_add_test(tcase, memory_is_limited);
	tcase_add_loop_test(tcase, signals_end_the_run, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite;
}
