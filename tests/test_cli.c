// SPDX-License-Identifier: MIT
/* The command line: what it refuses and how, what it writes and where, how it exits. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* A number that no process has: should one of these be taken for right, nobody is hurt. */
#define NOBODY "99999999"

/* Status 2, the reason on stderr, and where help is. */
static void assert_refused(const char *const usage[8])
{
	struct memattach m;
	int status;

	memattach_start(&m, usage);
	status = memattach_wait(&m);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 2,
		      "%s %s %s ...: wait status %#x", usage[0] ? usage[0] : "",
		      usage[0] && usage[1] ? usage[1] : "",
		      usage[0] && usage[1] && usage[2] ? usage[2] : "", (unsigned int)status);
	ck_assert_ptr_nonnull(strstr(memattach_err(&m), "memattach: "));
	ck_assert_ptr_nonnull(strstr(memattach_err(&m), "--help"));
	ck_assert_str_eq(memattach_out(&m), "");
	memattach_cleanup(&m);
}

START_TEST(wrong_usage)
{
	static const char *const usages[][8] = {
		{NULL},
		{"--no-such-option", "-p", NOBODY, NULL},
		{"-p", NULL},
		{"-p", "xyz", NULL},
		{"-p", "-5", NULL},
		{"-p", "0", NULL},
		{"-p", "12x", NULL},
		{"-p", NOBODY, "-p", NOBODY, NULL},
		{"-p", NOBODY, "--", "true", NULL},
		{"-p", NOBODY, "true", NULL},
		{"-q", "-v", "-p", NOBODY, NULL},
		{"-d", "-1", "-p", NOBODY, NULL},
		{"-d", "soon", "-p", NOBODY, NULL},
		{"-i", "0", "-p", NOBODY, NULL},
		{"-n", "many", "-p", NOBODY, NULL},
		{"--sort", "colour", "-p", NOBODY, NULL},
		{"--depth", "0", "-p", NOBODY, NULL},
		{"--depth", "257", "-p", NOBODY, NULL},
		{"--unwind", "magic", "-p", NOBODY, NULL},
		{"--probe", "ebpf", "-p", NOBODY, NULL},
		{"--color", "red", "-p", NOBODY, NULL},
		{"--alloc", "f:size=7", "-p", NOBODY, NULL},
		{"--alloc", "f:size=0", "-p", NOBODY, NULL},
		{"--alloc", ":size=1", "-p", NOBODY, NULL},
		{"--alloc", "", "-p", NOBODY, NULL},
		{"--free", "f:size=1", "-p", NOBODY, NULL},
		{"-o", "picture.png", "-p", NOBODY, NULL},
		{"-o", "", "-p", NOBODY, NULL},
		{"report", NULL},
		{"report", "a.json", "b.json", NULL},
		{"report", "a.json", "-p", NOBODY, NULL},
		{"--", NULL},
		{"true", NULL},
	};

	for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
		assert_refused(usages[i]);
}
END_TEST

START_TEST(wrong_sample)
{
	static const char *const usages[][8] = {
		{"-s", "-p", NOBODY, NULL},
		{"-s", "", "-p", NOBODY, NULL},
		{"-s", "-1", "-p", NOBODY, NULL},
		{"-s", "+1", "-p", NOBODY, NULL},
		{"-s", " 1", "-p", NOBODY, NULL},
		{"-s", "K", "-p", NOBODY, NULL},
		{"-s", "1.5M", "-p", NOBODY, NULL},
		{"-s", "512KB", "-p", NOBODY, NULL},
		{"-s", "512k", "-p", NOBODY, NULL},
		{"-s", "1T", "-p", NOBODY, NULL},
		{"-s", "1025G", "-p", NOBODY, NULL},
		{"-s", "1099511627777", "-p", NOBODY, NULL},
		{"-s", "18446744073709551616", "-p", NOBODY, NULL},
		{"-s", "18014398509481985K", "-p", NOBODY, NULL}, /* 1024 in 64 bits */
		{"--sample", NULL},
	};

	for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
		assert_refused(usages[i]);
	/* These are right, only the process is not. */
	memattach_fails(WORDS("-s", "1024G", "-p", NOBODY), 125, NOBODY);
	memattach_fails(WORDS("-s", "1099511627776", "-p", NOBODY), 125, NOBODY);
	memattach_fails(WORDS("--sample=0", "-p", NOBODY), 125, NOBODY);
}
END_TEST

START_TEST(help_and_version)
{
	struct memattach m;

	memattach_start(&m, WORDS("--help"));
	memattach_expect_exit(&m, 0);
	ck_assert_ptr_nonnull(strstr(memattach_out(&m), "usage: memattach"));
	ck_assert_ptr_nonnull(strstr(memattach_out(&m), "--duration"));
	ck_assert_str_eq(memattach_err(&m), "");
	memattach_cleanup(&m);
	memattach_start(&m, WORDS("--version"));
	memattach_expect_exit(&m, 0);
	ck_assert_int_eq(strncmp(memattach_out(&m), "memattach ", 10), 0);
	ck_assert_str_eq(memattach_err(&m), "");
	memattach_cleanup(&m);
}
END_TEST

/* A pid that is free: that of a child that has been waited for. */
static pid_t dead_pid(void)
{
	pid_t pid = spawn(&(struct spawn){.argv = WORDS("true")});

	wait_end(pid);
	return pid;
}

START_TEST(no_such_process)
{
	memattach_fails(WORDS("-p", number_of(dead_pid())), 125, "no process");
}
END_TEST

START_TEST(zombie)
{
	pid_t pid = spawn(&(struct spawn){.argv = WORDS("true")});
	siginfo_t info;

	/* It has ended, and is not waited for. */
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	memattach_fails(WORDS("-p", number_of(pid)), 125, "zombie");
	wait_end(pid);
}
END_TEST

START_TEST(kernel_thread)
{
	const char *name = status_field(2, "Name");

	if (!name || strcmp(name, "kthreadd") != 0) {
		printf("skipped: no kernel thread is to be seen here\n");
		return;
	}
	memattach_fails(WORDS("-p", "2"), 125, "kernel thread");
}
END_TEST

/* A shell that becomes memattach knows its pid. */
START_TEST(itself)
{
	char script[4200];
	int fds[2], status;
	struct lines err;
	struct spawn how = {0};
	const char *argv[] = {"sh", "-c", script, NULL};

	snprintf(script, sizeof(script), "exec '%s' -p $$", memattach_path());
	make_pipe(fds);
	how.argv = argv;
	how.err = fds[1];
	status = wait_end(spawn(&how));
	close(fds[1]);
	lines_init(&err, fds[0]);
	lines_drain(&err, NULL);
	ck_assert_int_eq(WEXITSTATUS(status), 125);
	ck_assert_ptr_nonnull(strstr(err.text, "itself"));
	lines_deinit(&err);
}
END_TEST

START_TEST(a_thread_is_no_process)
{
	struct target target;
	char path[64], text[64];
	int tid = 0;
	FILE *f;

	target_start(&target, WORDS("exact", "1"), NULL);
	snprintf(path, sizeof(path), "ls /proc/%d/task", (int)target.pid);
	f = popen(path, "r");
	while (fscanf(f, "%d", &tid) == 1 && tid == target.pid)
		;
	pclose(f);
	ck_assert_int_ne(tid, target.pid);
	snprintf(text, sizeof(text), "-p %d", (int)target.pid);
	memattach_fails(WORDS("-p", number_of(tid)), 125, text);
	target_end(&target);
}
END_TEST

/* Traced by this very test, whose name the message must have. */
START_TEST(already_traced)
{
	struct target target;
	char text[64];

	target_start(&target, WORDS("exact", "1"), NULL);
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, target.pid, 0, 0), 0);
	snprintf(text, sizeof(text), "traced by process %d (runner", (int)getpid());
	memattach_fails(WORDS("-p", number_of(target.pid)), 125, text);
	kill(target.pid, SIGKILL);
	wait_end(target.pid);
	target_leave(&target);
}
END_TEST

START_TEST(traced_by_strace)
{
	struct target target, strace;

	target_start(&target, WORDS("exact", "1"), NULL);
	target_run(
		&strace,
		WORDS("sh", "-c", "exec strace -f -e trace=none -p $0 2>&1", number_of(target.pid)),
		NULL);
	if (!lines_until(&strace.from, "attached")) {
		printf("skipped: strace does not run\n");
	} else {
		memattach_fails(WORDS("-p", number_of(target.pid)), 125, "(strace)");
		/* A command under strace's nose is no better off, but says so. */
		target_kill(&strace);
		strace.pid = 0;
	}
	target_ask(&target, "run 100", "done");
	target_end(&target);
}
END_TEST

/* Root's process is none of nobody's business. */
START_TEST(not_permitted)
{
	struct target target;
	struct memattach m;
	char command[4400];
	int status;

	if (getuid() != 0) {
		printf("skipped: only root can become somebody else\n");
		return;
	}
	target_start(&target, WORDS("exact", "1"), NULL);
	snprintf(command, sizeof(command),
		 "cp '%s' \"$1/m\" && chmod 755 \"$1\" \"$1/m\" && exec setpriv --reuid 65534 "
		 "--regid 65534 --clear-groups \"$1/m\" -p %d",
		 memattach_path(), (int)target.pid);
	/* A directory of its own, which nobody may enter. */
	memattach_start(&m, WORDS("--version"));
	memattach_expect_exit(&m, 0);
	{
		int fds[2];
		struct lines err;
		struct spawn how = {.argv = WORDS("sh", "-c", command, "sh", m.dir)};

		make_pipe(fds);
		how.err = fds[1];
		status = wait_end(spawn(&how));
		close(fds[1]);
		lines_init(&err, fds[0]);
		lines_drain(&err, NULL);
		ck_assert_int_eq(WEXITSTATUS(status), 125);
		ck_assert_msg(strstr(err.text, "sudo") || strstr(err.text, "root"),
			      "what to do? %s", err.text);
		lines_deinit(&err);
	}
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

START_TEST(foreign_architecture)
{
	char source[64] = "/tmp/memattach-m32-XXXXXX.c", command[256];
	int fd = mkstemps(source, 2);
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(write(fd, "int main(){for(;;)__builtin_ia32_pause();}\n", 43), 0);
	close(fd);
	snprintf(command, sizeof(command),
		 "gcc -m32 -nostdlib -x c %s -e main -o %s.out 2>/dev/null", source, source);
	if (system(command) != 0) {
		printf("skipped: gcc makes no 32-bit programs here\n");
	} else {
		char program[80];

		snprintf(program, sizeof(program), "%s.out", source);
		pid = spawn(&(struct spawn){.argv = WORDS(program)});
		/* Until it is that program and no longer a copy of this one. */
		while (!strstr(status_field(pid, "Name"), "memattach-m32"))
			;
		memattach_fails(WORDS("-p", number_of(pid)), 125, "32-bit");
		kill(pid, SIGKILL);
		wait_end(pid);
		unlink(program);
	}
	unlink(source);
}
END_TEST

/* No allocator anywhere: which modules were searched, and how to name one. */
START_TEST(no_allocator)
{
	struct target target;
	char *path = target_program("noalloc");

	target_start(&target, WORDS("noalloc"), NULL);
	memattach_fails(WORDS("-p", number_of(target.pid)), 125, "noalloc");
	memattach_fails(WORDS("-p", number_of(target.pid)), 125, "--alloc");
	target_ask(&target, "still there", "still there");
	assert_untraced(target.pid);
	target_end(&target);
	/* Started by us it says the same. */
	struct memattach m;

	memattach_start(&m, WORDS("--", path));
	memattach_expect_exit(&m, 125);
	ck_assert_ptr_nonnull(strstr(memattach_err(&m), "--alloc"));
	memattach_cleanup(&m);
	free(path);
}
END_TEST

static void check_command(const char *const *args, int expected)
{
	struct memattach m;

	memattach_start(&m, args);
	memattach_expect_exit(&m, expected);
	memattach_cleanup(&m);
}

START_TEST(exit_status_of_the_command)
{
	check_command(WORDS("--", "true"), 0);
	check_command(WORDS("--", "sh", "-c", "exit 7"), 7);
	check_command(WORDS("--", "sh", "-c", "kill -KILL $$"), 128 + SIGKILL);
	check_command(WORDS("--", "sh", "-c", "kill -TERM $$"), 128 + SIGTERM);
	check_command(WORDS("--", "sh", "-c", "ulimit -c 0; kill -ABRT $$"), 128 + SIGABRT);
	memattach_fails(WORDS("--", "no-such-command-here"), 127, "no-such-command-here");
	memattach_fails(WORDS("--", "/no/such/command"), 127, "/no/such/command");
	memattach_fails(WORDS("--", "/etc/passwd"), 126, "/etc/passwd");
	memattach_fails(WORDS("--", "/etc"), 126, "/etc");
}
END_TEST

Suite *cli_suite(void)
{
	Suite *suite = suite_create("cli");
	TCase *tcase = tcase_create("cli");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, wrong_usage);
	tcase_add_test(tcase, wrong_sample);
	tcase_add_test(tcase, help_and_version);
	tcase_add_test(tcase, no_such_process);
	tcase_add_test(tcase, zombie);
	tcase_add_test(tcase, kernel_thread);
	tcase_add_test(tcase, itself);
	tcase_add_test(tcase, a_thread_is_no_process);
	tcase_add_test(tcase, already_traced);
	tcase_add_test(tcase, traced_by_strace);
	tcase_add_test(tcase, not_permitted);
	tcase_add_test(tcase, foreign_architecture);
	tcase_add_test(tcase, no_allocator);
	tcase_add_test(tcase, exit_status_of_the_command);
	suite_add_tcase(suite, tcase);
	return suite;
}
