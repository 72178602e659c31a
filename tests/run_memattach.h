/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_RUN_MEMATTACH_H
#define MEMATTACH_TESTS_RUN_MEMATTACH_H

#include <jansson.h>
#include <sys/types.h>

#include "tests/lines.h"
#include "tests/target_process.h"

/*
 * Runs of the memattach program as a user makes them: its command line, its
 * signals, its exit status. The program is $MEMATTACH, by default the one in the
 * build directory of this runner. All of these fail the test when something
 * goes wrong; memattach is killed by the kernel when the test ends before it.
 */
struct memattach {
	pid_t pid;
	int to;           /* its stdin, which a command inherits */
	struct lines out; /* its stdout: the report, or what a command writes */
	struct lines err; /* its stderr */
	char dir[40];     /* of its own, removed by memattach_cleanup */
	char json[64];    /* the capture that it writes, in dir */
};

/* The path of the program. */
const char *memattach_path(void);

/* Starts it with these arguments (without argv[0]); nothing is added. */
void memattach_start(struct memattach *m, const char *const *args);

/*
 * Starts `memattach -v -o DIR/out.json -p PID OPTIONS` and returns once it says that
 * it is attached: probes are planted, all threads run. options may be NULL.
 */
void memattach_attach(struct memattach *m, pid_t pid, const char *const *options);

/*
 * From now on memattach_attach and memattach_launch add `--probe MODE`; NULL: they
 * do not. Without a call of this the environment's MEMATTACH_TEST_PROBE decides.
 */
void memattach_probe_by(const char *mode);

/* The same without waiting. */
void memattach_attach_nowait(struct memattach *m, pid_t pid, const char *const *options);

/*
 * Starts `memattach -v -o DIR/out.json OPTIONS -- COMMAND`, command[0] with a
 * slash or from PATH. Speak with the command through m->to and m->out.
 */
void memattach_launch(struct memattach *m, const char *const *options, const char *const *command);

/*
 * Makes a target of what memattach_launch has started, once it is "ready": the
 * ends to talk with move to target. It is no child of ours: see target_leave.
 */
void memattach_adopt(struct memattach *m, struct target *target);

/* Waits until a line of its stderr contains text. */
void memattach_wait_for(struct memattach *m, const char *text);

/* Asks for a snapshot and waits until it is written. */
void memattach_snapshot(struct memattach *m);

/* Waits until it has ended and all its output is in. Returns the wait status. */
int memattach_wait(struct memattach *m);

/* The same; it must exit with this status. */
void memattach_expect_exit(struct memattach *m, int status);

/* Interrupts it, and it must end with status 0. */
void memattach_stop(struct memattach *m);

/* Ends it with SIGKILL, and reaps it. */
void memattach_kill(const struct memattach *m);

/* What it has written to stdout, to stderr so far; never NULL. */
const char *memattach_out(const struct memattach *m);
const char *memattach_err(const struct memattach *m);

/* The capture that it has written; the caller decrefs. Its figures are checked to add up. */
json_t *memattach_capture(const struct memattach *m);

/* Removes its files, and itself by force if it still runs. */
void memattach_cleanup(struct memattach *m);

/* Runs it with these arguments to its end: this exit status, this text on stderr, nothing on stdout. */
void memattach_fails(const char *const *args, int status, const char *text);

/* A pid as an argument, in a static buffer. */
const char *number_of(pid_t pid);

/* Stops it and reads its capture; asks for a snapshot and reads it. cleanup is left to do. */
json_t *memattach_stop_and_read(struct memattach *m);
json_t *memattach_snapshot_and_read(struct memattach *m);

/* Stops it: what it has recorded must be the truth (capture_assert_truth). Cleans up. */
void memattach_stop_with_truth(struct memattach *m, struct target *target, const char *suffix,
			       bool temporary);

/* The command that it has launched ends, and so must it, with status 0. Cleans up. */
void memattach_end_command(struct memattach *m, struct target *command);

/* It attaches, the target is asked line (NULL: nothing), it is stopped. Cleans up. */
void memattach_visits(struct target *target, const char *line, const char *answer);

#endif
