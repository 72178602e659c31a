// SPDX-License-Identifier: MIT
/*
 * An engine target (engine.h) that also does what an orphaned one must still be able to:
 *
 *	fork N		N children, one after the other, that allocate and end well -> "forked"
 *	handler		a handler for SIGTRAP from now on	-> "handler"
 *	trap N		N int3 and N raised SIGTRAPs, for the handler -> "trapped"
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "talk.h"

static volatile int traps;

#define SITES(set)                                                                                 \
	NOINLINE static void *site_malloc_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		void *p = malloc(*asked = size);                                                   \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_calloc_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		void *p = calloc(1, *asked = size);                                                \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}

SITES(a)
SITES(b)

const struct kind engine_kinds[] = {
	{{"site_malloc_a", "site_malloc_b"},
	 TRUTH_DIRECT,
	 {site_malloc_a, site_malloc_b},
	 {NULL, NULL},
	 NULL,
	 false},
	{{"site_calloc_a", "site_calloc_b"},
	 TRUTH_DIRECT,
	 {site_calloc_a, site_calloc_b},
	 {NULL, NULL},
	 NULL,
	 false},
	{.names = {NULL}},
};

/* Allocates, which it may: these signals come where the target raises them. */
static void on_trap(int signal)
{
	void *p = malloc((size_t)signal * 10);

	KEEP(p);
	free(p);
	traps++;
}

static void child(void)
{
	char *blocks[32];

	for (size_t i = 0; i < 32; i++) {
		blocks[i] = malloc(100 + i);
		memset(blocks[i], (int)i, 100 + i);
	}
	for (size_t i = 0; i < 32; i++) {
		if (blocks[i][99] != (char)i)
			_exit(8);
		free(blocks[i]);
	}
	_exit(7);
}

static void fork_children(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			child();
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				hurt("waitpid: %s", strerror(errno));
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
			hurt("a child ended with wait status %#x", (unsigned int)status);
	}
	say("forked");
}

static void trap(int n)
{
	traps = 0;
	for (int i = 0; i < n; i++) {
		__asm__ volatile("int3");
		raise(SIGTRAP);
	}
	if (traps != 2 * n)
		hurt("%d SIGTRAPs instead of %d", traps, 2 * n);
	say("trapped");
}

bool engine_command(const char *line)
{
	const char *rest;

	if ((rest = after(line, "fork"))) {
		fork_children(atoi(rest));
	} else if ((rest = after(line, "trap"))) {
		trap(atoi(rest));
	} else if (after(line, "handler")) {
		signal(SIGTRAP, on_trap);
		say("handler");
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	return engine_main(argc, argv);
}
