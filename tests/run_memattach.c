// SPDX-License-Identifier: MIT
#include "tests/run_memattach.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/capture_query.h"

const char *memattach_path(void)
{
	static char *path;

	if (!path) {
		const char *given = getenv("MEMATTACH");

		path = given ? strdup(given) : build_path("../memattach");
		ck_assert_msg(access(path, X_OK) == 0, "there is no program %s", path);
	}
	return path;
}

/* With m->dir already made. */
static void start(struct memattach *m, const char *const *args)
{
	const char *argv[48] = {memattach_path()};
	struct spawn how = {.argv = argv};
	int in[2], out[2], err[2];

	for (size_t i = 0; args[i]; i++) {
		ck_assert_uint_lt(i + 2, sizeof(argv) / sizeof(argv[0]));
		argv[i + 1] = args[i];
	}
	make_pipe(in);
	make_pipe(out);
	make_pipe(err);
	how.in = in[0];
	how.out = out[1];
	how.err = err[1];
	m->pid = spawn(&how);
	m->to = in[1];
	lines_init(&m->out, out[0]);
	lines_init(&m->err, err[0]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
}

static void make_dir(struct memattach *m)
{
	memset(m, 0, sizeof(*m));
	snprintf(m->dir, sizeof(m->dir), "/tmp/memattach-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(m->dir));
	snprintf(m->json, sizeof(m->json), "%s/out.json", m->dir);
}

void memattach_start(struct memattach *m, const char *const *args)
{
	make_dir(m);
	start(m, args);
}

static size_t append(const char **args, size_t n, const char *const *more)
{
	for (; more && *more; more++) {
		ck_assert_uint_lt(n, 39);
		args[n++] = *more;
	}
	args[n] = NULL;
	return n;
}

/* How it is to probe in all runs of a test, if the test has not said: "jump", "trap"; NULL: as it likes. */
static const char *probe_mode;

void memattach_probe_by(const char *mode)
{
	probe_mode = mode;
}

static size_t append_mode(const char **args, size_t n)
{
	const char *mode = probe_mode ? probe_mode : getenv("MEMATTACH_TEST_PROBE");

	return mode ? append(args, n, WORDS("--probe", mode)) : n;
}

void memattach_attach_nowait(struct memattach *m, pid_t pid, const char *const *options)
{
	const char *args[40];
	char number[16];
	size_t n;

	make_dir(m);
	snprintf(number, sizeof(number), "%d", (int)pid);
	n = append(args, 0, WORDS("-v", "-o", m->json, "-p", number));
	n = append_mode(args, n);
	append(args, n, options);
	start(m, args);
}

void memattach_attach(struct memattach *m, pid_t pid, const char *const *options)
{
	memattach_attach_nowait(m, pid, options);
	memattach_wait_for(m, "attached to");
}

void memattach_launch(struct memattach *m, const char *const *options, const char *const *command)
{
	const char *args[40];
	size_t n;

	make_dir(m);
	n = append(args, 0, WORDS("-v", "-o", m->json));
	n = append_mode(args, n);
	n = append(args, n, options);
	n = append(args, n, WORDS("--"));
	append(args, n, command);
	start(m, args);
}

void memattach_adopt(struct memattach *m, struct target *target)
{
	const char *line = lines_until(&m->err, "attached to ");
	int pid;

	if (!line)
		ck_abort_msg("memattach did not start the command, but said: %s", memattach_err(m));
	ck_assert_int_eq(sscanf(strstr(line, "attached to "), "attached to %d", &pid), 1);
	target->pid = pid;
	target->to = m->to;
	target->from = m->out;
	m->to = -1;
	lines_init(&m->out, -1);
	m->out.end = true;
	target_expect(target, "ready");
}

void memattach_wait_for(struct memattach *m, const char *text)
{
	if (lines_until(&m->err, text))
		return;
	ck_abort_msg("memattach did not say \"%s\" before its end, but: %s", text,
		     memattach_err(m));
}

/* Which file the capture is: a new one each time that it is written. 0: none. */
static ino_t capture_inode(const struct memattach *m)
{
	struct stat st;

	return stat(m->json, &st) == 0 ? st.st_ino : 0;
}

void memattach_snapshot(struct memattach *m)
{
	ino_t before = capture_inode(m);

	ck_assert_int_eq(kill(m->pid, SIGUSR1), 0);
	/* The report of an image that ended with an exec is a snapshot in another file. */
	do
		memattach_wait_for(m, "snapshot ");
	while (capture_inode(m) == before);
}

int memattach_wait(struct memattach *m)
{
	int status;

	if (m->to >= 0)
		close(m->to);
	m->to = -1;
	lines_drain(&m->err, &m->out);
	status = wait_end(m->pid);
	m->pid = 0;
	return status;
}

void memattach_expect_exit(struct memattach *m, int expected)
{
	int status = memattach_wait(m);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected,
		      "memattach ended with wait status %#x, not exit status %d, and said: %s",
		      (unsigned int)status, expected, memattach_err(m));
}

void memattach_stop(struct memattach *m)
{
	ck_assert_int_eq(kill(m->pid, SIGINT), 0);
	memattach_expect_exit(m, 0);
}

const char *memattach_out(const struct memattach *m)
{
	return m->out.text ? m->out.text : "";
}

const char *memattach_err(const struct memattach *m)
{
	return m->err.text ? m->err.text : "";
}

json_t *memattach_capture(const struct memattach *m)
{
	json_t *capture = capture_load(m->json);

	capture_assert_sums(capture);
	return capture;
}

json_t *memattach_stop_and_read(struct memattach *m)
{
	memattach_stop(m);
	return memattach_capture(m);
}

json_t *memattach_snapshot_and_read(struct memattach *m)
{
	memattach_snapshot(m);
	return memattach_capture(m);
}

void memattach_stop_with_truth(struct memattach *m, struct target *target, const char *suffix,
			       bool temporary)
{
	json_t *capture = memattach_stop_and_read(m);

	capture_assert_truth(capture, target, suffix, temporary);
	json_decref(capture);
	memattach_cleanup(m);
}

void memattach_end_command(struct memattach *m, struct target *command)
{
	target_leave(command);
	memattach_expect_exit(m, 0);
	memattach_cleanup(m);
}

void memattach_visits(struct target *target, const char *line, const char *answer)
{
	struct memattach m;

	memattach_attach(&m, target->pid, NULL);
	if (line)
		target_ask(target, line, answer);
	memattach_stop(&m);
	memattach_cleanup(&m);
}

void memattach_kill(const struct memattach *m)
{
	kill(m->pid, SIGKILL);
	wait_end(m->pid);
}

void memattach_cleanup(struct memattach *m)
{
	bool forced = m->pid > 0;
	struct dirent *entry;
	DIR *dir;

	if (forced)
		memattach_kill(m);
	if (m->to >= 0)
		close(m->to);
	lines_deinit(&m->out);
	lines_deinit(&m->err);
	dir = opendir(m->dir);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		ck_assert_msg(forced || !strstr(entry->d_name, "json."),
			      "a temporary file was left behind: %s/%s", m->dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
	ck_assert_int_eq(rmdir(m->dir), 0);
	m->pid = 0;
}

void memattach_fails(const char *const *args, int status, const char *text)
{
	struct memattach m;

	memattach_start(&m, args);
	memattach_expect_exit(&m, status);
	ck_assert_msg(strstr(memattach_err(&m), text) != NULL, "no \"%s\" in: %s", text,
		      memattach_err(&m));
	ck_assert_str_eq(memattach_out(&m), "");
	ck_assert_int_eq(strncmp(memattach_err(&m), "memattach: ", 11), 0);
	memattach_cleanup(&m);
}

const char *number_of(pid_t pid)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return text;
}
