// SPDX-License-Identifier: MIT
/*
 * kill -9 of memattach at 300 random instants: while it attaches (and patches), records,
 * writes a snapshot, detaches; at every fourth of them its guardian is killed with it.
 * After each the target, which checks what its blocks hold, goes on; everything is
 * taken out of it by the guardian, or by the next memattach.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kill_at_call.h"
#include "tests/orphans.h"
#include "tests/probe_modes.h"
#include "tests/process_image.h"
#include "tests/rounds.h"
#include "tests/suites.h"

/* In all: PROBE_MODES_RUN * TARGETS * KILLS. */
#define TARGETS 5
#define KILLS   ROUNDS(20)

/* How many beginnings and ends of system calls there are about, on a busy target. */
#define CALLS_OF_ATTACH   1200
#define CALLS_OF_SNAPSHOT 120
#define CALLS_OF_DETACH   800

enum instant { ATTACHING, RECORDING, WRITING, DETACHING, INSTANTS };

static uint64_t random_state;

/* xorshift64 (Marsaglia): the same instants in each run. */
static unsigned int draw(unsigned int n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned int)((random_state >> 20) % n);
}

/* Kills at a system call, and how many of them it lived to see. */
static unsigned int tries, hits;

static void kill_at_signal(struct memattach *m, int sig, unsigned int n)
{
	struct moment moment = {.n = n, .call = KILL_ANY_CALL, .sig = sig};
	int status;

	kill_at_call_prepare(m->pid);
	kill(m->pid, sig);
	tries++;
	hits += kill_at_call(m->pid, &moment, &status);
}

static void kill_while_attaching(struct memattach *m, const struct target *target)
{
	struct moment moment = {.n = 1 + draw(CALLS_OF_ATTACH), .call = SYS_ptrace};
	int status;

	memattach_attach_nowait(m, target->pid, NULL);
	kill_at_call_prepare(m->pid);
	tries++;
	hits += kill_at_call(m->pid, &moment, &status);
}

static void kill_while_recording(struct memattach *m, const struct target *target)
{
	struct timespec pause = {.tv_nsec = (long)draw(10000000)};

	memattach_attach(m, target->pid, NULL);
	nanosleep(&pause, NULL);
	memattach_kill(m);
}

static void kill_at(enum instant instant, struct memattach *m, const struct target *target)
{
	switch (instant) {
	case ATTACHING:
		kill_while_attaching(m, target);
		break;
	case RECORDING:
		kill_while_recording(m, target);
		break;
	case WRITING:
		memattach_attach(m, target->pid, NULL);
		kill_at_signal(m, SIGUSR1, 1 + draw(CALLS_OF_SNAPSHOT));
		break;
	default:
		memattach_attach(m, target->pid, NULL);
		kill_at_signal(m, SIGINT, 1 + draw(CALLS_OF_DETACH));
		break;
	}
}

/* Somebody has to take over. */
static void attach_and_detach(struct target *target)
{
	memattach_visits(target, "progress 5", "progressed");
	ck_assert(!orphans_has_traces(target->pid));
}

START_TEST(killed)
{
	struct target target;
	char *before;

	random_state = 0x9e3779b97f4a7c15ULL * (uint64_t)(_i + 1 + 100 * (int)probe_mode_now());
	orphans_adopt();
	target_start(&target, WORDS("attach_orphan", _i % 2 ? "4" : "1"), NULL);
	target_ask(&target, "run 300", "done");
	before = orphans_image(&target);
	target_ask(&target, "start", "started");
	for (int i = 0; i < KILLS; i++) {
		enum instant instant = (enum instant)draw(INSTANTS);
		struct memattach m;

		kill_at(instant, &m, &target);
		if (draw(4) == 0) {
			orphans_kill(&target);
			target_ask(&target, "progress 50", "progressed");
			target_ask(&target, "fork 1", "forked");
			attach_and_detach(&target);
		} else {
			orphans_await(&target);
		}
		orphans_forget(&m);
		target_ask(&target, "progress 10", "progressed");
	}
	printf("kill9: %u of %u at a system call\n", hits, tries);
	/* If it mostly has ended before, the numbers of calls above are out of date. */
	ck_assert_uint_ge(2 * hits, tries);
	attach_and_detach(&target);
	target_ask(&target, "stop", "stopped");
	assert_same_image(before, orphans_image(&target));
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	(void)mode;
	tcase_add_loop_test(tcase, killed, 0, TARGETS);
}

Suite *kill9_suite(void)
{
	return suite_by_each_mode("kill9", 120, add);
}
