// SPDX-License-Identifier: MIT
#include "tests/target_process.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void make_pipe(int fds[2])
{
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	/* Room enough that nobody waits for a test that reads later. */
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
}

char *build_path(const char *name)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path, *slash;

	ck_assert_int_gt(n, 0);
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	ck_assert_int_gt(asprintf(&path, "%s/%s", self, name), 0);
	return path;
}

/* In the child. */
static void become(const struct spawn *how, pid_t parent, const sigset_t *mask)
{
	static const int handled[] = {SIGINT, SIGTERM, SIGALRM};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(120);
	if ((how->in && dup2(how->in, 0) < 0) || (how->out && dup2(how->out, 1) < 0) ||
	    (how->err && dup2(how->err, 2) < 0))
		_exit(121);
	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		signal(handled[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	for (size_t i = 0; how->env && how->env[i]; i++)
		putenv((char *)how->env[i]);
	execvp(how->argv[0], (char *const *)how->argv);
	_exit(127);
}

pid_t spawn(const struct spawn *how)
{
	sigset_t all, mask;
	pid_t parent = getpid(), pid;

	/* libcheck's handlers kill the whole group: none may run in a child that is about to exec. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	pid = fork();
	if (pid == 0)
		become(how, parent, &mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	ck_assert_int_gt(pid, 0);
	return pid;
}

void target_run(struct target *target, const char *const *argv, const char *const *env)
{
	struct spawn how = {.argv = argv, .env = env};
	int in[2], out[2];

	make_pipe(in);
	make_pipe(out);
	how.in = in[0];
	how.out = out[1];
	target->pid = spawn(&how);
	target->to = in[1];
	lines_init(&target->from, out[0]);
	close(in[0]);
	close(out[1]);
}

char *target_program(const char *name)
{
	char place[256];
	char *path;

	snprintf(place, sizeof(place), "targets/%s", name);
	path = build_path(place);
	if (access(path, X_OK) != 0)
		ck_abort_msg("target %s was not built", path);
	return path;
}

void target_start(struct target *target, const char *const *argv, const char *const *env)
{
	const char *words[16] = {0};
	char *path = target_program(argv[0]);

	words[0] = path;
	for (size_t i = 1; argv[i]; i++) {
		ck_assert_uint_lt(i, 15);
		words[i] = argv[i];
	}
	target_run(target, words, env);
	free(path);
	target_expect(target, "ready");
}

void target_say(struct target *target, const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	ck_assert_int_lt(n, (int)sizeof(line) - 1);
	line[n] = '\n';
	ck_assert_int_eq(write(target->to, line, (size_t)n + 1), n + 1);
}

const char *target_hear(struct target *target)
{
	const char *line = lines_next(&target->from);

	if (!line)
		ck_abort_msg("target %d is gone; it said: %s", (int)target->pid,
			     target->from.text ? target->from.text : "(nothing)");
	return line;
}

void target_expect(struct target *target, const char *line)
{
	ck_assert_str_eq(target_hear(target), line);
}

void target_ask(struct target *target, const char *line, const char *answer)
{
	target_say(target, "%s", line);
	target_expect(target, answer);
}

int wait_end(pid_t pid)
{
	struct timespec pause = {.tv_nsec = 1000000};
	int status;

	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		pid_t done = waitpid(pid, &status, WNOHANG);

		ck_assert_msg(done >= 0, "waitpid for %d: %s", (int)pid, strerror(errno));
		if (done == pid)
			return status;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	ck_abort_msg("process %d does not end", (int)pid);
	return -1;
}

void target_leave(struct target *target)
{
	if (target->to >= 0)
		close(target->to);
	target->to = -1;
	lines_deinit(&target->from);
	target->pid = -1;
}

void target_end(struct target *target)
{
	int status;

	close(target->to);
	target->to = -1;
	status = wait_end(target->pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "target %d was hurt: it ended with wait status %#x", (int)target->pid,
		      (unsigned int)status);
	target_leave(target);
}

void target_kill(struct target *target)
{
	kill(target->pid, SIGKILL);
	wait_end(target->pid);
	target_leave(target);
}

const char *status_field(pid_t pid, const char *name)
{
	static char line[512];
	size_t n = strlen(name);
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	while (fgets(line, sizeof(line), f)) {
		char *value = line + n + 1;

		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		fclose(f);
		value[strcspn(value, "\n")] = '\0';
		return value + strspn(value, " \t");
	}
	fclose(f);
	return NULL;
}

void assert_untraced(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	ck_assert_msg(dir != NULL, "process %d is gone", (int)pid);
	while ((entry = readdir(dir))) {
		const char *tracer;

		if (entry->d_name[0] == '.')
			continue;
		tracer = status_field(atoi(entry->d_name), "TracerPid");
		ck_assert_msg(!tracer || strcmp(tracer, "0") == 0,
			      "thread %s of %d is still traced by %s", entry->d_name, (int)pid,
			      tracer);
	}
	closedir(dir);
}

void wait_gone(pid_t pid)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		const char *state = status_field(pid, "State");

		if (!state || state[0] == 'Z')
			return;
		nanosleep(&pause, NULL);
	}
	ck_abort_msg("process %d does not end", (int)pid);
}
