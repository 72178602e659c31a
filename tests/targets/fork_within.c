// SPDX-License-Identifier: MIT
/*
 * Forks in the middle of allocator calls. Each child goes on where it was born: it
 * returns from what it is in, allocates and frees blocks, whose contents it checks,
 * and ends with status 7.
 *
 *	within N	N children by je_malloc, in the middle of it	-> "forked"
 *	signal N	N children by a handler of signals that come while the process
 *			allocates and frees as fast as it can	-> "forked"
 *	work N		N rounds of allocating and freeing		-> "worked"
 *	inside		calls je_malloc, which waits there		-> "inside"
 *			until the next line				-> "outside"
 *	remnant		waits in a function whose frame is where je_malloc was just
 *			before, left by longjmp				-> "waiting"
 *			until the next line				-> "done"
 *	quit		or end of file: the end, status 0
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define BLOCKS 16

static volatile sig_atomic_t wanted; /* children that are still to be made */
static volatile sig_atomic_t in_child;
static int waits, leaves; /* in je_malloc */
static jmp_buf way_out;

static void work(long rounds)
{
	unsigned char *blocks[BLOCKS] = {NULL};

	for (long i = 0; i < rounds; i++) {
		size_t at = (size_t)i % BLOCKS, size = 16 + (size_t)(i * 7 % 300);

		if (blocks[at] && (blocks[at][0] != (unsigned char)(i - BLOCKS) ||
				   blocks[at][15] != (unsigned char)(i - BLOCKS)))
			hurt("a block was overwritten");
		free(blocks[at]);
		blocks[at] = i % 3 ? malloc(size) : realloc(calloc(1, 8), size);
		memset(blocks[at], (int)i, size);
		if (in_child == 1)
			return;
	}
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

/* The end of a child, wherever it was born. */
static void end_child(void)
{
	in_child = 2;
	work(2000);
	_exit(7);
}

static void wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			hurt("waitpid: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
		hurt("a child ended with wait status %#x", (unsigned int)status);
}

/* glibc's own fork waits for locks of malloc, which the thread may hold. */
static pid_t fork_now(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	if (pid < 0)
		hurt("fork: %s", strerror(errno));
	if (pid == 0)
		in_child = 1;
	return pid;
}

static volatile pid_t child;

/* An allocator by its name, so that its calls are wrapped; and it forks. */
NOINLINE void *je_malloc(size_t size)
{
	void *p = malloc(size);

	if (wanted)
		child = fork_now();
	if (leaves)
		longjmp(way_out, 1);
	if (waits) {
		say("inside");
		hear();
	}
	return p;
}

NOINLINE void je_free(void *p)
{
	free(p);
}

static void within(int n)
{
	for (int i = 0; i < n; i++) {
		void *p;

		wanted = 1;
		p = je_malloc(100);
		wanted = 0;
		memset(p, 1, 100);
		je_free(p);
		if (in_child)
			end_child();
		wait_for(child);
	}
	say("forked");
}

static void inside(void)
{
	waits = 1;
	je_free(je_malloc(10));
	waits = 0;
	say("outside");
}

/* Leaves calls of je_malloc by longjmp: nobody has written over what they left on the stack. */
NOINLINE static void litter(void)
{
	volatile int left = 0;

	setjmp(way_out);
	leaves = left++ < 3;
	je_free(je_malloc(10));
}

NOINLINE static void remnant(void)
{
	char unwritten[8192];
	char *p = unwritten;

	KEEP(p);
	say("waiting");
	hear();
	KEEP(p);
	say("done");
}

static void on_signal(int sig)
{
	(void)sig;
	if (!wanted || in_child || child)
		return;
	child = fork_now();
	if (child)
		wanted--;
}

static void by_signal(int n)
{
	struct itimerspec spec = {.it_interval.tv_nsec = 300000, .it_value.tv_nsec = 300000};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	timer_t timer;

	signal(SIGUSR2, on_signal);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &spec, NULL))
		hurt("no timer");
	child = 0;
	wanted = n;
	while (wanted || child) {
		work(100);
		if (in_child)
			end_child();
		if (child) {
			wait_for(child);
			child = 0;
		}
	}
	timer_delete(timer);
	say("forked");
}

int main(void)
{
	const char *line, *rest;

	work(100);
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if ((rest = after(line, "within"))) {
			within(atoi(rest));
		} else if ((rest = after(line, "signal"))) {
			by_signal(atoi(rest));
		} else if (after(line, "inside")) {
			inside();
		} else if (after(line, "remnant")) {
			litter();
			remnant();
		} else if ((rest = after(line, "work"))) {
			work(atol(rest));
			say("worked");
		} else {
			hurt("unknown command %s", line);
		}
	}
	return 0;
}
