// SPDX-License-Identifier: MIT
/* System calls made in threads that know nothing of it, and a tracer that dies in the middle of one. */
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/inject.h"
#include "attach/remote_x86_64.h"
#include "base/reader.h"
#include "proc/identity.h"
#include "tests/attach_serve.h"
#include "tests/forked.h"
#include "tests/kill_at_call.h"
#include "tests/process_image.h"
#include "tests/rounds.h"
#include "tests/suites.h"

/* struct sigaction of the kernel. */
struct kernel_action {
	u64 handler, flags, restorer, mask;
};

static u64 entry_of(pid_t pid)
{
	struct proc_identity identity;
	struct err err = ERR_INIT;
	u64 entry;

	ck_assert_msg(proc_identity_read(&identity, pid, &err) == 0, "%s", err.msg);
	entry = identity.entry;
	proc_identity_deinit(&identity);
	return entry;
}

static s64 call(struct tracee *tracee, struct thread *thread, u64 code,
		const struct remote_call *what)
{
	struct err err = ERR_INIT;
	s64 result = 0x5a5a;

	ck_assert_msg(remote_syscall(thread->tid, tracee_mem(tracee), code, what, &result, &err) ==
			      0,
		      "thread %d: %s", (int)thread->tid, err.msg);
	thread->regs_valid = false;
	return result;
}

/* All kinds of calls in one thread: plain, with six arguments, with memory both ways, failing. */
static void calls_in(struct tracee *tracee, struct thread *thread, u64 code)
{
	struct kernel_action actions[2] = {{0}};
	struct remote_call getpid = {.number = SYS_getpid};
	struct remote_call gettid = {.number = SYS_gettid};
	struct remote_call map = {
		.number = SYS_mmap,
		.args = {0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (u64)-1, 0}};
	struct remote_call unmap = {.number = SYS_munmap, .args = {0, 8192}};
	struct remote_call set = {
		.number = SYS_rt_sigaction,
		.args = {SIGTTIN, REMOTE_DATA, REMOTE_DATA + sizeof(actions[0]), 8},
		.data = {actions, sizeof(actions)}};
	struct remote_call bad = {.number = SYS_close, .args = {(u64)-1}};
	u64 probe = 0x1122334455667788ULL, back = 0;
	s64 address;

	ck_assert_int_eq(call(tracee, thread, code, &getpid), tracee_pid(tracee));
	ck_assert_int_eq(call(tracee, thread, code, &gettid), thread->tid);
	address = call(tracee, thread, code, &map);
	ck_assert_msg(address > 0, "mmap: %ld", (long)address);
	ck_assert_int_eq(proc_mem_write(tracee_mem(tracee), (u64)address + 8184, &probe, 8), 0);
	ck_assert_int_eq(proc_mem_read(tracee_mem(tracee), (u64)address + 8184, &back, 8), 8);
	ck_assert_uint_eq(back, probe);
	unmap.args[0] = (u64)address;
	ck_assert_int_eq(call(tracee, thread, code, &unmap), 0);
	ck_assert_int_lt(proc_mem_read(tracee_mem(tracee), (u64)address, &back, 8), 0);
	/* SIGTTIN's action: ignored, and back to what it was. */
	actions[0].handler = 1;
	actions[1].handler = 7;
	ck_assert_int_eq(call(tracee, thread, code, &set), 0);
	ck_assert_uint_eq(actions[1].handler, 0);
	actions[0].handler = 0;
	ck_assert_int_eq(call(tracee, thread, code, &set), 0);
	ck_assert_uint_eq(actions[1].handler, 1);
	ck_assert_int_eq(call(tracee, thread, code, &bad), -EBADF);
}

static void calls_in_all(struct tracee *tracee, u64 code)
{
	struct threads *threads = tracee_threads(tracee);

	ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);

		ck_assert(remote_possible(thread));
		calls_in(tracee, thread, code);
	}
	tracee_resume_all(tracee);
}

/* In user mode, with everything in registers. */
START_TEST(in_spinning_threads)
{
	struct served served = {.newborns = 0};
	struct target target;
	char *before;

	target_start(&target, WORDS("attach_spin", "4"), NULL);
	before = process_image(target.pid, true);
	for (int i = 0; i < 20; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		calls_in_all(tracee, entry_of(target.pid));
		serve_ask(tracee, &target, "progress 2", "progressed", &served);
		serve_detach(tracee);
	}
	target_ask(&target, "progress 5", "progressed");
	assert_same_image(before, process_image(target.pid, true));
	target_end(&target);
}
END_TEST

/* In system calls that last for ever: none returns, none is told EINTR. */
START_TEST(in_blocked_threads)
{
	struct served served = {.newborns = 0};
	struct target target;
	char *before;

	target_start(&target, WORDS("blocked"), NULL);
	before = process_image(target.pid, true);
	for (int i = 0; i < 10; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		calls_in_all(tracee, entry_of(target.pid));
		serve_for(tracee, 3, &served);
		serve_ask(tracee, &target, "status", "returned 0 eintr 0", &served);
		serve_detach(tracee);
		target_ask(&target, "status", "returned 0 eintr 0");
	}
	assert_same_image(before, process_image(target.pid, true));
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* In those with a time limit: they end with the right error and not before their time. */
START_TEST(in_timed_calls)
{
	struct target target;

	target_start(&target, WORDS("blocked"), NULL);
	target_ask(&target, "timed", "timed 9");
	for (int i = 0; i < 4; i++) {
		struct tracee *tracee = serve_seize(target.pid);

		calls_in_all(tracee, entry_of(target.pid));
		serve_detach(tracee);
	}
	target_ask(&target, "finished", "right");
	target_ask(&target, "status", "returned 0 eintr 0");
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* A signal comes while the thread makes our calls: it is delivered afterwards, once. */
START_TEST(signal_meanwhile)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	char question[64], answer[64];
	int sent = 0;

	tracee = serve_start(&target, WORDS("attach_spin", "4"));
	for (int i = 0; i < 20; i++) {
		struct threads *threads = tracee_threads(tracee);

		ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
		for (u32 k = 0; k < threads_count(threads); k++) {
			struct thread *thread = threads_at(threads, k);

			if (k % 2)
				syscall(SYS_tgkill, target.pid, thread->tid, SIGUSR1);
			calls_in(tracee, thread, entry_of(target.pid));
			sent += k % 2;
		}
		tracee_resume_all(tracee);
		snprintf(question, sizeof(question), "signals %d", sent);
		snprintf(answer, sizeof(answer), "signals %d", sent);
		serve_ask(tracee, &target, question, answer, &served);
		ck_assert_uint_eq(served.signals[SIGUSR1], (u32)sent);
	}
	serve_detach(tracee);
	target_end(&target);
}
END_TEST

static void expect_group_stop(struct tracee *tracee, struct target *target, struct served *served)
{
	u64 end = clock_ns() + 10000000000ULL;
	struct threads *threads = tracee_threads(tracee);
	u32 listening = 0;

	while (listening < threads_count(threads)) {
		ck_assert_msg(clock_ns() < end, "SIGSTOP was lost: %u threads of %u are stopped",
			      listening, threads_count(threads));
		serve(tracee, served);
		listening = 0;
		for (u32 i = 0; i < threads_count(threads); i++)
			listening += threads_at(threads, i)->state == THREAD_LISTENING;
	}
	kill(target->pid, SIGCONT);
	serve_ask(tracee, target, "progress 2", "progressed", served);
}

/* SIGSTOP, which no mask holds back, comes meanwhile: the target stops afterwards. */
START_TEST(sigstop_meanwhile)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;

	tracee = serve_start(&target, WORDS("attach_spin", "3"));
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
		kill(target.pid, SIGSTOP);
		for (u32 k = 0; k < threads_count(tracee_threads(tracee)); k += 1 + (u32)i % 3)
			calls_in(tracee, threads_at(tracee_threads(tracee), k),
				 entry_of(target.pid));
		tracee_resume_all(tracee);
		expect_group_stop(tracee, &target, &served);
	}
	serve_detach(tracee);
	target_end(&target);
}
END_TEST

/* Another thread takes a SIGSTOP while this one stands in our stop: it belongs to the stopped group, too. */
START_TEST(group_stop_meanwhile)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;

	tracee = serve_start(&target, WORDS("attach_spin", "3"));
	for (int i = 0; i < 10; i++) {
		struct threads *threads = tracee_threads(tracee);
		struct thread *first = NULL;
		struct tracee_event event;

		kill(target.pid, SIGSTOP);
		do
			if (tracee_next(tracee, &event))
				event.kind = EVENT_STRANGER;
		while (event.kind != EVENT_SIGNAL);
		first = event.thread;
		first->has_status = true; /* stays as it is while all others are stopped */
		ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
		first->has_status = false;
		ck_assert_int_eq(tracee_resume(tracee, first, SIGSTOP), 0);
		/* Until it stands in the group stop, which then waits for the others. */
		while (status_field(first->tid, "State")[0] != 't')
			;
		for (u32 k = 0; k < threads_count(threads); k++)
			if (threads_at(threads, k) != first)
				calls_in(tracee, threads_at(threads, k), entry_of(target.pid));
		tracee_resume_all(tracee);
		expect_group_stop(tracee, &target, &served);
	}
	serve_detach(tracee);
	target_end(&target);
}
END_TEST

/* Not in a thread that is about to get a signal, nor in one that is not stopped. */
static void assert_states(struct tracee *tracee, enum thread_state state, pid_t except)
{
	struct threads *threads = tracee_threads(tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		const struct thread *thread = threads_at(threads, i);

		ck_assert_int_eq(thread->state, thread->tid == except ? THREAD_STOPPED : state);
	}
}

/* A stack below which there is another thread's needs that one to stand still: all do, and no longer. */
START_TEST(all_are_stopped)
{
	struct remote_call gettid = {.number = SYS_gettid};
	struct served served = {.newborns = 0};
	struct inject_place place, inner;
	struct thread *stopped = NULL;
	struct tracee *tracee;
	struct target target;
	s64 result;

	tracee = serve_start(&target, WORDS("attach_spin", "4"));
	for (int i = 0; i < 3; i++) {
		/* In any thread; in one that runs; and in one that stands still, and goes on doing so. */
		place = (struct inject_place){
			.mem = tracee_mem(tracee), .code = entry_of(target.pid), .tracee = tracee};
		if (i == 1)
			place.tid = threads_at(tracee_threads(tracee), 2)->tid;
		if (i == 2) {
			stopped = tracee_stop_one(tracee);
			ck_assert_ptr_nonnull(stopped);
			place.tid = stopped->tid;
		}
		ck_assert_int_eq(inject_begin(&place, NULL), 0);
		assert_states(tracee, THREAD_STOPPED, 0);
		inner = place;
		ck_assert_int_eq(inject_begin(&inner, NULL), 0);
		ck_assert_int_eq(inject_call(&inner, &gettid, &result, NULL), 0);
		ck_assert_int_eq(result, place.tid);
		inject_end(&inner);
		assert_states(tracee, THREAD_STOPPED, 0);
		inject_end(&place);
		assert_states(tracee, THREAD_RUNNING, stopped ? stopped->tid : 0);
	}
	tracee_resume_one(tracee, stopped);
	serve_ask(tracee, &target, "progress 2", "progressed", &served);
	serve_detach(tracee);
	target_end(&target);
}
END_TEST

START_TEST(where_it_is_possible)
{
	struct thread thread = {.state = THREAD_RUNNING};

	ck_assert(!remote_possible(&thread));
	thread.state = THREAD_LISTENING;
	ck_assert(!remote_possible(&thread));
	thread.state = THREAD_STOPPED;
	ck_assert(remote_possible(&thread));
	thread.exiting = true;
	ck_assert(!remote_possible(&thread));
	thread.exiting = false;
	thread.has_status = true;
	thread.status = SIGUSR1 << 8 | 0x7f;
	ck_assert(!remote_possible(&thread));
	thread.status = SIGTRAP << 8 | 0x7f | PTRACE_EVENT_STOP << 16;
	ck_assert(remote_possible(&thread));
}
END_TEST

/* The tracer that is to be killed: seizes the target, and makes a call in one of its threads. */
struct victim {
	pid_t target;
	u32 thread;
};

static void trace_and_call(struct forked_side *side)
{
	const struct victim *victim = side->arg;
	struct remote_call getpid = {.number = SYS_getpid};
	struct tracee *tracee = tracee_seize(victim->target, NULL);
	u64 code = entry_of(victim->target);
	struct thread *thread;
	s64 result;

	if (!tracee || tracee_stop_all(tracee, NULL))
		_exit(2);
	thread = threads_at(tracee_threads(tracee), victim->thread);
	forked_pause(side);
	if (remote_syscall(thread->tid, tracee_mem(tracee), code, &getpid, &result, NULL) ||
	    result != victim->target)
		_exit(3);
	thread->regs_valid = false;
	tracee_resume_all(tracee);
	tracee_stop_all(tracee, NULL);
	tracee_detach(tracee);
	_exit(4);
}

/* Kills it at call n of the remote call. False: that was behind its end. */
static bool kill_tracer(pid_t target, u32 thread, unsigned int n)
{
	struct victim victim = {.target = target, .thread = thread};
	struct moment moment = {.n = n, .call = KILL_ANY_CALL};
	struct forked tracer;
	bool killed;
	int status;

	forked_start(&tracer, trace_and_call, &victim);
	forked_await(&tracer);
	kill_at_call_prepare(tracer.pid);
	forked_go(&tracer);
	killed = kill_at_call(tracer.pid, &moment, &status);
	if (!killed)
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 4, "the tracer: %#x",
			      (unsigned int)status);
	close(tracer.to);
	close(tracer.from);
	return killed;
}

static void await_untraced(pid_t pid)
{
	u64 end = clock_ns() + 10000000000ULL;
	const char *tracer;

	while ((tracer = status_field(pid, "TracerPid")) && strcmp(tracer, "0") != 0)
		ck_assert_msg(clock_ns() < end, "%d is still traced", (int)pid);
}

/* The frame restores the mask once the thread has come to run again. */
static void await_mask(pid_t pid, const char *mask)
{
	u64 end = clock_ns() + 10000000000ULL;

	while (strcmp(status_field(pid, "SigBlk"), mask) != 0)
		ck_assert_msg(clock_ns() < end, "the signal mask stays %s",
			      status_field(pid, "SigBlk"));
}

/*
 * In threads that hold something in each register. (The main thread, in read,
 * answers afterwards, so that it lives is seen, too.)
 */
START_TEST(tracer_killed_in_mid_call)
{
	struct target target;
	unsigned int deaths = 0, n = 0;
	char *mask;

	target_start(&target, WORDS("attach_spin", "3"), NULL);
	mask = strdup(status_field(target.pid, "SigBlk"));
	for (u32 round = 0; deaths < ROUNDS(200); round++) {
		ck_assert_uint_lt(round, 100);
		for (n = 1; kill_tracer(target.pid, round % 4, n); n++) {
			deaths++;
			await_untraced(target.pid);
			if (n % 8 == 0)
				target_ask(&target, "progress 2", "progressed");
			await_mask(target.pid, mask);
		}
		ck_assert_uint_gt(n, 20);
		target_ask(&target, "progress 2", "progressed");
	}
	free(mask);
	printf("remote: a tracer killed %u times, at each of %u moments of a remote call\n", deaths,
	       n - 1);
	target_end(&target);
}
END_TEST

/* In blocked threads: a call may end with EINTR then, and must not end otherwise. */
START_TEST(tracer_killed_in_blocked_thread)
{
	struct target target;
	unsigned int step = 13 * ROUNDS_STEP;

	target_start(&target, WORDS("blocked"), NULL);
	for (u32 thread = 0; thread < 13; thread++) {
		for (unsigned int n = 1 + thread % step; kill_tracer(target.pid, thread, n);
		     n += step)
			await_untraced(target.pid);
		target_say(&target, "status");
		ck_assert_ptr_nonnull(strstr(target_hear(&target), "returned "));
	}
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

Suite *remote_suite(void)
{
	Suite *suite = suite_create("remote");
	TCase *tcase = tcase_create("remote");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, in_spinning_threads);
	tcase_add_test(tcase, in_blocked_threads);
	tcase_add_test(tcase, in_timed_calls);
	tcase_add_test(tcase, signal_meanwhile);
	tcase_add_test(tcase, sigstop_meanwhile);
	tcase_add_test(tcase, group_stop_meanwhile);
	tcase_add_test(tcase, all_are_stopped);
	tcase_add_test(tcase, where_it_is_possible);
	tcase_add_test(tcase, tracer_killed_in_mid_call);
	tcase_add_test(tcase, tracer_killed_in_blocked_thread);
	suite_add_tcase(suite, tcase);
	return suite;
}
