// SPDX-License-Identifier: MIT
/*
 * Calls of the allocator that never return, since a signal handler leaves them by
 * siglongjmp, and calls in the middle of which a handler forks. With an allocator
 * of its own, which that does not hurt, under the names that everybody knows.
 *
 *	leap N		N calls are left from within, of every kind		-> "left"
 *	race N		N times a timer's handler leaves whatever runs then	-> "left"
 *	fork N		N times a handler forks inside malloc; the child goes on -> "forked"
 *	truth		truth_say, of what was allocated in between
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"
#include "truth.h"

#define ARENA (256UL << 20)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct header {
	size_t size; /* with this header */
	size_t unused;
};

static char arena[ARENA] __attribute__((aligned(16)));
static size_t used;
static volatile int armed; /* the next call of the allocator gets a signal */

static void inside(void)
{
	if (armed) {
		armed = 0;
		syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGUSR1);
	}
}

NOINLINE void *malloc(size_t size)
{
	size_t whole = ((size + 15) & ~(size_t)15) + sizeof(struct header), at;
	struct header *header;

	inside();
	if (size > ARENA)
		return NULL;
	at = __atomic_fetch_add(&used, whole, __ATOMIC_RELAXED);
	if (at + whole > ARENA)
		hurt("the arena is used up");
	header = (struct header *)(arena + at);
	header->size = whole;
	return header + 1;
}

/* Only the last block's memory is used again. */
NOINLINE void free(void *p)
{
	struct header *header = (struct header *)p - 1;
	size_t at, end;

	inside();
	if (!p)
		return;
	at = (size_t)((char *)header - arena);
	end = at + header->size;
	__atomic_compare_exchange_n(&used, &end, at, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

NOINLINE void *calloc(size_t n, size_t size)
{
	void *p = malloc(n * size);

	return p ? memset(p, 0, n * size) : NULL;
}

NOINLINE void *realloc(void *p, size_t size)
{
	char *moved = malloc(size);
	size_t old = p ? ((struct header *)p)[-1].size - sizeof(struct header) : 0;

	if (moved && p) {
		memcpy(moved, p, old < size ? old : size);
		free(p);
	}
	return moved;
}

#define SITE(name, expression)                                                                     \
	NOINLINE static void *name(size_t size)                                                    \
	{                                                                                          \
		void *p = expression;                                                              \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}

SITE(site_after, malloc(size))
SITE(site_after_calloc, calloc(1, size))
SITE(site_forking, malloc(size))
SITE(site_child, malloc(size))
SITE(site_left, malloc(size))
SITE(site_left_calloc, calloc(1, size))
SITE(site_old, malloc(size))

NOINLINE static void *site_left_realloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	KEEP(p);
	return p;
}

static sigjmp_buf back;
static volatile int may_leave, forks;
static volatile pid_t child;

static void on_inside(int signal)
{
	(void)signal;
	if (forks)
		child = (pid_t)syscall(SYS_fork);
	else
		siglongjmp(back, 1);
}

static void on_timer(int signal)
{
	(void)signal;
	if (!may_leave)
		return;
	may_leave = 0;
	siglongjmp(back, 1);
}

/* What comes after must be counted: a block that stays, one that goes. */
static void count_after(int i)
{
	static struct truth_block blocks[64];
	struct truth_block brief = {0}, *kept = &blocks[i % 64];
	void *p = kept->address;

	if (p) {
		truth_freed(kept);
		free(p);
	}
	truth_allocated(kept, truth_site("site_after", TRUTH_DIRECT), site_after(100), 100);
	truth_allocated(&brief, truth_site("site_after_calloc", TRUTH_DIRECT),
			site_after_calloc(50), 50);
	p = brief.address;
	truth_freed(&brief);
	free(p);
}

static void leave(int i)
{
	void *old = site_old(64);

	if (sigsetjmp(back, 1))
		return;
	armed = 1;
	switch (i % 4) {
	case 0:
		site_left(32);
		break;
	case 1:
		site_left_calloc(32); /* in the malloc that it calls */
		break;
	case 2:
		site_left_realloc(old, 128);
		break;
	default:
		free(old);
	}
	hurt("the call came back");
}

static timer_t start_timer(long hz)
{
	struct itimerspec spec = {.it_interval.tv_nsec = 1000000000L / hz,
				  .it_value.tv_nsec = 1000000000L / hz};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	timer_t timer;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
	    timer_settime(timer, 0, &spec, NULL) != 0)
		hurt("no timer");
	return timer;
}

/* Wherever the timer meets it: in the allocator, in front of it, behind it. */
static void race(void)
{
	if (sigsetjmp(back, 1))
		return;
	may_leave = 1;
	for (;;) {
		void *p = site_left(32);

		p = site_left_realloc(p, 64);
		free(p);
		free(site_left_calloc(32));
	}
}

static void fork_inside(void)
{
	static struct truth_block block;
	void *p = block.address;
	int status;

	if (p) {
		truth_freed(&block);
		free(p);
	}
	child = -1;
	forks = armed = 1;
	p = site_forking(40);
	if (child == 0) {
		for (int i = 0; i < 1000; i++) {
			char *q = site_child((size_t)i + 1);

			memset(q, i, (size_t)i + 1);
			free(q);
		}
		_exit(p ? 0 : 10);
	}
	forks = 0;
	truth_allocated(&block, truth_site("site_forking", TRUTH_DIRECT), p, 40);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		hurt("the child was hurt");
}

static void repeat(long n, void (*what)(int), const char *answer)
{
	for (long i = 0; i < n; i++) {
		what((int)i);
		count_after((int)i);
	}
	say("%s", answer);
}

static void leave_by_timer(int i)
{
	(void)i;
	race();
}

static void fork_once(int i)
{
	(void)i;
	fork_inside();
}

static void command(const char *line)
{
	const char *rest;
	timer_t timer;

	if ((rest = after(line, "leap"))) {
		repeat(atol(rest), leave, "left");
	} else if ((rest = after(line, "race"))) {
		timer = start_timer(2000);
		repeat(atol(rest), leave_by_timer, "left");
		timer_delete(timer);
	} else if ((rest = after(line, "fork"))) {
		repeat(atol(rest), fork_once, "forked");
	} else if (after(line, "truth")) {
		truth_say();
	} else {
		hurt("unknown command %s", line);
	}
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_inside, .sa_flags = SA_NODEFER};
	const char *line;

	sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = on_timer;
	sigaction(SIGUSR2, &action, NULL);
	say("ready");
	while ((line = hear()))
		command(line);
	return 0;
}
