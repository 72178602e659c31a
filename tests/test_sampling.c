// SPDX-License-Identifier: MIT
/*
 * memattach -s against targets that keep the truth about themselves, by jumps, traps
 * and both: what it estimates, and that of each block that it has recorded it sees the end,
 * whoever frees or resizes it.
 *
 * The truth tells sums and not sizes. A block of size Z adds (1-p)/p Z^2 to the variance of the
 * estimated bytes (ledger/estimates.h), which is less than mean times Z: so
 * that of all is less than mean times their bytes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/probe_modes.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

#define LIB "/usr/lib/x86_64-linux-gnu/"

/* Of so many standard errors one is not exceeded in a million runs. */
#define ERRORS 5.0

struct sampled {
	const char *program, *threads, *preload;
	const char
		*without[2]; /* call sites that are left out: more happens there than they know */
};

static const struct sampled targets[] = {
	{"exact", "1", NULL, {"site_asprintf"}},
	{"exact", "4", NULL, {"site_asprintf"}},
	{"exact_cpp", "4", NULL, {NULL}},
	{"exact_musl", "4", NULL, {"site_str", "site_asprintf"}},
	{"exact_cpp", "4", LIB "libjemalloc.so.2", {NULL}},
	{"exact_cpp", "4", LIB "libtcmalloc_minimal.so.4", {NULL}},
	{"exact_cpp", "4", LIB "libmimalloc.so.2", {NULL}},
};
#define TARGETS (int)(sizeof(targets) / sizeof(targets[0]))

/* The mean between samples: nearly everything is recorded, some of it, or little. */
static const struct mean {
	const char *option;
	double bytes;
} means[] = {{"1", 1}, {"64", 64}, {"64K", 65536}};
#define MEANS (int)(sizeof(means) / sizeof(means[0]))

static const char *const modes[PROBE_MODES] = {"jump", "trap", "auto"};
#define MODES PROBE_MODES_RUN

/* The sums of what the target says. */
static struct figures truth_of(struct target *target)
{
	struct figures sum = {0};
	const char *line;

	target_say(target, "truth");
	while (strcmp(line = target_hear(target), "end") != 0) {
		struct figures site = {0};

		if (sscanf(line, "site %*s %*s %ld %ld %ld %ld %ld %ld", &site.live_bytes,
			   &site.live_blocks, &site.total_bytes, &site.allocations, &site.frees,
			   &site.temporary) != 6)
			continue;
		sum.live_bytes += site.live_bytes;
		sum.total_bytes += site.total_bytes;
		sum.allocations += site.allocations;
		sum.frees += site.frees;
	}
	return sum;
}

/* A single sample counts for mean bytes, and a few are nothing unusual where hardly one is expected. */
static void assert_near(json_t *capture, const char *name, long truth, double mean)
{
	double error = sqrt(mean * (double)truth);
	long figure = capture_total(capture, name);

	ck_assert_msg(fabs((double)(figure - truth)) <= ERRORS * error + 2 * ERRORS * mean,
		      "%s: %ld, but the truth is %ld with a standard error of %.0f", name, figure,
		      truth, error);
}

/* The mean is far below most sizes: nearly all blocks of more than no bytes are there. */
static void assert_nearly_all(json_t *capture, const struct figures *truth)
{
	double all = (double)truth->allocations, seen;

	seen = (double)capture_total(capture, "recorded_allocations");
	ck_assert_msg(seen > 0.9 * all && seen <= all, "%.0f of %.0f were recorded", seen, all);
	ck_assert_int_gt(capture_total(capture, "total_frees"), truth->frees * 9 / 10);
}

static void assert_count(json_t *capture, const char *name, long truth)
{
	double figure = (double)capture_total(capture, name), n = (double)truth;
	double error = ERRORS * sqrt(1.5 * n);

	ck_assert_msg(figure >= 0.98 * n - error && figure <= n + error,
		      "%s: %.0f, but the truth is %ld", name, figure, truth);
}

/*
 * An allocation that counts twice, since one function calls another, would be seen here. The mean
 * of (1-p)/p over the targets' sizes is less than 1.5, and up to 2 % of them are 0, which is not
 * sampled.
 */
static void assert_counts(json_t *capture, const struct figures *truth)
{
	assert_count(capture, "total_allocations", truth->allocations);
	assert_count(capture, "total_frees", truth->frees);
}

static void compare(json_t *capture, struct target *target, const struct mean *mean)
{
	struct figures truth = truth_of(target);

	/* The target's stdio may have a buffer or two. */
	assert_near(capture, "total_bytes", truth.total_bytes, mean->bytes);
	assert_near(capture, "live_bytes", truth.live_bytes, mean->bytes);
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), 0);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
	ck_assert_int_eq(capture_total(capture, "lost_events"), 0);
	if (mean->bytes == 1)
		assert_nearly_all(capture, &truth);
	if (mean->bytes == 64)
		assert_counts(capture, &truth);
}

static bool start(const struct sampled *t, struct target *target)
{
	char preload[128];

	if (t->preload && access(t->preload, R_OK) != 0) {
		printf("skipped: %s is not installed\n", t->preload);
		return false;
	}
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", t->preload ? t->preload : "");
	target_start(target, WORDS(t->program, t->threads, t->without[0], t->without[1]),
		     WORDS(preload, "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD=0"));
	return true;
}

START_TEST(estimates_agree_with_the_truth)
{
	const struct sampled *t = &targets[_i % TARGETS];
	const struct mean *mean = &means[_i / TARGETS % MEANS];
	const char *mode = modes[_i / TARGETS / MEANS];
	struct memattach m;
	struct target target;
	json_t *capture;

	if (!start(t, &target))
		return;
	target_ask(&target, "run 1000", "done");
	memattach_probe_by(mode);
	memattach_attach(&m, target.pid, WORDS("-s", mean->option));
	target_ask(&target, "epoch", "epoch");
	target_ask(&target, strcmp(mode, "trap") == 0 ? "run 4000" : "run 20000", "done");
	capture = memattach_snapshot_and_read(&m);
	compare(capture, &target, mean);
	json_decref(capture);
	/* The main thread frees what the others have left. */
	target_ask(&target, "drain", "drained");
	capture = memattach_stop_and_read(&m);
	ck_assert_int_eq(capture_total(capture, "live_blocks"), 0);
	ck_assert_int_eq(capture_total(capture, "live_bytes"), 0);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), 0);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "run 1000", "done");
	target_end(&target);
}
END_TEST

/*
 * From the first instruction: with breakpoints until the program's modules are there, then
 * with jumps. Blocks of the first time are freed in the second.
 */
START_TEST(launched)
{
	const struct mean *mean = &means[_i % MEANS];
	char *path = target_program("exact");
	struct memattach m;
	struct target target;
	json_t *capture;
	long before;

	memattach_probe_by(modes[_i / MEANS]);
	memattach_launch(&m, WORDS("-s", mean->option), WORDS(path, "4", "site_asprintf"));
	memattach_adopt(&m, &target);
	capture = memattach_snapshot_and_read(&m);
	before = capture_total(capture, "live_blocks");
	json_decref(capture);
	target_ask(&target, "run 1500", "done");
	target_ask(&target, "drain", "drained");
	capture = memattach_snapshot_and_read(&m);
	ck_assert_int_eq(capture_total(capture, "live_blocks"), before);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
	json_decref(capture);
	memattach_end_command(&m, &target);
	free(path);
}
END_TEST

/* A handler that allocates, 1000 times a second a thread: in the short way, too. */
START_TEST(signals)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	memattach_probe_by(modes[_i]);
	target_start(&target, WORDS("exact", "4", "site_asprintf"), NULL);
	memattach_attach(&m, target.pid, WORDS("-s", "64"));
	target_ask(&target, "timer 1000", "timer 0");
	target_ask(&target, _i == 2 ? "run 1500" : "run 40000", "done");
	target_say(&target, "timer 0");
	target_hear(&target);
	capture = memattach_snapshot_and_read(&m);
	compare(capture, &target, &means[1]);
	json_decref(capture);
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

/* Its own allocator with so many functions, without which nothing of it would be asked. */
static void assert_probed(const struct memattach *m, const struct target *target, int functions)
{
	char link[40], path[300], text[340];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)target->pid);
	n = readlink(link, path, sizeof(path));
	ck_assert(n > 0 && n < (ssize_t)sizeof(path));
	snprintf(text, sizeof(text), "%d allocator functions in %.*s", functions, (int)n, path);
	ck_assert_msg(strstr(memattach_err(m), text) != NULL, "%s", memattach_err(m));
}

/* Whether a call is a part of another one is read from that one's stack, which may be gone. */
START_TEST(stack_that_is_gone)
{
	struct memattach m;
	struct target target;

	memattach_probe_by("jump");
	target_start(&target, WORDS("stays"), NULL);
	memattach_attach(&m, target.pid, WORDS("-s", "512K"));
	assert_probed(&m, &target, 2);
	target_ask(&target, "gone 20", "gone");
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_ask(&target, "gone 1", "gone");
	target_end(&target);
}
END_TEST

/* Records that memattach has read, of all that has come. */
static long records_read(const struct memattach *m)
{
	const char *text = memattach_err(m), *end = strstr(text, " records came through the ring");

	ck_assert_msg(end != NULL, "%s", text);
	while (end > text && end[-1] >= '0' && end[-1] <= '9')
		end--;
	return atol(end);
}

/*
 * Frees of blocks that were not recorded are not, either, though those lie beside recorded ones, or
 * where one has just been. Of blocks of 24 bytes one in 21 is recorded.
 */
START_TEST(frees_beside_recorded_blocks)
{
	enum { ROUNDS = 2000, EACH = 500 };
	const long recorded = (long)(ROUNDS * EACH * (1 - exp(-24.0 / 512)));
	struct memattach m;
	struct target target;

	memattach_probe_by("jump");
	target_start(&target, WORDS("hoard"), NULL);
	memattach_attach(&m, target.pid, WORDS("-s", "512"));
	target_ask(&target, "reuse 2000", "done");
	memattach_stop(&m);
	/* Of each the allocation and the free; and one in a hundred, and some stacks. */
	ck_assert_int_ge(records_read(&m), recorded / 10 * 19);
	ck_assert_int_le(records_read(&m), recorded / 10 * 21 + ROUNDS * EACH / 100);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* A recorded block's neighbour is not forgotten if that is freed in the middle of its realloc, and used again. */
START_TEST(recycled_during_a_realloc)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	memattach_probe_by(modes[_i]);
	target_start(&target, WORDS("recycler"), NULL);
	memattach_attach(&m, target.pid, WORDS("-s", "64K"));
	assert_probed(&m, &target, 3);
	for (int i = 0; i < 4; i++) {
		target_ask(&target, i % 2 ? "fail" : "move", i % 2 ? "failed" : "moved");
		/* Now memattach has read all that has happened. */
		capture = memattach_snapshot_and_read(&m);
		ck_assert_int_eq(capture_total(capture, "live_blocks"), 2);
		json_decref(capture);
		target_ask(&target, "free", "freed");
	}
	capture = memattach_stop_and_read(&m);
	ck_assert_int_eq(capture_total(capture, "live_blocks"), 0);
	ck_assert_int_ge(capture_total(capture, "total_allocations"), 10);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
	ck_assert_int_eq(capture_total(capture, "lost_events"), 0);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

Suite *sampling_suite(void)
{
	Suite *suite = suite_create("sampling");
	TCase *tcase = tcase_create("sampling");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, estimates_agree_with_the_truth, 0, TARGETS * MEANS * MODES);
	tcase_add_loop_test(tcase, launched, 0, MEANS * MODES);
	tcase_add_loop_test(tcase, signals, 0, MODES);
	tcase_add_test(tcase, stack_that_is_gone);
	tcase_add_loop_test(tcase, recycled_during_a_realloc, 0, MODES);
	tcase_add_test(tcase, frees_beside_recorded_blocks);
	suite_add_tcase(suite, tcase);
	return suite;
}
