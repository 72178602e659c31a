// SPDX-License-Identifier: MIT
/*
 * kill -9 of memattach at any moment, of its guardian as well: the target lives
 * and is right, and somebody takes everything out of it again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/kill_at_call.h"
#include "tests/process_image.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* Of an area: all of it, and what is executable of it if the last page is not. */
#define AREA_SIZE 0x40000UL
#define AREA_CODE 0x3f000UL

/*
 * A child of parent other than this one; 0: there is none. It is not looked for by
 * its name, which it gives itself only once it runs.
 */
static pid_t find_child(pid_t parent, pid_t other)
{
	char path[64];
	pid_t found = 0;
	FILE *f;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "no %s", path);
	while (!found && fscanf(f, "%d", &pid) == 1)
		if (pid != other)
			found = pid;
	fclose(f);
	return found;
}

/* A header that was never written: memattach was killed just behind the mmap that it made in the target. */
static bool is_blank(pid_t pid, unsigned long start)
{
	char path[64], bytes[64] = {0}, zero[64] = {0};
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(mem, 0);
	ck_assert_int_eq(pread(mem, bytes, sizeof(bytes), (off_t)start), (ssize_t)sizeof(bytes));
	close(mem);
	return memcmp(bytes, zero, sizeof(bytes)) == 0;
}

/* Memory of ours in the target: areas, without blank ones, which are counted, too, and channels. */
static int count_ours(pid_t pid, int *blank)
{
	char path[64], line[4352], rights[8];
	unsigned long start, end, inode;
	int found = 0;
	FILE *maps;

	*blank = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	ck_assert_msg(maps != NULL, "the target is gone");
	while (fgets(line, sizeof(line), maps)) {
		found += strstr(line, "/memfd:memattach") != NULL;
		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &start, &end, rights, &inode) != 4 ||
		    strcmp(rights, "r-xp") != 0 || inode || end - start < AREA_CODE)
			continue;
		if (is_blank(pid, start))
			(*blank)++;
		else
			found++;
	}
	fclose(maps);
	return found;
}

static bool has_traces(pid_t pid)
{
	int blank;

	return count_ours(pid, &blank) > 0;
}

/* memattach was killed, and reaped: what is left of it here. */
static void forget(struct memattach *m)
{
	char path[400];
	struct dirent *entry;
	DIR *dir = opendir(m->dir);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", m->dir, entry->d_name);
		unlink(path);
	}
	if (dir)
		closedir(dir);
	m->pid = 0;
	memattach_cleanup(m);
}

/* Orphans are ours, so that their ends can be waited for. */
static void adopt_orphans(void)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

/* Once memattach is dead its guardian, now our child, cleans up and ends well. */
static void await_guardian(struct target *target)
{
	pid_t guardian = find_child(getpid(), target->pid);
	int status;

	if (guardian) {
		/* memattach kills it when all is done, and was killed then itself. */
		status = wait_end(guardian);
		ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
				      (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
			      "the guardian ended with wait status %#x; the target: %s",
			      (unsigned int)status, status_field(target->pid, "State"));
	}
	assert_untraced(target->pid);
	ck_assert_msg(!has_traces(target->pid), "memory of ours was left in the target");
}

/* Its threads get signals at this rate, and their handlers allocate. */
static void set_timer(struct target *target, int hz)
{
	target_say(target, "timer %d", hz);
	ck_assert_ptr_nonnull(strstr(target_hear(target), "timer "));
}

/* No more signals, and those that were on their way have come. */
static void still(struct target *target)
{
	set_timer(target, 0);
	target_ask(target, "run 1", "done");
}

/*
 * A blank area (killed between mmap and header) cannot be told from memory of
 * the target's own, and is left: it is not a difference here.
 */
static char *image(struct target *target)
{
	char *text = process_image(target->pid, false), *line = text, *out = text;
	unsigned long start, end;
	int code = 0;

	while (*line) {
		size_t n = strcspn(line, "\n") + 1;
		bool ours = sscanf(line, "%lx-%lx r-xp 00000000 00:00 0 %n", &start, &end, &code) ==
				    2 &&
			    code && end - start == AREA_SIZE && is_blank(target->pid, start);

		/* The line behind it is the hash of its code. */
		if (ours)
			n += strcspn(line + n, "\n") + 1;
		else
			memmove(out, line, n);
		out += ours ? 0 : n;
		line += n;
		code = 0;
	}
	*out = '\0';
	return text;
}

/* The target must be as it was, apart from what it did itself. */
static char *compare(struct target *target, char *before)
{
	target_ask(target, "stop", "stopped");
	still(target);
	assert_same_image(before, image(target));
	before = image(target);
	set_timer(target, 1000);
	target_ask(target, "start", "started");
	return before;
}

/* The i-th moment of a kind: attaching, recording, detaching. False: memattach had ended by then. */
static bool kill_memattach(struct memattach *m, struct target *target, int i)
{
	struct timespec pause = {.tv_nsec = (i * 37 % 20) * 1000000};
	struct moment moment = {.call = KILL_ANY_CALL};
	int status;

	switch (i % 3) {
	case 0:
		/* From PTRACE_SEIZE on; the steps get wider. */
		memattach_attach_nowait(m, target->pid, NULL);
		kill_at_call_prepare(m->pid);
		moment.call = SYS_ptrace;
		moment.n = 1 + (unsigned int)(i / 3) * (unsigned int)(5 + i / 6);
		break;
	case 1:
		memattach_attach(m, target->pid, NULL);
		nanosleep(&pause, NULL);
		kill(m->pid, SIGKILL);
		wait_end(m->pid);
		return true;
	default:
		memattach_attach(m, target->pid, NULL);
		kill_at_call_prepare(m->pid);
		kill(m->pid, SIGINT);
		moment.sig = SIGINT;
		moment.n = 1 + (unsigned int)(i / 3) * (unsigned int)(5 + i / 6);
	}
	return kill_at_call(m->pid, &moment, &status);
}

static void start_target(struct target *target, int threads, bool handler)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", threads);
	target_start(target, WORDS("attach_orphan", number), NULL);
	if (handler)
		target_ask(target, "handler", "handler");
	/* The signals' handler is there before the first image is taken. */
	set_timer(target, 1000);
	target_ask(target, "run 500", "done");
	still(target);
}

#define KILLS 66

static const int thread_counts[] = {1, 8};

START_TEST(killed_at_any_moment)
{
	struct target target;
	int died = 0;
	int blank;
	char *before;

	adopt_orphans();
	start_target(&target, thread_counts[_i], false);
	before = image(&target);
	set_timer(&target, 1000);
	target_ask(&target, "start", "started");
	for (int i = 0; i < KILLS; i++) {
		struct memattach m;

		died += kill_memattach(&m, &target, i);
		await_guardian(&target);
		forget(&m);
		target_ask(&target, "progress 10", "progressed");
		if (i % 11 == 10)
			before = compare(&target, before);
	}
	count_ours(target.pid, &blank);
	printf("orphan: %d threads, killed at %d moments of %d; %d blank areas left\n",
	       thread_counts[_i], died, KILLS, blank);
	/* The guardian knows where one was being mapped. */
	ck_assert_int_eq(blank, 0);
	ck_assert_int_ge(died, 60);
	target_ask(&target, "stop", "stopped");
	still(&target);
	assert_same_image(before, image(&target));
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

static void kill_both(struct memattach *m)
{
	pid_t guardian = find_child(m->pid, 0);

	ck_assert_int_gt(guardian, 0);
	kill(guardian, SIGKILL);
	kill(m->pid, SIGKILL);
	wait_end(m->pid);
	/* Ours now, unless memattach has reaped it. */
	waitpid(guardian, NULL, 0);
}

/* memattach takes over what was left, records exactly, and leaves nothing. */
static void take_over(struct target *target)
{
	struct memattach m;
	json_t *capture;

	target_ask(target, "epoch", "epoch");
	memattach_attach_nowait(&m, target->pid, NULL);
	memattach_wait_for(&m, "removed what a killed memattach has left");
	memattach_wait_for(&m, "attached to");
	target_ask(target, "run 200", "done");
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, target, "", true);
	json_decref(capture);
	memattach_cleanup(&m);
}

/* With the guardian killed as well the target goes on through the agent's handler, for ever. */
START_TEST(both_killed)
{
	struct target target;
	struct memattach m;
	char *before;

	adopt_orphans();
	start_target(&target, thread_counts[_i % 2], _i >= 2);
	before = image(&target);
	for (int i = 0; i < 4; i++) {
		set_timer(&target, 1000);
		target_ask(&target, "start", "started");
		memattach_attach(&m, target.pid, NULL);
		target_ask(&target, "progress 5", "progressed");
		kill_both(&m);
		forget(&m);
		ck_assert(has_traces(target.pid));
		assert_untraced(target.pid);
		/* So many that some arrive while the agent's own handler runs, whose handlers allocate. */
		set_timer(&target, 0);
		set_timer(&target, 8000 / thread_counts[_i % 2]);
		target_ask(&target, "progress 1000", "progressed");
		target_ask(&target, "fork 5", "forked");
		if (_i >= 2)
			target_ask(&target, "trap 5", "trapped");
		target_ask(&target, "stop", "stopped");
		still(&target);
		take_over(&target);
		ck_assert(!has_traces(target.pid));
		target_ask(&target, "fork 1", "forked");
		if (_i >= 2)
			target_ask(&target, "trap 5", "trapped");
	}
	assert_same_image(before, image(&target));
	target_end(&target);
}
END_TEST

/* The guardian is killed at whatever it is doing by then; the next memattach finds what is left. */
START_TEST(both_killed_at_any_moment)
{
	struct target target;
	char *before;

	adopt_orphans();
	start_target(&target, 4, true);
	before = image(&target);
	set_timer(&target, 1000);
	target_ask(&target, "start", "started");
	for (int i = 0; i < 21; i++) {
		struct timespec pause = {.tv_nsec = (i % 7) * 300000};
		struct memattach m;
		pid_t guardian;

		kill_memattach(&m, &target, i);
		guardian = find_child(getpid(), target.pid);
		if (guardian) {
			nanosleep(&pause, NULL);
			kill(guardian, SIGKILL);
			wait_end(guardian);
		}
		forget(&m);
		target_ask(&target, "progress 10", "progressed");
		target_ask(&target, "trap 2", "trapped");
		target_ask(&target, "fork 1", "forked");
		memattach_attach(&m, target.pid, NULL);
		target_ask(&target, "progress 5", "progressed");
		memattach_stop(&m);
		memattach_cleanup(&m);
		ck_assert(!has_traces(target.pid));
		if (i % 7 == 6)
			before = compare(&target, before);
	}
	target_ask(&target, "stop", "stopped");
	still(&target);
	assert_same_image(before, image(&target));
	target_end(&target);
}
END_TEST

Suite *orphan_suite(void)
{
	Suite *suite = suite_create("orphan");
	TCase *tcase = tcase_create("orphan");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, killed_at_any_moment, 0, 2);
	tcase_add_loop_test(tcase, both_killed, 0, 4);
	tcase_add_test(tcase, both_killed_at_any_moment);
	suite_add_tcase(suite, tcase);
	return suite;
}
