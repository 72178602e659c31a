// SPDX-License-Identifier: MIT
/*
 * The two ways to get hold of a process: seizing one that runs, starting one.
 */
#include "attach/tracee_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/ptrace.h"
#include "base/guard.h"
#include "proc/check_target.h"
#include "proc/status.h"
#include "proc/tasks.h"

/* The thread's signal mask, asked of /proc, so that it need not stop. */
static void remember_mask(struct thread *thread)
{
	struct proc_status status;

	if (proc_status_read(&status, thread->tid, NULL) == 0)
		thread->mask_at_start = status.sig_blocked;
}

static int seize_thread(struct tracee *tracee, pid_t tid, struct err *err)
{
	struct thread *thread = threads_add(tracee->threads, tid);
	int ret;

	if (!thread)
		return err_set(err, ENOMEM, "out of memory");
	ret = pt(PTRACE_SEIZE, tid, 0, TRACE_OPTIONS);
	if (ret == 0) {
		remember_mask(thread);
		return 0;
	}
	threads_remove(tracee->threads, thread);
	/* Threads come and go; only the loss of all of them matters. */
	if (ret == -ESRCH)
		return 0;
	return proc_explain_ptrace(tracee->pid, -ret, err);
}

/* Seizes what is new in one pass over /proc/PID/task; *found says how many. */
static int seize_pass(struct tracee *tracee, u32 *found, struct err *err)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t n;
	int ret = proc_tasks(tracee->pid, &tids, &n, err);

	*found = 0;
	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++) {
		if (threads_find(tracee->threads, tids[i]))
			continue;
		ret = seize_thread(tracee, tids[i], err);
		/*
		 * EPERM for a thread when others are seized already: it was born to
		 * one of those meanwhile, so it is traced by us; its first stop will
		 * tell of it.
		 */
		if (ret == -EPERM && threads_count(tracee->threads)) {
			if (err)
				err_reset(err);
			continue;
		}
		if (ret)
			return ret;
		(*found)++;
	}
	return 0;
}

struct tracee *tracee_seize(pid_t pid, struct err *err)
{
	struct tracee *tracee;
	u32 found;

	if (proc_check_target(pid, err))
		return NULL;
	tracee = tracee_create(pid, false, err);
	if (!tracee)
		return NULL;
	do {
		if (seize_pass(tracee, &found, err))
			goto let_go;
	} while (found);
	if (!threads_count(tracee->threads)) {
		err_set(err, ESRCH, "process %d ended while it was being attached to", (int)pid);
		goto let_go;
	}
	if (proc_mem_open(&tracee->mem, pid, err))
		goto let_go;
	return tracee;

let_go:
	if (tracee_stop_all(tracee, NULL) == 0)
		tracee_detach(tracee);
	tracee_destroy(tracee);
	return NULL;
}

/* The child's side: wait until it is seized, then become the command. Never returns. */
static void become(char *const argv[], int go, int report)
{
	int code;
	char c;

	if (read(go, &c, 1) == 1)
		execvp(argv[0], argv);
	code = errno;
	if (write(report, &code, sizeof(code)) != sizeof(code))
		_exit(126);
	_exit(code == ENOENT ? 127 : 126);
}

/* Lets the seized child run to its exec, and keeps that stop for tracee_next. */
static int run_to_exec(struct tracee *tracee, int go, int report, const char *name, struct err *err)
{
	struct thread *thread = threads_at(tracee->threads, 0);
	struct tracee_event event;
	int status, code;

	if (write(go, "", 1) != 1)
		return err_sys(err, errno, "cannot start %s", name);
	for (;;) {
		if (waitpid(tracee->pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(err, errno, "cannot start %s", name);
		}
		tracee_note(tracee, tracee->pid, status, &event);
		if (event.kind == EVENT_EXEC)
			break;
		if (event.kind == EVENT_GONE) {
			if (read(report, &code, sizeof(code)) != sizeof(code))
				code = ESRCH;
			return err_sys(err, code, "cannot run %s", name);
		}
		tracee_resume(tracee, thread, event.kind == EVENT_SIGNAL ? event.signal : 0);
	}
	if (proc_mem_open(&tracee->mem, tracee->pid, err))
		return -EIO;
	return tracee_queue_status(tracee, thread, status);
}

struct tracee *tracee_launch(char *const argv[], struct err *err)
{
	int go[2] = {-1, -1}, report[2] = {-1, -1};
	struct tracee *tracee = NULL;
	pid_t pid = -1;
	int ret = -1;

	if (pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
		err_sys(err, errno, "cannot make a pipe");
		goto out;
	}
	pid = fork();
	if (pid < 0) {
		err_sys(err, errno, "cannot fork");
		goto out;
	}
	if (pid == 0) {
		close(go[1]);
		become(argv, go[0], report[1]);
	}
	close(report[1]);
	report[1] = -1;
	tracee = tracee_create(pid, false, err);
	if (!tracee || seize_thread(tracee, pid, err))
		goto out;
	ret = run_to_exec(tracee, go[1], report[0], argv[0], err);
out:
	for (int i = 0; i < 2; i++) {
		if (go[i] >= 0)
			close(go[i]);
		if (report[i] >= 0)
			close(report[i]);
	}
	if (ret && tracee) {
		tracee_destroy(tracee);
		tracee = NULL;
	}
	/* A child that was never let go ends by itself: its read sees the closed pipe. */
	if (ret && pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, __WALL);
	}
	return ret ? NULL : tracee;
}
