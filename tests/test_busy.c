// SPDX-License-Identifier: MIT
/*
 * memattach gets no CPU. On a machine without a moment to spare, one CPU for the target,
 * memattach, and others that always run, what it does in the background must be done
 * all the same. While it is stopped the target goes on, and each event that finds no
 * room is counted.
 */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/types.h"
#include "tests/capture_query.h"
#include "tests/forked.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

#define SPINNERS 3

static void spin(struct forked_side *side)
{
	volatile int always = side->arg == NULL;

	while (always)
		;
}

/* This process, and all that it will start. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

/*
 * How many threads of memattach are in the background. *before: how many of these would go before
 * others, were they not.
 */
static int in_background(const struct memattach *m, int *before)
{
	char path[40];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	*before = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)m->pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || sched_getscheduler(tid) != SCHED_IDLE)
			continue;
		n++;
		*before += getpriority(PRIO_PROCESS, (id_t)tid) < 0;
	}
	closedir(dir);
	return n;
}

static void leave_and_return(struct forked_side *side)
{
	const struct sched_param none = {0};

	forked_send(side, sched_setscheduler(0, SCHED_IDLE, &none) == 0 &&
				  sched_setscheduler(0, SCHED_OTHER, &none) == 0);
}

/*
 * Until one thread of it is in the background, and does not go before others when it comes from
 * there; one that may not come back from there does not go.
 */
static void await_background(const struct memattach *m)
{
	struct forked child;
	int possible, before;

	forked_start(&child, leave_and_return, NULL);
	possible = forked_receive(&child);
	forked_end(&child);
	if (!possible)
		printf("busy: skipped: threads may not come back from SCHED_IDLE here\n");
	while (possible && (in_background(m, &before) != 1 || before))
		sched_yield();
}

/* Several times what the ring holds. */
START_TEST(nothing_is_lost)
{
	struct forked spinners[SPINNERS];
	struct memattach m;
	struct target target;
	json_t *capture;

	stay_on_one_cpu();
	memattach_probe_by("jump");
	target_start(&target, WORDS("exact", "2"), NULL);
	/* The control thread, which drains the ring when it writes a sample down, does so seldom. */
	memattach_attach(&m, target.pid, WORDS("--proc-interval", "60000"));
	await_background(&m);
	for (int i = 0; i < SPINNERS; i++)
		forked_start(&spinners[i], spin, NULL);
	target_ask(&target, "run 300000", "done");
	for (int i = 0; i < SPINNERS; i++)
		forked_end(&spinners[i]);
	await_background(&m);
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, &target, "", true);
	ck_assert_int_eq(capture_total(capture, "lost_events"), 0);
	ck_assert_int_gt(capture_total(capture, "total_allocations"), 150000);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* More than the ring has records. */
#define MANY 300000

/* What is on the books, and what is said to be lost: together each call that was made. */
static void assert_accounted(struct memattach *m, u64 calls, u64 *lost)
{
	json_t *capture;

	memattach_snapshot(m);
	capture = capture_load(m->json);
	*lost = (u64)capture_total(capture, "lost_events");
	ck_assert_uint_eq((u64)capture_total(capture, "total_allocations") +
				  (u64)capture_total(capture, "total_frees") +
				  (u64)capture_total(capture, "unknown_frees") + *lost,
			  calls);
	json_decref(capture);
}

START_TEST(stopped)
{
	struct memattach m;
	struct target target;
	siginfo_t info;
	u64 lost, later;

	memattach_probe_by("jump");
	target_start(&target, WORDS("staller"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "blocks 300000", "calls 300000");
	assert_accounted(&m, MANY, &lost);
	ck_assert_uint_eq(lost, 0);
	kill(m.pid, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)m.pid, &info, WSTOPPED), 0);
	/* It goes on, though nobody reads: first frees alone, then both. */
	target_ask(&target, "drop", "calls 600000");
	target_ask(&target, "pairs 100000", "calls 800000");
	kill(m.pid, SIGCONT);
	assert_accounted(&m, 800000, &lost);
	ck_assert_uint_gt(lost, 200000);
	/* And all is as before. */
	target_ask(&target, "pairs 100000", "calls 1000000");
	assert_accounted(&m, 1000000, &later);
	ck_assert_uint_eq(later, lost);
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

Suite *busy_suite(void)
{
	Suite *suite = suite_create("busy");
	TCase *tcase = tcase_create("busy");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, nothing_is_lost);
	tcase_add_test(tcase, stopped);
	suite_add_tcase(suite, tcase);
	return suite;
}
