// SPDX-License-Identifier: MIT
/*
 * Is hard to leave: whoever has changed its allocator finds it in there.
 *
 *	inside		waits in je_malloc				-> "inside"
 *			until the next line				-> "outside"
 *	handler		the same in a signal handler with a stack of its own, which
 *			has interrupted je_malloc and waits for a vfork child
 *	elsewhere	the same in another thread than the main one
 *	storm		is about to get the next signal, always		-> "storm"
 *			until the next line				-> "calm"
 *	gone N		N times leaves je_malloc by longjmp, on a stack that is unmapped then,
 *			and calls it with the stack below		-> "gone"
 *	work N		N calls of je_malloc and je_free		-> "worked"
 *	quit		or end of file: the end, status 0
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "talk.h"

#define PAGE 4096

static volatile sig_atomic_t waits, raises, leaves;
static jmp_buf way_out;

/* An allocator by its name, so that its calls are wrapped. */
NOINLINE void *je_malloc(size_t size)
{
	void *p = malloc(size);

	if (waits) {
		say("inside");
		hear();
	}
	if (raises)
		raise(SIGUSR1);
	if (leaves)
		longjmp(way_out, 1);
	return p;
}

NOINLINE void je_free(void *p)
{
	free(p);
}

static void allocate(long n)
{
	for (long i = 0; i < n; i++) {
		char *p = je_malloc(100);

		memset(p, (int)i, 100);
		je_free(p);
	}
}

static void inside(void)
{
	waits = 1;
	allocate(1);
	waits = 0;
	say("outside");
}

/* The child has our memory until it ends; we wait in the kernel. */
static void wait_for_vfork(int sig)
{
	pid_t child;
	char c;

	(void)sig;
	say("inside");
	child = vfork();
	if (child == 0) {
		while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
			;
		_exit(0);
	}
	if (child < 0 || waitpid(child, NULL, 0) != child)
		hurt("no child");
}

static volatile int idles;

static void *idle(void *arg)
{
	idles = 1;
	for (;;)
		pause();
	return arg;
}

static void *in_handler(void *arg)
{
	static pthread_t other;
	static char memory[16 * PAGE] __attribute__((aligned(PAGE)));
	struct sigaction action = {.sa_handler = wait_for_vfork, .sa_flags = SA_ONSTACK};
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	/* One that can make system calls for memattach meanwhile. */
	if (!other && pthread_create(&other, NULL, idle, NULL))
		hurt("no thread");
	/* It begins with all signals blocked. */
	while (!idles)
		sched_yield();
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raises = 1;
	allocate(1);
	raises = 0;
	return arg;
}

static pid_t handler_tid;

static void *in_handler_there(void *arg)
{
	handler_tid = gettid();
	return in_handler(arg);
}

static void elsewhere(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, in_handler_there, NULL) || pthread_join(thread, NULL))
		hurt("no thread");
	/* Until it is gone from /proc, too. */
	while (tgkill(getpid(), handler_tid, 0) == 0)
		sched_yield();
}

/* Blocked here, it comes as soon as this returns: nothing else of the thread ever runs. */
static void raise_again(int sig)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	free(malloc(10));
	if (poll(&in, 1, 0) <= 0)
		raise(sig);
}

static void storm(void)
{
	signal(SIGUSR1, raise_again);
	say("storm");
	raise(SIGUSR1);
	hear();
	say("calm");
}

static void leave_call(void)
{
	leaves = 1;
	je_malloc(10);
	hurt("a longjmp returned");
}

static void call_again(void)
{
	leaves = 0;
	allocate(1);
}

/*
 * The stack of the call that is left has its last few words in a page of its own, the rest of it is
 * the lower page's; so is all of the other one's.
 */
static void gone(void)
{
	char *low =
		mmap(NULL, 17 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *border = low + 16 * PAGE;
	static ucontext_t above, below, here;

	getcontext(&above);
	above.uc_stack.ss_sp = low;
	above.uc_stack.ss_size = 16 * PAGE + 512;
	makecontext(&above, leave_call, 0);
	if (setjmp(way_out) == 0)
		setcontext(&above);
	munmap(border, PAGE);
	getcontext(&below);
	below.uc_stack.ss_sp = low;
	below.uc_stack.ss_size = 16 * PAGE;
	below.uc_link = &here;
	makecontext(&below, call_again, 0);
	swapcontext(&here, &below);
	munmap(low, 16 * PAGE);
}

int main(void)
{
	const char *line, *rest;

	allocate(10);
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if (after(line, "inside")) {
			inside();
		} else if (after(line, "handler")) {
			in_handler(NULL);
			say("outside");
		} else if (after(line, "elsewhere")) {
			elsewhere();
			say("outside");
		} else if (after(line, "storm")) {
			storm();
		} else if ((rest = after(line, "gone"))) {
			for (long n = atol(rest); n > 0; n--)
				gone();
			say("gone");
		} else if ((rest = after(line, "work"))) {
			allocate(atol(rest));
			say("worked");
		} else {
			hurt("unknown command %s", line);
		}
	}
	return 0;
}
