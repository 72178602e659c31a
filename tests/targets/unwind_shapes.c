// SPDX-License-Identifier: MIT
/*
 * Call chains of every shape, one per name in argv[1]. Built in many ways
 * (tests/unwind.mk): what is on the stack must be found in each of them.
 */
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unwind_stop.h"

static volatile int zero;

NOINLINE void stop_here(void)
{
	stop();
}

NOINLINE int recurse(int n)
{
	volatile char pad[24];
	int ret;

	pad[0] = (char)n;
	if (n == 1)
		stop_here();
	ret = n > 1 ? recurse(n - 1) + pad[0] : 0;
	NO_TAIL_CALL();
	return ret;
}

NOINLINE static void shape_recursion(void)
{
	zero += recurse(30);
	NO_TAIL_CALL();
}

NOINLINE static void shape_deep(void)
{
	zero += recurse(2000);
	NO_TAIL_CALL();
}

NOINLINE int compare(const void *a, const void *b)
{
	stop_here();
	return *(const int *)a - *(const int *)b;
}

NOINLINE static void shape_qsort(void)
{
	int numbers[] = {2, 1};

	qsort(numbers, 2, sizeof(numbers[0]), compare);
	NO_TAIL_CALL();
}

NOINLINE void handler(int signo)
{
	zero += signo;
	stop_here();
	NO_TAIL_CALL();
}

NOINLINE void faulting(void)
{
	*(volatile int *)(uintptr_t)(8 + zero) = 1;
	NO_TAIL_CALL();
}

NOINLINE static void shape_signal(void)
{
	struct sigaction action = {.sa_handler = handler};

	sigaction(SIGSEGV, &action, NULL);
	faulting();
	NO_TAIL_CALL();
}

NOINLINE static void shape_altstack(void)
{
	static char stack[65536];
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
	sigaction(SIGSEGV, &action, NULL);
	faulting();
	NO_TAIL_CALL();
}

NOINLINE void variable(size_t n)
{
	char array[n];
	char *more = alloca(n * 3);

	memset(array, 1, n);
	memset(more, 1, n * 3);
	__asm__ volatile("" ::"r"(array), "r"(more) : "memory");
	stop_here();
	NO_TAIL_CALL();
}

NOINLINE static void shape_alloca(void)
{
	variable(1000 + (size_t)zero);
	NO_TAIL_CALL();
}

NOINLINE void aligned_locals(int n)
{
	char block[256] __attribute__((aligned(64)));
	char *more = alloca((size_t)n);

	__asm__ volatile("" ::"r"(block), "r"(more) : "memory");
	stop_here();
	NO_TAIL_CALL();
}

__attribute__((force_align_arg_pointer)) NOINLINE void realigned(int n)
{
	aligned_locals(n);
	NO_TAIL_CALL();
}

NOINLINE static void shape_realigned(void)
{
	realigned(100 + zero);
	NO_TAIL_CALL();
}

NOINLINE void big_frame(void)
{
	char block[300000];

	__asm__ volatile("" ::"r"(block) : "memory");
	stop_here();
	NO_TAIL_CALL();
}

NOINLINE static void shape_big(void)
{
	big_frame();
	NO_TAIL_CALL();
}

NOINLINE void jumped_to(void)
{
	stop_here();
	NO_TAIL_CALL();
}

NOINLINE void jumps(void)
{
	__asm__ volatile("");
	jumped_to(); /* at -O2 a jump: this frame is gone */
}

NOINLINE static void shape_tail(void)
{
	jumps();
	NO_TAIL_CALL();
}

static void *worker(void *arg)
{
	stop_here();
	NO_TAIL_CALL();
	return arg;
}

NOINLINE static void shape_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, worker, NULL);
	pthread_join(thread, NULL);
}

NOINLINE void steps(void)
{
	/* A function of libc that nobody called before: bound lazily, through the PLT. */
	zero += (int)strtoul("0", NULL, 10);
	stop_here();
	NO_TAIL_CALL();
}

NOINLINE static void shape_steps(void)
{
	stop_here();
	steps();
	NO_TAIL_CALL();
}

/* Code that no module has: calls the function in rdi, or that with the argument in rsi. */
static void *make_code(const unsigned char *code, size_t len)
{
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, code, len);
	return page;
}

NOINLINE static void shape_jit(void)
{
	/* push %rbp; mov %rsp, %rbp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax; pop %rbp; ret */
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8,
					     0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
	void (*outer)(void *, void *), *inner = make_code(code, sizeof(code));

	outer = (void (*)(void *, void *))make_code(code, sizeof(code));
	outer(inner, stop_here);
	NO_TAIL_CALL();
}

NOINLINE static void shape_jit_frameless(void)
{
	/* push %rbp; mov $0x12345678, %ebp; call *%rdi; pop %rbp; ret */
	static const unsigned char code[] = {0x55, 0xbd, 0x78, 0x56, 0x34,
					     0x12, 0xff, 0xd7, 0x5d, 0xc3};
	void (*call)(void (*)(void)) = (void (*)(void (*)(void)))make_code(code, sizeof(code));

	call(stop_here);
	NO_TAIL_CALL();
}

/* Code with a frame pointer, called by code that uses rbp for something else. */
NOINLINE static void shape_jit_lost(void)
{
	/* push %rbp; mov $0x12345678, %ebp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax; ... */
	static const unsigned char outer_code[] = {0x55, 0xbd, 0x78, 0x56, 0x34, 0x12, 0x48, 0x89,
						   0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
	/* push %rbp; mov %rsp, %rbp; call *%rdi; pop %rbp; ret */
	static const unsigned char inner_code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
	void (*outer)(void *, void *) =
		(void (*)(void *, void *))make_code(outer_code, sizeof(outer_code));

	outer(make_code(inner_code, sizeof(inner_code)), stop_here);
	NO_TAIL_CALL();
}

static const struct {
	const char *name;
	void (*run)(void);
} shapes[] = {
	{"recursion", shape_recursion},
	{"deep", shape_deep},
	{"qsort", shape_qsort},
	{"signal", shape_signal},
	{"altstack", shape_altstack},
	{"alloca", shape_alloca},
	{"realigned", shape_realigned},
	{"big", shape_big},
	{"tail", shape_tail},
	{"thread", shape_thread},
	{"steps", shape_steps},
	{"jit", shape_jit},
	{"jit_frameless", shape_jit_frameless},
	{"jit_lost", shape_jit_lost},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!strcmp(argv[1], shapes[i].name)) {
			shapes[i].run();
			return 0;
		}
	}
	return 2;
}
