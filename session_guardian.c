// SPDX-License-Identifier: MIT
#include "session_guardian.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe/leftovers.h"
#include "proc/status.h"
#include "session_unwinder.h"

/* The kernel may take a moment to let the target of a dying memattach go. */
#define PATIENCE_MS 2000

/* How long a guardian may take in all. */
#define AWAIT_MS 8000

/* Closes all descriptors above standard error but these two. */
static void close_others(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 3)
		close_range(3, (unsigned int)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned int)low + 1, (unsigned int)high - 1, 0);
	close_range((unsigned int)high + 1, ~0U, 0);
}

static void guard(int parent, pid_t owner, const u64 *unfinished, pid_t pid,
		  const struct proc_mem *mem)
{
	struct session_unwinder walks = {.pid = pid};
	struct leftovers_of of = {.owner = owner, .unwinder = session_unwinder_make, .ctx = &walks};
	struct pollfd ended = {.fd = parent, .events = POLLIN};

	/* ^C is for memattach, which then ends in good order. */
	setsid();
	prctl(PR_SET_NAME, GUARDIAN_NAME);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGALRM, SIG_IGN);
	close_others(parent, mem->fd);
	/* Whoever reads our output must see its end when memattach ends, not when we do. */
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	while (poll(&ended, 1, -1) < 0 && errno == EINTR)
		;
	if (unfinished)
		of.unfinished = *unfinished;
	leftovers_lift(pid, &of, mem);
	_exit(leftovers_remove(pid, &of, PATIENCE_MS, NULL) < 0);
}

int guardian_start(struct guardian *guardian, pid_t pid, const struct proc_mem *mem,
		   struct err *err)
{
	/* A pidfd, not a pipe: the forks that write reports would keep that open. */
	pid_t us = getpid();
	int self = (int)syscall(SYS_pidfd_open, us, 0);

	guardian->pid = 0;
	if (self < 0) /* before Linux 5.3: the agent alone */
		return 0;
	guardian->unfinished =
		mmap(NULL, sizeof(u64), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (guardian->unfinished == MAP_FAILED)
		guardian->unfinished = NULL;
	guardian->pid = fork();
	if (guardian->pid == 0)
		guard(self, us, guardian->unfinished, pid, mem);
	close(self);
	if (guardian->pid > 0)
		return 0;
	guardian->pid = 0;
	return err_sys(err, errno, "cannot fork");
}

/* Whether process `candidate` is the guardian of pid: it has that name, and pid's memory open. */
static bool is_guardian(pid_t candidate, pid_t pid)
{
	struct proc_status status;
	struct dirent *entry;
	char path[32], memory[32], to[32];
	bool found = false;
	DIR *dir;

	if (proc_status_read(&status, candidate, NULL) || strcmp(status.name, GUARDIAN_NAME) != 0)
		return false;
	snprintf(memory, sizeof(memory), "/proc/%d/mem", (int)pid);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)candidate);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, to, sizeof(to) - 1);

		to[n > 0 ? n : 0] = '\0';
		found = strcmp(to, memory) == 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* pid's guardian; 0: it has none. */
static pid_t find_guardian(pid_t pid)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (proc && !found && (entry = readdir(proc))) {
		pid_t candidate = (pid_t)atoi(entry->d_name);

		if (candidate > 0 && is_guardian(candidate, pid))
			found = candidate;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Somebody who is no guardian traces pid: its memattach lives. */
static bool is_in_use(pid_t pid)
{
	struct proc_status target, tracer;

	return proc_status_read(&target, pid, NULL) == 0 && target.tracer &&
	       proc_status_read(&tracer, target.tracer, NULL) == 0 &&
	       strcmp(tracer.name, GUARDIAN_NAME) != 0;
}

void guardian_await(pid_t pid)
{
	struct timespec nap = {.tv_nsec = 1000000};
	pid_t guardian = find_guardian(pid);

	for (int i = 0; guardian && i < AWAIT_MS && !is_in_use(pid); i++) {
		nanosleep(&nap, NULL);
		if (!is_guardian(guardian, pid))
			guardian = find_guardian(pid);
	}
}

void guardian_dismiss(struct guardian *guardian)
{
	if (!guardian->pid)
		return;
	kill(guardian->pid, SIGKILL);
	while (waitpid(guardian->pid, NULL, 0) < 0 && errno == EINTR)
		;
	guardian->pid = 0;
}
