// SPDX-License-Identifier: MIT
#include "proc/check_target.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "proc/exe.h"
#include "proc/stat.h"
#include "proc/status.h"
#include "proc/tasks.h"

/* The name of a process is its own choice: one line of plain characters is made of it. */
static const char *plain(char *name)
{
	for (char *p = name; *p; p++) {
		if (!isprint((unsigned char)*p))
			*p = '?';
	}
	return name;
}

static int check_exists(pid_t pid, struct proc_status *status, struct err *err)
{
	struct err why = ERR_INIT;
	int rc;

	if (pid <= 0)
		return err_set(err, ESRCH, "%d is no process id: give one greater than 0",
			       (int)pid);
	rc = proc_status_read(status, pid, &why);
	if (rc == -ESRCH)
		return err_set(err, ESRCH,
			       "there is no process %d: look for it with \"pgrep -a NAME\"",
			       (int)pid);
	if (rc != 0)
		return err_set(err, -rc, "%s", why.msg);
	plain(status->name);
	if (status->tgid != pid)
		return err_set(err, EINVAL, "PID %d is a thread of process %d (%s): use -p %d",
			       (int)pid, (int)status->tgid, status->name, (int)status->tgid);
	return 0;
}

static int check_alive(pid_t pid, const struct proc_status *status, struct err *err)
{
	struct proc_stat stat;
	int rc;

	rc = proc_stat_read(&stat, pid, err);
	if (rc != 0)
		return rc;
	if (stat.flags & PROC_STAT_KTHREAD)
		return err_set(err, EINVAL,
			       "process %d (%s) is a kernel thread: it has no memory of its own to "
			       "profile",
			       (int)pid, status->name);
	if (status->state != 'Z' && status->state != 'X')
		return 0;
	if (status->threads > 1)
		return err_set(err, EINVAL,
			       "the main thread of process %d (%s) has ended while %u others run "
			       "on: such a process cannot be profiled",
			       (int)pid, status->name, status->threads - 1);
	return err_set(err, ESRCH,
		       "process %d (%s) is a zombie: it has ended, and its parent, process %d, has "
		       "not waited for it yet",
		       (int)pid, status->name, (int)status->ppid);
}

/* The process that thread tid belongs to; TracerPid names the thread that traces. */
static pid_t process_of(pid_t tid, struct proc_status *status)
{
	if (proc_status_read(status, tid, NULL) != 0)
		return tid;
	plain(status->name);
	return status->tgid;
}

static int check_not_self(pid_t pid, struct err *err)
{
	struct proc_status self, tracer;

	if (pid == getpid())
		return err_set(err, EINVAL, "process %d is memattach itself: give another PID",
			       (int)pid);
	if (proc_status_read(&self, getpid(), NULL) != 0 || self.tracer == 0)
		return 0;
	if (process_of(self.tracer, &tracer) != pid)
		return 0;
	return err_set(err, EDEADLK,
		       "process %d (%s) traces memattach itself: each would wait for the other",
		       (int)pid, tracer.name);
}

/* One thread of the target: is somebody else its tracer? */
static int check_thread_untraced(pid_t pid, pid_t tid, struct err *err)
{
	struct proc_status thread, tracer;
	pid_t by;

	/* A thread may end at any moment. */
	if (proc_status_read(&thread, tid, NULL) != 0 || thread.tracer == 0)
		return 0;
	memset(&tracer, 0, sizeof(tracer));
	by = process_of(thread.tracer, &tracer);
	if (by == getpid())
		return 0;
	return err_set(err, EBUSY,
		       "process %d is already traced by process %d (%s), and Linux allows one "
		       "tracer: end that one or detach it first",
		       (int)pid, (int)by, tracer.name[0] ? tracer.name : "unknown");
}

static int check_untraced(pid_t pid, struct err *err)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t n;
	int rc;

	rc = proc_tasks(pid, &tids, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = check_thread_untraced(pid, tids[i], err);
	return rc;
}

/* A target is to be of the same kind as memattach: registers and calls differ otherwise. */
static int check_kind(pid_t pid, const struct proc_status *status, struct err *err)
{
	struct exe_kind ours, theirs;
	char path[32], text[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	/* Unreadable is no reason to refuse: ptrace gives a better one, if there is one. */
	if (exe_kind_read("/proc/self/exe", &ours) != 0 || exe_kind_read(path, &theirs) != 0)
		return 0;
	if (exe_kind_equal(&ours, &theirs))
		return 0;
	exe_kind_text(&theirs, text, sizeof(text));
	return err_set(err, ENOEXEC,
		       "process %d (%s) is a %s program: this memattach profiles only programs of "
		       "its own kind",
		       (int)pid, status->name, text);
}

int proc_check_target(pid_t pid, struct err *err)
{
	struct proc_status status;
	int rc;

	rc = check_exists(pid, &status, err);
	if (rc == 0)
		rc = check_not_self(pid, err);
	if (rc == 0)
		rc = check_alive(pid, &status, err);
	if (rc == 0)
		rc = check_untraced(pid, err);
	if (rc == 0)
		rc = check_kind(pid, &status, err);
	return rc;
}
