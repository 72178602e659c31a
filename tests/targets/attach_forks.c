// SPDX-License-Identifier: MIT
/*
 * Threads that make children all the time, in one way each, and check how they
 * ended: argv lists the ways, fork, vfork, spawn, thread. A vfork child lives for
 * argv[1] microseconds.
 *
 *	progress N	until each thread has made N more	-> "progressed"
 *	quit		or end of file: the end of all, status 0
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define WAYS_MAX 8

struct maker {
	const char *way;
	volatile unsigned long made;
	pthread_t thread;
};

static struct maker makers[WAYS_MAX];
static int n_makers;
static long lifetime_us;
static volatile int ending;
extern char **environ;

static void reap(pid_t pid, const char *way)
{
	int status;

	if (pid < 0)
		hurt("%s: %s", way, strerror(errno));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			hurt("%s: waitpid: %s", way, strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
		hurt("a child made by %s ended with wait status %#x", way, (unsigned int)status);
}

static void live(void)
{
	struct timespec life = {.tv_nsec = lifetime_us * 1000};

	nanosleep(&life, NULL);
}

static void *short_thread(void *arg)
{
	return arg;
}

static void make(const char *way)
{
	static char *const seven[] = {"sh", "-c", "exit 7", NULL};
	pthread_t thread;
	void *result;
	pid_t pid;

	if (strcmp(way, "fork") == 0) {
		pid = fork();
		if (pid == 0)
			_exit(7);
		reap(pid, way);
	} else if (strcmp(way, "vfork") == 0) {
		pid = vfork();
		if (pid == 0) {
			live();
			_exit(7);
		}
		reap(pid, way);
	} else if (strcmp(way, "spawn") == 0) {
		if (posix_spawn(&pid, "/bin/sh", NULL, NULL, seven, environ) != 0)
			hurt("posix_spawn");
		reap(pid, way);
	} else {
		if (pthread_create(&thread, NULL, short_thread, makers) != 0 ||
		    pthread_join(thread, &result) != 0 || result != makers)
			hurt("a thread did not return what it was given");
	}
}

static void *make_for_ever(void *arg)
{
	struct maker *maker = arg;

	while (!ending) {
		make(maker->way);
		maker->made++;
	}
	return NULL;
}

static void progress(unsigned long n)
{
	struct timespec pause = {.tv_nsec = 500000};

	for (int i = 0; i < n_makers; i++) {
		unsigned long from = makers[i].made;

		while (makers[i].made - from < n)
			nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *line, *rest;

	lifetime_us = atol(argv[1]);
	for (int i = 2; i < argc && n_makers < WAYS_MAX; i++) {
		makers[n_makers].way = argv[i];
		if (pthread_create(&makers[n_makers].thread, NULL, make_for_ever,
				   &makers[n_makers]) != 0)
			hurt("no thread");
		n_makers++;
	}
	say("ready");
	while ((line = hear())) {
		if ((rest = after(line, "progress"))) {
			progress(strtoul(rest, NULL, 10));
			say("progressed");
		}
	}
	ending = 1;
	for (int i = 0; i < n_makers; i++)
		pthread_join(makers[i].thread, NULL);
	return 0;
}
