// SPDX-License-Identifier: MIT
/* attach/: real processes under ptrace, without probes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/event.h"
#include "tests/attach_serve.h"
#include "tests/forked.h"
#include "tests/process_image.h"
#include "tests/suites.h"

static void *end_at_once(void *arg)
{
	return arg;
}

/* A life with everything that a tracer can be told of, in a fixed order. */
static void eventful(struct forked_side *side)
{
	static char *const words[] = {"true", NULL};
	pthread_t thread;
	pid_t pid;

	signal(SIGUSR1, SIG_IGN); /* a tracer sees it all the same */
	forked_pause(side);
	raise(SIGUSR1);
	__asm__ volatile("int3");
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	pid = vfork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	pthread_create(&thread, NULL, end_at_once, NULL);
	pthread_join(thread, NULL);
	raise(SIGSTOP);
	execv("/bin/true", words);
}

/* One kind per event of the main thread, in the order of eventful. */
static const enum trace_event expected[] = {
	EVENT_STOP, /* our interrupt */
	EVENT_SIGNAL,     EVENT_TRAP,    EVENT_FORK,    EVENT_VFORK, EVENT_VFORK_DONE,
	EVENT_CLONE,      EVENT_SIGNAL, /* SIGSTOP is about to be delivered, and was */
	EVENT_GROUP_STOP, EVENT_STOP,   /* SIGCONT has been sent */
	EVENT_SIGNAL,                   /* and is delivered */
	EVENT_EXEC,       EVENT_SYSCALL, EVENT_SYSCALL, EVENT_EXIT,  EVENT_GONE,
};

/* Restarts the child from its n-th event as event.h says. */
static void restart(struct forked *child, size_t n, int status)
{
	enum trace_event kind = expected[n];
	int request = PTRACE_CONT, sig = 0;

	if (kind == EVENT_GROUP_STOP) {
		ck_assert_int_eq(trace_event_signal(status), SIGSTOP);
		ck_assert_int_eq(pt(PTRACE_LISTEN, child->pid, 0, 0), 0);
		kill(child->pid, SIGCONT);
		return;
	}
	if (kind == EVENT_SIGNAL)
		sig = trace_event_signal(status);
	if (expected[n + 1] == EVENT_SYSCALL)
		request = PTRACE_SYSCALL;
	ck_assert_int_eq(pt(request, child->pid, 0, (u64)sig), 0);
}

START_TEST(wait_statuses)
{
	const u64 options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			    PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXEC |
			    PTRACE_O_TRACEEXIT;
	struct forked child;
	int status;
	pid_t tid;

	forked_start(&child, eventful, NULL);
	forked_await(&child);
	ck_assert_int_eq(pt(PTRACE_SEIZE, child.pid, 0, options), 0);
	ck_assert_int_eq(pt(PTRACE_INTERRUPT, child.pid, 0, 0), 0);
	forked_go(&child);
	for (size_t n = 0; n < ARRAY_SIZE(expected);) {
		tid = waitpid(-1, &status, __WALL);
		ck_assert_int_gt(tid, 0);
		/* Its children: let go. */
		if (tid != child.pid) {
			if (WIFSTOPPED(status))
				pt(PTRACE_CONT, tid, 0, 0);
			continue;
		}
		/* The signals of children that ended. */
		if (WIFSTOPPED(status) && status >> 8 == SIGCHLD) {
			ck_assert_int_eq(trace_event_decode(status), EVENT_SIGNAL);
			pt(PTRACE_CONT, tid, 0, SIGCHLD);
			continue;
		}
		ck_assert_msg(trace_event_decode(status) == expected[n],
			      "event %zu: status %#x is taken for %d, not %d", n,
			      (unsigned int)status, trace_event_decode(status), expected[n]);
		if (expected[n] == EVENT_TRAP)
			ck_assert_int_eq(trace_event_signal(status), SIGTRAP);
		if (expected[n] != EVENT_GONE)
			restart(&child, n, status);
		n++;
	}
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(trace_event_signal(status), 0);
	close(child.to);
	close(child.from);
}
END_TEST

START_TEST(a_killed_process_is_gone)
{
	struct forked child;
	int status;

	forked_start(&child, eventful, NULL);
	forked_await(&child);
	ck_assert_int_eq(pt(PTRACE_SEIZE, child.pid, 0, 0), 0);
	kill(child.pid, SIGKILL);
	ck_assert_int_eq(waitpid(child.pid, &status, __WALL), child.pid);
	ck_assert_int_eq(trace_event_decode(status), EVENT_GONE);
	ck_assert(WIFSIGNALED(status));
	close(child.to);
	close(child.from);
}
END_TEST

#define MODEL_MAX 3000

/* The table against the simplest of all: an array that is searched from one end to the other. */
START_TEST(table_against_a_model)
{
	static struct thread *model[MODEL_MAX];
	static bool taken[MODEL_MAX];
	struct threads *threads = threads_create();
	u32 n = 0, top = 0;

	srandom(1);
	ck_assert_ptr_nonnull(threads);
	for (int step = 0; step < 60000; step++) {
		/* Tids as the kernel gives them: near each other, and again after a while. */
		pid_t tid = 1 + (pid_t)(random() % 4000);
		struct thread *found = threads_find(threads, tid), *known = NULL;
		bool grow = (step / 10000) % 2 == 0;
		u32 at = 0;

		for (u32 i = 0; i < n; i++) {
			if (model[i]->tid == tid) {
				known = model[i];
				at = i;
			}
		}
		ck_assert_ptr_eq(found, known);
		if (!found && n < MODEL_MAX && (grow || random() % 8 == 0)) {
			model[n] = threads_add(threads, tid);
			ck_assert_ptr_nonnull(model[n]);
			ck_assert_int_eq(model[n]->tid, tid);
			ck_assert_int_eq(model[n]->state, THREAD_RUNNING);
			/* Small numbers, none given twice. */
			ck_assert_uint_lt(model[n]->index, MODEL_MAX);
			ck_assert(!taken[model[n]->index]);
			taken[model[n]->index] = true;
			if (model[n]->index >= top)
				top = model[n]->index + 1;
			n++;
		} else if (found && (!grow || random() % 8 == 0)) {
			taken[found->index] = false;
			threads_remove(threads, found);
			model[at] = model[--n];
		}
		ck_assert_uint_eq(threads_count(threads), n);
	}
	/* All of them are in the walk, each once. */
	for (u32 i = 0; i < n; i++) {
		struct thread *thread = threads_at(threads, i);

		ck_assert(taken[thread->index]);
		taken[thread->index] = false;
	}
	ck_assert_uint_gt(n, 100);
	threads_destroy(threads);
	threads_destroy(NULL);
}
END_TEST

/* Every thread that /proc shows is traced by us, once those that were being born are there. */
static void assert_all_traced(struct tracee *tracee, struct served *served)
{
	pid_t *tids;
	size_t n;

	ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
	assert_all_stopped(tracee);
	ck_assert_int_eq(proc_tasks(tracee_pid(tracee), &tids, &n, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		const char *tracer = status_field(tids[i], "TracerPid");

		ck_assert_msg(!tracer || atoi(tracer) == getpid(), "thread %d is traced by %s",
			      (int)tids[i], tracer);
		ck_assert_msg(!tracer || threads_find(tracee_threads(tracee), tids[i]),
			      "thread %d is not in the table", (int)tids[i]);
	}
	free(tids);
	tracee_resume_all(tracee);
	serve(tracee, served);
}

START_TEST(threads_that_come_and_go)
{
	struct served served = {.newborns = 0};
	struct target target;

	target_start(&target, WORDS("attach_forks", "0", "thread", "thread", "thread"), NULL);
	for (int i = 0; i < 25; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		for (int k = 0; k < 4; k++) {
			assert_all_traced(tracee, &served);
			serve_for(tracee, 3, &served);
		}
		serve_ask(tracee, &target, "progress 2", "progressed", &served);
		serve_detach(tracee);
	}
	ck_assert_uint_gt(served.events[EVENT_CLONE], 0);
	ck_assert_uint_eq(served.newborns, 0);
	target_ask(&target, "progress 20", "progressed");
	target_end(&target);
}
END_TEST

/* 100 times from seize to detach, all threads stopped and resumed in between; they check themselves. */
START_TEST(stop_resume_detach)
{
	struct served served = {.newborns = 0};
	struct target target;
	char *before;

	target_start(&target, WORDS("attach_spin", "7"), NULL);
	before = process_image(target.pid, true);
	for (int i = 0; i < 100; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		ck_assert_uint_eq(threads_count(tracee_threads(tracee)), 8);
		for (int k = 0; k < 3; k++) {
			ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
			assert_all_stopped(tracee);
			tracee_resume_all(tracee);
		}
		if (i % 10 == 0)
			serve_ask(tracee, &target, "progress 1", "progressed", &served);
		serve_detach(tracee);
		/* None may be left stopped. */
		if (i % 10 == 5)
			target_ask(&target, "progress 2", "progressed");
	}
	target_ask(&target, "progress 10", "progressed");
	assert_same_image(before, process_image(target.pid, true));
	target_end(&target);
}
END_TEST

/* Calls without end notice nothing of 100 stops, and of a detach in their midst. */
START_TEST(blocked_calls)
{
	struct served served = {.newborns = 0};
	struct target target;

	target_start(&target, WORDS("blocked"), NULL);
	for (int i = 0; i < 10; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		for (int k = 0; k < 10; k++) {
			serve_stop_and_resume(tracee);
			if (k % 5 == 0)
				serve_for(tracee, 2, &served);
		}
		serve_ask(tracee, &target, "status", "returned 0 eintr 0", &served);
		serve_detach(tracee);
	}
	target_ask(&target, "status", "returned 0 eintr 0");
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* A handler interrupts, each time once; what the target ignores does not; nor do our stops in between. */
START_TEST(signals_to_blocked_calls)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	char answer[64];

	tracee = serve_start(&target, WORDS("blocked"));
	for (int i = 1; i <= 10; i++) {
		snprintf(answer, sizeof(answer), "interrupted %d", 12 * i);
		serve_ask(tracee, &target, "interrupt", answer, &served);
		serve_ask(tracee, &target, "ignored", "sent", &served);
		serve_stop_and_resume(tracee);
		serve_for(tracee, 5, &served);
		snprintf(answer, sizeof(answer), "returned %d eintr %d", 12 * i, 12 * i);
		serve_ask(tracee, &target, "status", answer, &served);
	}
	ck_assert_uint_eq(served.signals[SIGUSR1], 120);
	ck_assert_uint_gt(served.signals[SIGWINCH] + served.signals[SIGUSR2], 0);
	serve_detach(tracee);
	target_ask(&target, "status", answer);
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* A signal that comes while its thread stands in our stop, or in a call that we set to run again. */
START_TEST(signals_while_stopped)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	char answer[64];
	int sent = 0;

	tracee = serve_start(&target, WORDS("blocked"));
	for (int i = 1; i <= 10; i++) {
		struct threads *threads = tracee_threads(tracee);

		ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
		for (u32 k = 0; k < threads_count(threads); k++) {
			pid_t tid = threads_at(threads, k)->tid;

			if (tid == target.pid)
				continue;
			ck_assert_int_eq(syscall(SYS_tgkill, target.pid, tid, SIGWINCH), 0);
			ck_assert_int_eq(syscall(SYS_tgkill, target.pid, tid, SIGUSR1), 0);
			sent++;
		}
		tracee_resume_all(tracee);
		while (served.signals[SIGUSR1] < (u32)sent)
			serve(tracee, &served);
		serve_for(tracee, 5, &served);
	}
	ck_assert_int_eq(sent, 120);
	/* Signals that come together with the stops of a detach are not lost, either. */
	serve_stop_and_resume(tracee);
	snprintf(answer, sizeof(answer), "returned %d eintr %d", sent, sent);
	serve_ask(tracee, &target, "status", answer, &served);
	serve_detach(tracee);
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* Handled signals at any moment of attach and detach: each is delivered once. */
START_TEST(signals_in_passing)
{
	struct served served = {.newborns = 0};
	struct target target;
	char question[64], answer[64];
	int sent = 0;

	target_start(&target, WORDS("attach_spin", "4"), NULL);
	for (int i = 0; i < 60; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
		kill(target.pid, SIGUSR1);
		tracee_resume_all(tracee);
		serve_for(tracee, 1, &served);
		/* Standard signals do not queue: the one before has to be through. */
		snprintf(question, sizeof(question), "signals %d", ++sent);
		snprintf(answer, sizeof(answer), "signals %d", sent);
		serve_ask(tracee, &target, question, answer, &served);
		kill(target.pid, SIGUSR1);
		serve_detach(tracee);
		snprintf(question, sizeof(question), "signals %d", ++sent);
		snprintf(answer, sizeof(answer), "signals %d", sent);
		target_ask(&target, question, answer);
	}
	target_end(&target);
}
END_TEST

static void await_state(pid_t pid, struct tracee *tracee, struct served *served, char state)
{
	u64 end = clock_ns() + 10000000000ULL;
	const char *now;

	while ((now = status_field(pid, "State")) && now[0] != state) {
		ck_assert_msg(clock_ns() < end, "process %d is %s, not %c", (int)pid, now, state);
		if (tracee)
			serve(tracee, served);
	}
}

/* Stopped and continued under trace, with our own stops in the middle; it stays stopped meanwhile. */
START_TEST(group_stop)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	int status;

	tracee = serve_start(&target, WORDS("attach_spin", "4"));
	for (int i = 0; i < 10; i++) {
		u32 stops = served.events[EVENT_GROUP_STOP];

		kill(target.pid, SIGSTOP);
		while (served.events[EVENT_GROUP_STOP] < stops + 5)
			serve(tracee, &served);
		/* The parent, that is we, hears of it as it would without a tracer. */
		serve_stop_and_resume(tracee);
		serve_for(tracee, 5, &served);
		for (u32 k = 0; k < threads_count(tracee_threads(tracee)); k++)
			ck_assert_int_eq(threads_at(tracee_threads(tracee), k)->state,
					 THREAD_LISTENING);
		kill(target.pid, SIGCONT);
		serve_ask(tracee, &target, "progress 1", "progressed", &served);
	}
	/* Detached while it is stopped, it stays so. */
	kill(target.pid, SIGSTOP);
	await_state(target.pid, tracee, &served, 't');
	serve_for(tracee, 5, &served);
	serve_detach(tracee);
	await_state(target.pid, NULL, NULL, 'T');
	ck_assert_int_eq(waitpid(target.pid, &status, WUNTRACED), target.pid);
	ck_assert(WIFSTOPPED(status));
	kill(target.pid, SIGCONT);
	target_ask(&target, "progress 2", "progressed");
	target_end(&target);
}
END_TEST

/* Forks, spawned commands and threads all the time, under stop_all; each child ends as it should. */
START_TEST(storm_of_children)
{
	struct served served = {.newborns = 0};
	struct target target;

	target_start(&target,
		     WORDS("attach_forks", "200", "fork", "fork", "vfork", "spawn", "thread"),
		     NULL);
	for (int i = 0; i < 12; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		for (int k = 0; k < 8; k++) {
			ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
			assert_all_stopped(tracee);
			tracee_resume_all(tracee);
			serve_for(tracee, 1 + k, &served);
		}
		serve_detach(tracee);
	}
	ck_assert_uint_gt(served.newborns, 0);
	ck_assert_uint_gt(served.events[EVENT_VFORK_DONE], 0);
	target_ask(&target, "progress 3", "progressed");
	target_end(&target);
}
END_TEST

START_TEST(launch)
{
	static char *const missing[] = {"/nonexistent/command", NULL};
	static char *const no_program[] = {"/proc/version", NULL};
	static char *const seven[] = {"sh", "-c", "exit 7", NULL};
	struct served served = {.newborns = 0};
	struct err err = ERR_INIT;
	struct tracee_event event;
	struct tracee *tracee;

	ck_assert_ptr_null(tracee_launch(missing, &err));
	ck_assert_int_eq(err.code, ENOENT);
	err_reset(&err);
	ck_assert_ptr_null(tracee_launch(no_program, &err));
	ck_assert_int_eq(err.code, EACCES);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	tracee = tracee_launch(seven, &err);
	ck_assert_ptr_nonnull(tracee);
	ck_assert_int_eq(tracee_next(tracee, &event), 0);
	ck_assert_int_eq(event.kind, EVENT_EXEC);
	serve_one(tracee, &event, &served);
	do {
		ck_assert_int_eq(tracee_next(tracee, &event), 0);
		if (event.kind != EVENT_GONE)
			serve_one(tracee, &event, &served);
	} while (event.kind != EVENT_GONE);
	ck_assert(WIFEXITED(event.status) && WEXITSTATUS(event.status) == 7);
	tracee_forget(tracee, event.thread);
	ck_assert_int_eq(tracee_next(tracee, &event), -ECHILD);
	tracee_destroy(tracee);
}
END_TEST

Suite *attach_suite(void)
{
	Suite *suite = suite_create("attach");
	TCase *tcase = tcase_create("attach");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, wait_statuses);
	tcase_add_test(tcase, a_killed_process_is_gone);
	tcase_add_test(tcase, table_against_a_model);
	tcase_add_test(tcase, threads_that_come_and_go);
	tcase_add_test(tcase, stop_resume_detach);
	tcase_add_test(tcase, blocked_calls);
	tcase_add_test(tcase, signals_to_blocked_calls);
	tcase_add_test(tcase, signals_while_stopped);
	tcase_add_test(tcase, signals_in_passing);
	tcase_add_test(tcase, group_stop);
	tcase_add_test(tcase, storm_of_children);
	tcase_add_test(tcase, launch);
	suite_add_tcase(suite, tcase);
	return suite;
}
