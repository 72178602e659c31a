// SPDX-License-Identifier: MIT
/* proc/: status, stat, tasks, sampler. The check of a target and usage have their own files. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/sampler.h"
#include "proc/stat.h"
#include "proc/status.h"
#include "proc/tasks.h"
#include "tests/forked.h"
#include "tests/suites.h"

#define MIB (1UL << 20)

START_TEST(status_of_a_sample)
{
	static const char text[] =
		"Name:\tredis\\nState:\\\\\n"
		"Umask:\t0022\n"
		"State:\tt (tracing stop)\n"
		"Tgid:\t120\nPid:\t123\nPPid:\t7\nTracerPid:\t99\n"
		"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
		"VmSize:\t    3060 kB\nVmHWM:\t    1717 kB\nVmRSS:\t    1716 kB\n"
		"VmSwap:\t      12 kB\nThreads:\t4\n"
		"SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\n"
		"SigBlk:\t0000000000010000\nSigIgn:\t0000000000001000\n"
		"SigCgt:\t0000000180000002\nCapPrm:\t000001fffeffffff\n"
		"CapEff:\t0000000000080000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
		"Seccomp_filters:\t3";
	struct proc_status s;

	ck_assert_int_eq(proc_status_parse(&s, text, strlen(text), NULL), 0);
	ck_assert_str_eq(s.name, "redis\nState:\\");
	ck_assert_int_eq(s.state, 't');
	ck_assert_int_eq(s.tgid, 120);
	ck_assert_int_eq(s.ppid, 7);
	ck_assert_int_eq(s.tracer, 99);
	ck_assert_uint_eq(s.real_uid, 1);
	ck_assert_uint_eq(s.uid, 2);
	ck_assert_uint_eq(s.saved_uid, 3);
	ck_assert_uint_eq(s.real_gid, 5);
	ck_assert_uint_eq(s.gid, 6);
	ck_assert_uint_eq(s.saved_gid, 7);
	ck_assert_uint_eq(s.vm_size, 3060 * 1024);
	ck_assert_uint_eq(s.vm_hwm, 1717 * 1024);
	ck_assert_uint_eq(s.vm_rss, 1716 * 1024);
	ck_assert_uint_eq(s.vm_swap, 12 * 1024);
	ck_assert_uint_eq(s.threads, 4);
	ck_assert_uint_eq(s.sig_pending, 1);
	ck_assert_uint_eq(s.shared_pending, 2);
	ck_assert_uint_eq(s.sig_blocked, 0x10000);
	ck_assert_uint_eq(s.sig_ignored, 0x1000);
	ck_assert_uint_eq(s.sig_caught, 0x180000002);
	ck_assert_uint_eq(s.cap_permitted, 0x1fffeffffff);
	ck_assert_uint_eq(s.cap_effective, 0x80000);
	ck_assert(s.no_new_privs);
	ck_assert_uint_eq(s.seccomp, 2);
	ck_assert(!s.shadow_stack);
}
END_TEST

/* What is locked is not what is there. */
START_TEST(status_of_shadow_stacks)
{
	static const struct {
		const char *text;
		bool shadow_stack;
	} cases[] = {
		{"State:\tS\nx86_Thread_features:\tshstk \nx86_Thread_features_locked:\t\n", true},
		{"State:\tS\nx86_Thread_features:\tshstk wrss", true},
		{"State:\tS\nx86_Thread_features:\twrss shstk \n", true},
		{"State:\tS\nx86_Thread_features:\t\nx86_Thread_features_locked:\tshstk wrss \n",
		 false},
		{"State:\tS\nx86_Thread_features:", false},
		{"State:\tS\n", false},
	};
	struct proc_status s;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(proc_status_parse(&s, cases[i].text, strlen(cases[i].text), NULL),
				 0);
		ck_assert_msg(s.shadow_stack == cases[i].shadow_stack, "case %zu", i);
	}
}
END_TEST

/* Every beginning of a status is either read or refused; numbers too big are cut, not wrapped. */
START_TEST(status_of_garbage)
{
	static const char text[] = "State:\tR\nVmRSS:\t99999999999999999999999 kB\n"
				   "VmSize:\t18446744073709551615 kB\nName:\t\\";
	struct err err = ERR_INIT;
	struct proc_status s;

	ck_assert_int_eq(proc_status_parse(&s, text, strlen(text), NULL), 0);
	ck_assert_uint_eq(s.vm_rss, UINT64_MAX);
	ck_assert_uint_eq(s.vm_size, UINT64_MAX);
	ck_assert_str_eq(s.name, "\\");
	ck_assert_int_eq(proc_status_parse(&s, text, 0, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.msg, "State"));
	for (size_t len = 0; len < strlen(text); len++) {
		char *copy = malloc(len + 1); /* of exactly this size, for the sanitizer */

		memcpy(copy, text, len);
		proc_status_parse(&s, copy, len, NULL);
		free(copy);
	}
}
END_TEST

static void body_pause(struct forked_side *side)
{
	if (side->arg)
		prctl(PR_SET_NAME, side->arg);
	forked_pause(side);
}

START_TEST(status_of_a_process)
{
	/* All that a name may be: at most 15 bytes, any of them. */
	static char name[] = "a\nState:\tZ\\) b";
	struct proc_status s;
	struct forked child;

	forked_start(&child, body_pause, name);
	forked_await(&child);
	ck_assert_int_eq(proc_status_read(&s, child.pid, NULL), 0);
	ck_assert_str_eq(s.name, name);
	ck_assert(s.state == 'S' || s.state == 'R');
	ck_assert_int_eq(s.tgid, child.pid);
	ck_assert_int_eq(s.ppid, getpid());
	ck_assert_uint_eq(s.uid, geteuid());
	ck_assert_uint_eq(s.real_gid, getgid());
	ck_assert_uint_eq(s.threads, 1);
	ck_assert_uint_ge(s.vm_size, s.vm_rss);
	ck_assert_uint_ge(s.vm_hwm, s.vm_rss);
	ck_assert_uint_gt(s.vm_rss, 0);
	forked_end(&child);
	ck_assert_int_eq(proc_status_read(&s, child.pid, NULL), -ESRCH);
}
END_TEST

START_TEST(stat_of_samples)
{
	static const char text[] =
		"5582 (a) R ) (b) S 5578 5578 3228 -1 -1 4194304 98 1 7 2 0 0 0 0 "
		"20 0 1 0 144988 3133440 342 18446744073709551615";
	static const char *const bad[] = {
		"", ")", "1 (a)", "1 (a) ", "1 (a) R", "1 (a) R 1 2 x", "1 a R 1 2 3 4 5 6 7 8",
	};
	struct proc_stat s;

	ck_assert_int_eq(proc_stat_parse(&s, text, strlen(text), NULL), 0);
	ck_assert_int_eq(s.state, 'S');
	ck_assert_uint_eq(s.flags, 4194304);
	ck_assert_uint_eq(s.minor_faults, 98);
	ck_assert_uint_eq(s.major_faults, 7);
	ck_assert_uint_eq(s.start_time, 144988);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(proc_stat_parse(&s, bad[i], strlen(bad[i]), NULL), -EINVAL);
}
END_TEST

START_TEST(stat_of_a_process)
{
	struct proc_stat s, again;
	struct forked child;
	static char name[] = ") R 1 (";

	forked_start(&child, body_pause, name);
	forked_await(&child);
	ck_assert_int_eq(proc_stat_read(&s, child.pid, NULL), 0);
	ck_assert(s.state == 'S' || s.state == 'R');
	ck_assert(!(s.flags & PROC_STAT_KTHREAD));
	ck_assert_uint_gt(s.minor_faults, 0);
	ck_assert_int_eq(proc_stat_read(&again, child.pid, NULL), 0);
	ck_assert_uint_eq(s.start_time, again.start_time);
	forked_end(&child);
	ck_assert_int_eq(proc_stat_read(&s, child.pid, NULL), -ESRCH);
}
END_TEST

#define THREADS 5

struct thread_start {
	struct forked_side *side;
	pthread_barrier_t ready;
};

static void *wait_forever(void *arg)
{
	struct thread_start *start = arg;

	pthread_barrier_wait(&start->ready);
	pause();
	return NULL;
}

static void body_threads(struct forked_side *side)
{
	struct thread_start start = {.side = side};
	pthread_t thread;

	pthread_barrier_init(&start.ready, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&thread, NULL, wait_forever, &start) != 0)
			_exit(1);
	}
	pthread_barrier_wait(&start.ready);
	forked_pause(side);
}

START_TEST(tasks_are_all_threads)
{
	struct err err = ERR_INIT;
	struct proc_status s;
	struct forked child;
	bool leader = false;
	pid_t *tids;
	size_t n;

	forked_start(&child, body_threads, NULL);
	forked_await(&child);
	ck_assert_int_eq(proc_tasks(child.pid, &tids, &n, &err), 0);
	ck_assert_uint_eq(n, THREADS + 1);
	for (size_t i = 0; i < n; i++) {
		leader = leader || tids[i] == child.pid;
		ck_assert_int_eq(proc_status_read(&s, tids[i], NULL), 0);
		ck_assert_int_eq(s.tgid, child.pid);
	}
	ck_assert(leader);
	free(tids);
	forked_end(&child);
	ck_assert_int_eq(proc_tasks(child.pid, &tids, &n, &err), -ESRCH);
	ck_assert_ptr_null(tids);
	ck_assert_uint_eq(n, 0);
}
END_TEST

#define GROWTH (24 * MIB)

static void body_grow(struct forked_side *side)
{
	char *p;

	forked_pause(side);
	p = mmap(NULL, GROWTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(1);
	memset(p, 1, GROWTH);
	forked_pause(side);
	munmap(p, GROWTH);
	forked_pause(side);
}

START_TEST(sampler_sees_memory_come_and_go)
{
	struct proc_sample before, grown, after;
	struct proc_sampler sampler;
	struct forked child;

	forked_start(&child, body_grow, NULL);
	forked_await(&child);
	ck_assert_int_eq(proc_sampler_init(&sampler, child.pid, NULL), 0);
	ck_assert_int_eq(proc_sampler_read(&sampler, &before), 0);
	forked_go(&child);
	forked_await(&child);
	ck_assert_int_eq(proc_sampler_read(&sampler, &grown), 0);
	forked_go(&child);
	forked_await(&child);
	ck_assert_int_eq(proc_sampler_read(&sampler, &after), 0);
	/* The kernel counts RSS per CPU in batches: some hundred pages may be missing. */
	ck_assert_uint_ge(grown.vm_rss, before.vm_rss + GROWTH - MIB);
	ck_assert_uint_ge(grown.vm_size, before.vm_size + GROWTH);
	/* Huge pages make it fewer than one fault a page, but never none. */
	ck_assert_uint_gt(grown.minor_faults, before.minor_faults);
	ck_assert_uint_le(after.vm_rss, grown.vm_rss - GROWTH + MIB);
	ck_assert_uint_ge(after.vm_hwm, before.vm_rss + GROWTH - MIB);
	ck_assert_uint_eq(after.threads, 1);
	proc_sampler_deinit(&sampler);
	forked_end(&child);
}
END_TEST

START_TEST(sampler_sees_the_end)
{
	struct proc_sampler sampler;
	struct proc_sample sample;
	struct err err = ERR_INIT;
	struct forked child;

	forked_start(&child, body_pause, NULL);
	forked_await(&child);
	ck_assert_int_eq(proc_sampler_init(&sampler, child.pid, NULL), 0);
	ck_assert_int_eq(proc_sampler_read(&sampler, &sample), 0);
	forked_go(&child);
	forked_await_zombie(&child);
	ck_assert_int_eq(proc_sampler_read(&sampler, &sample), -ESRCH);
	forked_end(&child);
	ck_assert_int_eq(proc_sampler_read(&sampler, &sample), -ESRCH);
	proc_sampler_deinit(&sampler);
	ck_assert_int_eq(proc_sampler_init(&sampler, child.pid, &err), -ESRCH);
	ck_assert_int_eq(sampler.status_fd, -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "no process"));
}
END_TEST

Suite *proc_suite(void)
{
	Suite *suite = suite_create("proc");
	TCase *tcase = tcase_create("proc");

	tcase_add_test(tcase, status_of_a_sample);
	tcase_add_test(tcase, status_of_shadow_stacks);
	tcase_add_test(tcase, status_of_garbage);
	tcase_add_test(tcase, status_of_a_process);
	tcase_add_test(tcase, stat_of_samples);
	tcase_add_test(tcase, stat_of_a_process);
	tcase_add_test(tcase, tasks_are_all_threads);
	tcase_add_test(tcase, sampler_sees_memory_come_and_go);
	tcase_add_test(tcase, sampler_sees_the_end);
	suite_add_tcase(suite, tcase);
	return suite;
}
