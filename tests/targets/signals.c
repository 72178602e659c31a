// SPDX-License-Identifier: MIT
/*
 * What the target's own signals must still do while memattach uses SIGTRAP and
 * stops. A thread allocates all the time and takes the signals.
 *
 *	queued N	N signals of sigqueue have come, in order, with what belongs to them -> "queued"
 *	trap N		N times an int3 and a raised SIGTRAP of the target's own -> "trapped"
 *	dispose D	SIGTRAP from now on: 0 default, 1 ignored, 2 handled -> "disposed"
 *	block B		the main thread blocks every signal (1), only what it must (0) -> "masked"
 *	allocate N	N allocations by the main thread -> "allocated"
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

static volatile int queued, traps, running;

static void on_queued(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (signal != SIGRTMIN || info->si_code != SI_QUEUE || info->si_pid != getppid())
		hurt("siginfo is lost: code %d, pid %d", info->si_code, (int)info->si_pid);
	if (info->si_value.sival_int != queued)
		hurt("signal %d came instead of %d", info->si_value.sival_int, (int)queued);
	queued++;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code != SI_KERNEL && info->si_code != SI_TKILL)
		hurt("SIGTRAP with code %d", info->si_code);
	traps++;
}

NOINLINE static void *site_signals(size_t n)
{
	void *p = malloc(n);

	KEEP(p);
	return p;
}

static void *allocate_for_ever(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	running = 1;
	for (size_t n = 0;; n = (n + 17) % 2000)
		free(site_signals(n));
	return arg;
}

static void await_queued(int n)
{
	struct timespec pause = {.tv_nsec = 1000000};

	while (queued < n)
		nanosleep(&pause, NULL);
	say("queued");
}

static void trap(int n)
{
	traps = 0;
	for (int i = 0; i < n; i++) {
		__asm__ volatile("int3");
		free(site_signals(100));
		raise(SIGTRAP);
		free(site_signals(100));
	}
	if (traps != 2 * n)
		hurt("%d traps instead of %d", (int)traps, 2 * n);
	say("trapped");
}

NOINLINE static void *site_masked(size_t n)
{
	void *p = malloc(n);

	KEEP(p);
	return p;
}

static void dispose(int disposition)
{
	struct sigaction actions[3] = {
		{.sa_handler = SIG_DFL},
		{.sa_handler = SIG_IGN},
		{.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART}};

	sigaction(SIGTRAP, &actions[disposition], NULL);
	say("disposed");
}

static void block(int every)
{
	sigset_t set;

	if (every) {
		sigfillset(&set);
	} else {
		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN);
	}
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	say("masked");
}

static void allocate(int n)
{
	for (int i = 0; i < n; i++)
		free(site_masked((size_t)i));
	say("allocated");
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
	const char *line, *rest;
	pthread_t thread;
	sigset_t set;

	sigaction(SIGRTMIN, &action, NULL);
	action.sa_sigaction = on_trap;
	sigaction(SIGTRAP, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, allocate_for_ever, NULL) != 0)
		hurt("no thread");
	/* A new thread begins with all signals blocked. */
	while (!running)
		sched_yield();
	say("ready");
	while ((line = hear())) {
		if ((rest = after(line, "queued")))
			await_queued(atoi(rest));
		else if ((rest = after(line, "trap")))
			trap(atoi(rest));
		else if ((rest = after(line, "dispose")))
			dispose(atoi(rest));
		else if ((rest = after(line, "block")))
			block(atoi(rest));
		else if ((rest = after(line, "allocate")))
			allocate(atoi(rest));
	}
	return 0;
}
