// SPDX-License-Identifier: MIT
/*
 * What a breakpoint costs with the least possible tracer: a child that does nothing
 * but int3, and a parent that waits and continues it. It is the floor under trap probes.
 *
 *	bare_int3 blocking|pinned|spinning STOPS	prints microseconds a stop
 *
 *	blocking   waitpid sleeps, both wherever the scheduler puts them
 *	pinned     the same, both on one CPU
 *	spinning   waitpid(WNOHANG) in a loop, as memattach does right after a stop
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 1000

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void pin(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("bare_int3: cannot pin to one CPU");
}

static void be_traced(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	raise(SIGSTOP);
	for (;;)
		__asm__ volatile("int3");
}

/* Waits for the next stop and continues it. 0; -1 if the child is gone. */
static int one_stop(pid_t child, int flags)
{
	int status;
	pid_t got;

	do {
		got = waitpid(child, &status, flags);
	} while (got == 0 || (got < 0 && errno == EINTR));
	if (got != child || !WIFSTOPPED(status))
		return -1;
	return (int)ptrace(PTRACE_CONT, child, NULL, NULL);
}

int main(int argc, char **argv)
{
	long stops = argc == 3 ? atol(argv[2]) : 0;
	int flags, ret = 0;
	double start = 0;
	pid_t child;

	if (stops <= 0) {
		fputs("usage: bare_int3 blocking|pinned|spinning STOPS\n", stderr);
		return 2;
	}
	flags = strcmp(argv[1], "spinning") == 0 ? WNOHANG : 0;
	if (strcmp(argv[1], "pinned") == 0)
		pin();
	child = fork();
	if (child < 0) {
		perror("bare_int3: fork");
		return 1;
	}
	if (child == 0)
		be_traced();
	/* One more for the SIGSTOP. */
	for (long i = 0; i <= WARM_UP + stops && !ret; i++) {
		if (i == WARM_UP + 1)
			start = now_us();
		ret = one_stop(child, flags);
	}
	if (ret)
		fputs("bare_int3: the child cannot be traced\n", stderr);
	else
		printf("%.3f\n", (now_us() - start) / (double)stops);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return ret ? 1 : 0;
}
