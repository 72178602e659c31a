// SPDX-License-Identifier: MIT
/*
 * The run: next event, dispatch, until done. One thread does all of it; what is
 * slow happens before the first stop, in a forked copy, or after detach.
 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/tracee.h"
#include "base/clock.h"
#include "probe/leftovers.h"
#include "probe/probes.h"
#include "proc/check_target.h"
#include "session_guardian.h"
#include "session_image.h"
#include "session_records.h"
#include "session_signals.h"
#include "session_unwinder.h"

/* We look at the clock, and for a signal that came just before a wait, at least this often. */
#define TICK_MAX_MS 100

/* How often to see whether the target's agent is still the handler of SIGTRAP. */
#define AGENT_PERIOD_NS 1000000000ULL

/* Threads that stand where a jump is to go will soon be elsewhere. */
#define IMPROVE_PERIOD_NS 1000000ULL
#define IMPROVE_REST      100 /* the target runs so much longer than it was stopped for the last try */

/* A tick that comes a little early must not skip a sample. */
#define SAMPLE_SLACK_NS 5000000

/*
 * How long we let the target run on, in growing pieces, when a thread is in our code
 * or in a call that it has made, or none is in a state to unmap memory from.
 */
#define DETACH_PATIENCE_MS 2000
#define DETACH_NAP_MS      1
#define DETACH_NAP_MAX_MS  100

struct session {
	const struct session_config *config;
	struct session_result *result;
	struct tracee *tracee;
	struct image *image;
	struct records *records;
	struct guardian guardian;
	bool loading; /* a program just exec'ed: its libraries are yet to come */
	bool done;
	bool leaving;   /* everything is being taken out */
	u32 snapshots;  /* how many have been numbered */
	u32 images;     /* how many have ended with an exec */
	pid_t reporter; /* the process that makes a snapshot; 0: none */
	bool orphan;    /* it reports an image that is gone, and leaves no figures */
	bool wanted;    /* a snapshot was asked for while one is being made */
	enum session_reason wanted_reason;
	u64 start_ns, next_interval_ns, next_sample_ns, next_agent_ns, next_improve_ns;
	struct err late; /* the first report in mid-run that failed */
};

static int let_go(struct session *s, struct err *err);

/* The libraries are there: from now on everything is recorded. */
static int begin_recording(struct session *s, struct err *err)
{
	int ret = image_check(s->image, err);

	if (ret == -ENOENT && s->images) {
		log_warn(&s->config->log, "%s", err->msg);
		err_reset(err);
		ret = 0;
	}
	if (ret)
		return ret;
	s->loading = false;
	log_verbose(&s->config->log, "attached to %d", (int)tracee_pid(s->tracee));
	return 0;
}

/* A fresh image stands on its first instruction. */
static int enter_image(struct session *s, struct err *err)
{
	int ret;

	s->records = records_create(err);
	if (!s->records)
		return -ENOMEM;
	s->image = image_create(s->config, tracee_pid(s->tracee), true, err);
	if (!s->image)
		return -err->code;
	ret = image_plant(s->image, s->tracee, s->guardian.unfinished, err);
	if (ret)
		return ret;
	s->loading = true;
	return s->image->r_debug.brk ? 0 : begin_recording(s, err);
}

static void leave_image(struct session *s)
{
	records_destroy(s->records);
	image_destroy(s->image);
	s->records = NULL;
	s->image = NULL;
}

/* The run goes on, and fails in the end. */
static void failed_in_mid_run(struct session *s, const struct err *err)
{
	log_warn(&s->config->log, "%s", err->msg);
	if (!s->late.code)
		s->late = *err;
}

static void reporter_ended(struct session *s, int status)
{
	struct err err = ERR_INIT;
	int ret;

	s->reporter = 0;
	if (s->orphan)
		ret = status ? err_set(&err, EIO,
				       "the report of an image that ended with an exec "
				       "could not be written")
			     : 0;
	else
		ret = records_finished(s->records, status, &err);
	s->orphan = false;
	if (ret)
		failed_in_mid_run(s, &err);
	else
		log_verbose(&s->config->log, "snapshot %u written", s->snapshots);
}

static void wait_for_reporter(struct session *s)
{
	int status;

	if (!s->reporter)
		return;
	while (waitpid(s->reporter, &status, 0) < 0)
		if (errno != EINTR)
			return;
	reporter_ended(s, status);
}

static void snapshot(struct session *s, enum session_reason reason)
{
	struct err err = ERR_INIT;

	if (s->loading)
		return;
	s->wanted = s->reporter || !consumer_is_settled(&s->image->consumer);
	s->wanted_reason = reason;
	if (s->wanted)
		return;
	consumer_enter(&s->image->consumer);
	image_note_losses(s->image);
	if (records_fork(s->records, s->image, reason, ++s->snapshots,
			 reason == SESSION_EXEC ? s->images : 0, &s->reporter, &err))
		failed_in_mid_run(s, &err);
	consumer_leave(&s->image->consumer);
}

/* The memory of the whole process is about to go: the last chance to look at it. */
static void look_before_exit(struct session *s)
{
	struct threads *threads = tracee_threads(s->tracee);

	for (u32 i = 0; i < threads_count(threads); i++)
		if (!threads_at(threads, i)->exiting && !threads_at(threads, i)->own_process)
			return;
	if (!s->image)
		return;
	consumer_enter(&s->image->consumer);
	image_sample(s->image);
	consumer_leave(&s->image->consumer);
	if (proc_usage_read(&s->image->last_usage, s->image->pid, NULL) == 0)
		s->image->last_usage_known = true;
}

static int on_exec(struct session *s, struct thread *thread, struct err *err)
{
	if (thread->own_process) {
		consumer_enter(&s->image->consumer);
		probes_thread_gone(s->image->probes, thread);
		consumer_leave(&s->image->consumer);
		tracee_detach_thread(s->tracee, thread, 0);
		return 0;
	}
	if (s->image) {
		wait_for_reporter(s);
		s->images++;
		image_finish(s->image);
		snapshot(s, SESSION_EXEC);
		s->orphan = s->reporter != 0;
		probes_exec(s->image->probes);
		leave_image(s);
	}
	tracee_exec_done(s->tracee, thread, err);
	return enter_image(s, err);
}

static void on_gone(struct session *s, const struct tracee_event *event)
{
	if (event->thread->tid == tracee_pid(s->tracee)) {
		s->result->target_ended = true;
		s->result->status = event->status;
	}
	if (s->image) {
		consumer_enter(&s->image->consumer);
		probes_thread_gone(s->image->probes, event->thread);
		ledger_thread_ended(s->image->ledger, event->thread->number);
		consumer_leave(&s->image->consumer);
	}
	tracee_forget(s->tracee, event->thread);
}

/* A forked child: its copy of the text must be clean before it runs. */
static void release(struct session *s, pid_t child)
{
	struct err err = ERR_INIT;

	if (probes_clean_child(s->image->probes, child, &err))
		log_warn(&s->config->log, "%s", err.msg);
	tracee_release(child);
}

/*
 * What could not be done at attach, since there was no library or no thread pointer
 * yet, or is new, is done in the next stop at a breakpoint.
 */
static int improve(struct session *s, struct thread *thread, struct err *err)
{
	u64 now = clock_ns();
	int ret;

	if (s->leaving || (s->loading && !s->image->loaded))
		return 0;
	if (thread->own_process || thread->has_status || now < s->next_improve_ns ||
	    !probes_can_improve(s->image->probes))
		return 0;
	tracee_drop_signal(thread);
	ret = image_improve(s->image, thread, err);
	s->next_improve_ns = clock_ns() + IMPROVE_PERIOD_NS;
	/* Where a thread cannot be stopped it takes a second: then seldom. */
	if (probes_can_improve(s->image->probes))
		s->next_improve_ns += (clock_ns() - now) * IMPROVE_REST;
	return ret;
}

static int on_trap(struct session *s, struct thread *thread, struct err *err)
{
	int ret = 0;

	switch (probes_trap(s->image->probes, thread)) {
	case PROBE_RESUME:
		ret = improve(s, thread, err);
		tracee_resume(s->tracee, thread, 0);
		break;
	case PROBE_FOREIGN:
		tracee_signal_fixup(s->tracee, thread, SIGTRAP);
		tracee_resume(s->tracee, thread, SIGTRAP);
		break;
	case PROBE_LATER:
		break;
	}
	return ret;
}

static void on_signal(struct session *s, struct thread *thread, int sig)
{
	if ((sig == SIGSEGV || sig == SIGBUS) && probes_fault(s->image->probes, thread)) {
		tracee_resume(s->tracee, thread, 0);
		return;
	}
	probes_signal(s->image->probes, thread);
	tracee_signal_fixup(s->tracee, thread, sig);
	tracee_resume(s->tracee, thread, sig);
}

/* Its number is known as long as it has registers. */
static void thread_exits(struct session *s, struct thread *thread)
{
	if (!s->image)
		return;
	thread->number = probes_thread_number(s->image->probes, thread);
	probes_thread_exits(s->image->probes, thread);
}

static int dispatch(struct session *s, const struct tracee_event *event, struct err *err)
{
	int ret = 0;

	if (event->kind == EVENT_STRANGER) {
		if (event->newborn == s->reporter)
			reporter_ended(s, event->status);
		return 0;
	}
	if (event->newborn) {
		release(s, event->newborn);
		return 0;
	}
	switch (event->kind) {
	case EVENT_TRAP:
		ret = on_trap(s, event->thread, err);
		break;
	case EVENT_SIGNAL:
		on_signal(s, event->thread, event->signal);
		break;
	case EVENT_GONE:
		on_gone(s, event);
		break;
	case EVENT_EXEC: {
		struct thread *thread = event->thread;
		bool ours = !thread->own_process;

		ret = on_exec(s, thread, err);
		if (ret == 0 && ours)
			tracee_resume(s->tracee, thread, 0);
		break;
	}
	case EVENT_EXIT:
		look_before_exit(s);
		thread_exits(s, event->thread);
		tracee_resume(s->tracee, event->thread, 0);
		break;
	case EVENT_STOP:
		tracee_resume_one(s->tracee, event->thread);
		break;
	case EVENT_FORK:
		if (s->image && s->image->probes)
			probes_forks(s->image->probes, event->thread, (pid_t)event->message);
		tracee_resume(s->tracee, event->thread, 0);
		break;
	default:
		tracee_resume(s->tracee, event->thread, 0);
		break;
	}
	return ret;
}

/* The target is to survive us at any instant: its agent must be in its place. */
static void keep_agent(struct session *s)
{
	struct err err = ERR_INIT;

	if (!s->image || !s->image->probes || !probes_agent_is_lost(s->image->probes))
		return;
	probes_restore_agent(s->image->probes, &err);
	if (err.code)
		log_verbose(&s->config->log, "%s", err.msg);
}

/* Things that are due by the clock or by a signal to us. */
static void housekeeping(struct session *s)
{
	u64 now;

	if (session_signals_stop())
		s->done = true;
	if (session_signals_snapshot())
		snapshot(s, SESSION_SIGNAL);
	else if (s->wanted && !s->reporter)
		snapshot(s, s->wanted_reason);
	if (!session_signals_ticked())
		return;
	now = clock_ns();
	if (s->image && !s->loading && now >= s->next_sample_ns) {
		s->next_sample_ns =
			now + s->config->proc_interval_ms * 1000000ULL - SAMPLE_SLACK_NS;
		consumer_enter(&s->image->consumer);
		image_sample(s->image);
		consumer_leave(&s->image->consumer);
	}
	if (now >= s->next_agent_ns) {
		s->next_agent_ns = now + AGENT_PERIOD_NS;
		keep_agent(s);
	}
	if (s->config->interval > 0 && now >= s->next_interval_ns) {
		s->next_interval_ns += (u64)(s->config->interval * 1e9);
		snapshot(s, SESSION_INTERVAL);
	}
	if (s->config->duration > 0 && now - s->start_ns >= (u64)(s->config->duration * 1e9))
		s->done = true;
}

static int loop(struct session *s, struct err *err)
{
	struct tracee_event event;
	int ret;

	while (!s->done) {
		ret = tracee_next(s->tracee, &event);
		if (ret == -ECHILD)
			break;
		if (ret && ret != -EINTR)
			return err_sys(err, -ret, "cannot wait for the target");
		if (ret == 0) {
			ret = dispatch(s, &event, err);
			if (ret)
				return ret;
			/* The last one may have been a child that was let go after its parent had ended. */
			s->done = threads_count(tracee_threads(s->tracee)) == 0;
		}
		if (s->loading && s->image && s->image->loaded) {
			ret = begin_recording(s, err);
			if (ret)
				return ret;
		}
		housekeeping(s);
	}
	return 0;
}

/*
 * Some threads have to run on before all can be taken out: so many milliseconds, in
 * which they get what has happened to them. Interrupts that were sent and not seen
 * yet are among that: a thread that is not resumed after them gets nowhere.
 */
static void let_run(struct session *s, u32 ms)
{
	u64 end = clock_ns() + ms * 1000000ULL;
	struct err ignored = ERR_INIT;
	struct tracee_event event;

	tracee_resume_all(s->tracee);
	do {
		int ret = tracee_next(s->tracee, &event);

		if (ret == 0)
			dispatch(s, &event, &ignored);
		else if (ret != -EINTR)
			break;
	} while (clock_ns() < end);
}

/* Everything out of the target, every thread free. */
static int let_go(struct session *s, struct err *err)
{
	u32 nap = DETACH_NAP_MS, spent = 0, tries = 0;
	int ret = 0;
	pid_t child;

	s->leaving = true;
	session_signals_tick(DETACH_NAP_MS);
	while (spent < DETACH_PATIENCE_MS) {
		if (!threads_count(tracee_threads(s->tracee)))
			return 0;
		if (err)
			err_reset(err);
		ret = tracee_stop_all(s->tracee, err);
		if (!s->image || !s->image->probes)
			break;
		while ((child = tracee_take_newborn(s->tracee)))
			release(s, child);
		ret = probes_remove(s->image->probes, err);
		if (ret != -EAGAIN && ret != -EBUSY)
			break;
		/*
		 * One that is about to get a signal can make no system calls for us; on a busy machine it
		 * may always have the next one by then. So each second time it only gets that, and
		 * is stopped where it begins to handle it. Nor may it have had a CPU in a short time.
		 */
		if (tries++ % 2 == 0) {
			let_run(s, 0);
			continue;
		}
		let_run(s, nap);
		spent += nap;
		nap = nap * 2 > DETACH_NAP_MAX_MS ? DETACH_NAP_MAX_MS : nap * 2;
	}
	tracee_detach(s->tracee);
	tracee_detach_late(s->tracee);
	return ret == -EAGAIN
		       ? err_set(err, EAGAIN,
				 "a thread stayed in a call of its allocator for two seconds: "
				 "memory of ours was left in the target, without effect")
		       : ret;
}

/* What a memattach that was killed has left there is taken out first. */
static int take_over(struct session *s, struct err *err)
{
	struct session_unwinder walks = {.pid = s->config->pid};
	struct leftovers_of of = {.unwinder = session_unwinder_make, .ctx = &walks};
	struct err ptrace_err = ERR_INIT;
	int n = leftovers_remove(s->config->pid, &of, 0, &ptrace_err);

	session_unwinder_free(&walks);
	if (n > 0)
		log_verbose(&s->config->log, "removed what a killed memattach has left");
	if (n == -EACCES || n == -EPERM)
		return proc_explain_ptrace(s->config->pid, EPERM, err);
	return n < 0 ? err_set(err, ptrace_err.code, "%s", ptrace_err.msg) : 0;
}

static int start(struct session *s, struct err *err)
{
	const struct session_config *config = s->config;

	if (!config->pid) {
		s->tracee = tracee_launch(config->command, err);
		s->result->command_failed = !s->tracee;
		if (!s->tracee)
			return -err->code;
		return guardian_start(&s->guardian, tracee_pid(s->tracee), tracee_mem(s->tracee),
				      err);
	}
	guardian_await(config->pid);
	s->records = records_create(err);
	if (!s->records || proc_check_target(config->pid, err) || take_over(s, err))
		return -err->code;
	s->image = image_create(config, config->pid, false, err);
	if (!s->image || image_check(s->image, err) ||
	    guardian_start(&s->guardian, config->pid, &s->image->memory, err))
		return -err->code;
	s->tracee = tracee_seize(config->pid, err);
	if (!s->tracee)
		return -err->code;
	/* It may have become another program while we were reading the old one; no more, now it is traced. */
	if (image_is_gone(s->image)) {
		image_destroy(s->image);
		s->image = image_create(config, config->pid, false, err);
		if (!s->image || image_check(s->image, err))
			return -err->code;
	}
	if (image_plant(s->image, s->tracee, s->guardian.unfinished, err))
		return -err->code;
	return begin_recording(s, err);
}

/* ^C at a terminal reaches the command, too: if that has ended it by now, its status is ours. */
static void see_command_end(struct session *s)
{
	if (!s->config->pid && !s->result->target_ended && s->tracee &&
	    waitpid(tracee_pid(s->tracee), &s->result->status, WNOHANG) > 0)
		s->result->target_ended = true;
}

/* The run is over: the last report, unless there is nothing to say. */
static int last_report(struct session *s, struct err *err)
{
	enum session_reason reason = s->result->target_ended ? SESSION_EXIT : SESSION_DETACH;

	wait_for_reporter(s);
	if (s->image)
		image_finish(s->image);
	if (!s->image || s->loading)
		return 0;
	return records_now(s->records, s->image, reason, ++s->snapshots, 0, err);
}

int session_run(const struct session_config *config, struct session_result *result, struct err *err)
{
	struct session s = {.config = config, .result = result};
	int ret, undo;

	memset(result, 0, sizeof(*result));
	ret = session_signals_install(
		config->proc_interval_ms < TICK_MAX_MS ? config->proc_interval_ms : TICK_MAX_MS,
		err);
	if (ret)
		return ret;
	ret = start(&s, err);
	s.start_ns = clock_ns();
	s.next_interval_ns = s.start_ns + (u64)(config->interval * 1e9);
	if (ret == 0)
		ret = loop(&s, err);
	if (s.tracee) {
		/* A command that we started and that has not run a line of its own yet. */
		if (ret && s.loading && !s.images)
			kill(tracee_pid(s.tracee), SIGKILL);
		undo = let_go(&s, ret ? NULL : err);
		if (!ret)
			ret = undo;
	}
	guardian_dismiss(&s.guardian);
	if (ret == 0)
		ret = last_report(&s, err);
	else
		wait_for_reporter(&s);
	if (ret == 0 && s.late.code)
		ret = err_set(err, s.late.code, "%s", s.late.msg);
	leave_image(&s);
	see_command_end(&s);
	tracee_destroy(s.tracee);
	session_signals_remove();
	return ret;
}
