// SPDX-License-Identifier: MIT
#include "session_signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t ticked, snapshot, stop;

static const int handled[] = {SIGALRM, SIGUSR1, SIGINT, SIGTERM, SIGHUP, SIGPIPE};
static struct sigaction before[ARRAY_SIZE(handled)];

static void handle(int sig)
{
	switch (sig) {
	case SIGALRM:
		ticked = 1;
		break;
	case SIGUSR1:
		snapshot = 1;
		break;
	case SIGPIPE:
		/* Not ignored, since a command that we start would inherit that: a write fails with EPIPE. */
		break;
	default:
		stop = sig;
		break;
	}
}

int session_signals_install(u32 tick_ms, struct err *err)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handle; /* and no SA_RESTART */
	ticked = snapshot = stop = 0;
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++) {
		if (sigaction(handled[i], NULL, &before[i]))
			return err_sys(err, errno, "cannot handle signal %d", handled[i]);
		/* nohup, and a shell's background jobs: what was ignored stays so. */
		if (before[i].sa_handler == SIG_IGN && handled[i] != SIGPIPE)
			continue;
		if (sigaction(handled[i], &action, NULL))
			return err_sys(err, errno, "cannot handle signal %d", handled[i]);
	}
	if (session_signals_tick(tick_ms))
		return err_sys(err, errno, "cannot start a timer");
	return 0;
}

int session_signals_tick(u32 ms)
{
	struct timeval period = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	struct itimerval timer = {.it_interval = period, .it_value = period};

	return setitimer(ITIMER_REAL, &timer, NULL) ? -errno : 0;
}

void session_signals_remove(void)
{
	struct itimerval off = {0};

	setitimer(ITIMER_REAL, &off, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		sigaction(handled[i], &before[i], NULL);
}

bool session_signals_ticked(void)
{
	bool was = ticked;

	ticked = 0;
	return was;
}

bool session_signals_snapshot(void)
{
	bool was = snapshot;

	snapshot = 0;
	return was;
}

int session_signals_stop(void)
{
	return stop;
}
