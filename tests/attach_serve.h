/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_ATTACH_SERVE_H
#define MEMATTACH_TESTS_ATTACH_SERVE_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "attach/ptrace.h"
#include "attach/tracee.h"
#include "base/clock.h"
#include "proc/tasks.h"
#include "tests/target_process.h"

/*
 * A session without probes: serves a target's events, so that a test can talk
 * with a target that it traces. Here, and not in a file of its own, since a helper
 * is linked into runners that lack attach/.
 */

/* What was served, by kind of event; in_group_stop counts the threads that listen. */
struct served {
	u32 events[EVENT_STRANGER + 1];
	u32 signals[65];
	u32 newborns;
};

static inline void serve_tick(int signal)
{
	(void)signal;
}

/* tracee_next returns at least every 2 ms from now on. */
static inline void serve_install_tick(void)
{
	struct itimerval timer = {.it_interval = {0, 2000}, .it_value = {0, 2000}};
	struct sigaction action = {.sa_handler = serve_tick};

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static inline struct tracee *serve_seize(pid_t pid)
{
	struct err err = ERR_INIT;
	struct tracee *tracee = tracee_seize(pid, &err);

	ck_assert_msg(tracee != NULL, "seize: %s", err.msg);
	serve_install_tick();
	return tracee;
}

/* Starts a target of tests/targets, and seizes it. */
static inline struct tracee *serve_start(struct target *target, const char *const *argv)
{
	target_start(target, argv, NULL);
	return serve_seize(target->pid);
}

static inline void serve_stop_and_resume(struct tracee *tracee)
{
	ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
	tracee_resume_all(tracee);
}

static inline void serve_one(struct tracee *tracee, const struct tracee_event *event,
			     struct served *served)
{
	struct thread *thread = event->thread;

	served->events[event->kind]++;
	if (event->newborn && event->kind != EVENT_STRANGER) {
		served->newborns++;
		tracee_release(event->newborn);
		return;
	}
	switch (event->kind) {
	case EVENT_STRANGER:
		break;
	case EVENT_GONE:
		tracee_forget(tracee, thread);
		break;
	case EVENT_SIGNAL:
	case EVENT_TRAP:
		served->signals[event->signal]++;
		tracee_signal_fixup(tracee, thread, event->signal);
		tracee_resume(tracee, thread, event->signal);
		break;
	case EVENT_EXEC:
		if (thread->own_process) {
			tracee_detach_thread(tracee, thread, 0);
			break;
		}
		tracee_exec_done(tracee, thread, NULL);
		tracee_resume(tracee, thread, 0);
		break;
	case EVENT_STOP:
		tracee_resume_one(tracee, thread);
		break;
	default:
		tracee_resume(tracee, thread, 0);
		break;
	}
}

/* Serves one event or one tick. */
static inline void serve(struct tracee *tracee, struct served *served)
{
	struct tracee_event event;
	int ret = tracee_next(tracee, &event);

	ck_assert_msg(ret == 0 || ret == -EINTR, "tracee_next: %s", strerror(-ret));
	if (ret == 0)
		serve_one(tracee, &event, served);
}

static inline void serve_for(struct tracee *tracee, u64 ms, struct served *served)
{
	u64 end = clock_ns() + ms * 1000000;

	while (clock_ns() < end)
		serve(tracee, served);
}

/* Says line to the target and serves until it has answered this. */
static inline void serve_ask(struct tracee *tracee, struct target *target, const char *line,
			     const char *answer, struct served *served)
{
	u64 end = clock_ns() + 30000000000ULL;

	target_say(target, "%s", line);
	while (!target->from.text || !strchr(target->from.text + target->from.next, '\n')) {
		ck_assert_msg(clock_ns() < end, "no answer to \"%s\"", line);
		serve(tracee, served);
		lines_pump(&target->from, 0);
	}
	target_expect(target, answer);
}

/* Stops all and lets go; the target goes on alone. */
static inline void serve_detach(struct tracee *tracee)
{
	struct itimerval off = {.it_value = {0, 0}};
	pid_t pid = tracee_pid(tracee), newborn;

	setitimer(ITIMER_REAL, &off, NULL);
	ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
	while ((newborn = tracee_take_newborn(tracee)))
		tracee_release(newborn);
	tracee_detach(tracee);
	tracee_detach_late(tracee);
	tracee_destroy(tracee);
	assert_untraced(pid);
}

/* Every thread of the table is stopped or waits for its vfork child, and all that /proc knows are in it. */
static inline void assert_all_stopped(struct tracee *tracee)
{
	struct threads *threads = tracee_threads(tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		const struct thread *thread = threads_at(threads, i);

		/* One that has ended stays until it is reaped, a main thread until all others are. */
		ck_assert_msg(thread->state == THREAD_STOPPED || thread->in_vfork ||
				      thread->exiting,
			      "thread %d is in state %d after stop_all; unborn %d, exiting %d, "
			      "interrupted %d, own process %d; /proc says %s",
			      (int)thread->tid, thread->state, thread->unborn, thread->exiting,
			      thread->interrupted, thread->own_process,
			      status_field(thread->tid, "State"));
	}
}

#endif
