/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_TARGET_PROCESS_H
#define MEMATTACH_TESTS_TARGET_PROCESS_H

#include <sys/types.h>

#include "tests/lines.h"

/*
 * Programs that tests run: the targets of tests/targets, which talk over their
 * stdin and stdout, and real ones. Each is killed by the kernel if the test that
 * started it ends before it (PR_SET_PDEATHSIG), so a failing test leaves nothing.
 * All of these fail the test when something goes wrong.
 */
struct target {
	pid_t pid;
	int to;            /* its stdin */
	struct lines from; /* its stdout */
};

/* A NULL-terminated array of strings, for argv and environments. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* How a process is started; zero is a good default. */
struct spawn {
	const char *const *argv;
	const char *const *env; /* "NAME=value" added to the environment; NULL: none */
	int in, out, err;       /* descriptors to be its stdin, stdout, stderr; 0: ours */
};

/* Starts argv[0] (looked up in PATH), to be killed when this test ends. Returns its pid. */
pid_t spawn(const struct spawn *how);

/* A pipe whose ends do not reach processes started later. */
void make_pipe(int fds[2]);

/* The path of a file that the build made: build_path("targets/exact") and so on, malloc'ed. */
char *build_path(const char *name);

/* The path of a target of tests/targets, which must have been built, malloc'ed. */
char *target_program(const char *name);

/* Starts a target of tests/targets (argv[0] is its name) and waits until it says "ready". */
void target_start(struct target *target, const char *const *argv, const char *const *env);

/* Starts any program with its stdin and stdout to us, and waits for nothing. */
void target_run(struct target *target, const char *const *argv, const char *const *env);

/* Writes a line to it. */
void target_say(struct target *target, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The next line that it says, which has to come; valid until the next one. */
const char *target_hear(struct target *target);

/* Its next line must be this one. */
void target_expect(struct target *target, const char *line);

/* Says a line, expects an answer. */
void target_ask(struct target *target, const char *line, const char *answer);

/* Closes its stdin, upon which it has to end with status 0: it was not hurt. */
void target_end(struct target *target);

/* Forgets a target that somebody else waits for; its stdin is closed. */
void target_leave(struct target *target);

/* Ends it by force. */
void target_kill(struct target *target);

/* waitpid for a child that has to end soon. Returns the wait status. */
int wait_end(pid_t pid);

/* Waits until there is no process pid that is not a zombie; for those that are no children of ours. */
void wait_gone(pid_t pid);

/* A field of /proc/PID/status as text ("State", "TracerPid"), in a static buffer; NULL: no process. */
const char *status_field(pid_t pid, const char *name);

/* Nobody traces any thread of pid. */
void assert_untraced(pid_t pid);

#endif
