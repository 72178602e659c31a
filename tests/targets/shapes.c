// SPDX-License-Identifier: MIT
/*
 * Allocates at the end of call stacks of every shape: "shape NAME" makes one
 * block through leaf_NAME, which stays live, and is answered with "ok".
 */
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <ucontext.h>
#endif

#include "talk.h"

/* Blocks are never freed. Their sizes differ, lest the compiler sees one function in all of these. */
#define LEAF(name)                                                                                 \
	NOINLINE void *leaf_##name(void)                                                           \
	{                                                                                          \
		void *p = malloc(__LINE__);                                                        \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}

/* A function that calls another and does something after it. */
#define CALL(expression)                                                                           \
	do {                                                                                       \
		void *result = (expression);                                                       \
		KEEP(result);                                                                      \
	} while (0)

LEAF(recursion)
NOINLINE void recurse(int levels)
{
	void *here = &levels;

	if (levels > 1)
		recurse(levels - 1);
	else
		CALL(leaf_recursion());
	KEEP(here);
}

static void shape_recursion(void)
{
	recurse(30);
}

LEAF(deep)
NOINLINE void dive(int levels)
{
	void *here = &levels;

	if (levels > 1)
		dive(levels - 1);
	else
		CALL(leaf_deep());
	KEEP(here);
}

static void shape_deep(void)
{
	dive(500);
}

LEAF(qsort)
static int compare(const void *a, const void *b)
{
	static int done;

	if (!done++)
		CALL(leaf_qsort());
	return *(const int *)a - *(const int *)b;
}

static void shape_qsort(void)
{
	int numbers[] = {3, 1, 2};

	qsort(numbers, 3, sizeof(int), compare);
}

LEAF(signal)
static void on_signal(int signal)
{
	(void)signal;
	CALL(leaf_signal());
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(signal, &action, NULL);
}

static void shape_signal(void)
{
	handle(SIGUSR1, on_signal, 0);
	raise(SIGUSR1);
}

LEAF(altstack)
static void on_altstack(int signal)
{
	(void)signal;
	CALL(leaf_altstack());
}

static void shape_altstack(void)
{
	static char memory[65536];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};

	sigaltstack(&stack, NULL);
	handle(SIGUSR1, on_altstack, SA_ONSTACK);
	raise(SIGUSR1);
}

/*
 * A fault at the first instruction of a function: looked up minus 1, its
 * address would belong to whatever stands before it.
 */
void fault_here(void *p);
__asm__(".text\n"
	".p2align 4\n"
	".type before_fault, @function\n"
	"before_fault: nop; nop; nop; ret\n"
	".size before_fault, . - before_fault\n"
	".globl fault_here\n"
	".type fault_here, @function\n"
	"fault_here:\n"
	".cfi_startproc\n"
	"movb $1, (%rdi)\n"
	"ret\n"
	".cfi_endproc\n"
	".size fault_here, . - fault_here\n");

static void *page;

LEAF(fault)
static void on_fault(int signal)
{
	(void)signal;
	CALL(leaf_fault());
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void shape_fault(void)
{
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	handle(SIGSEGV, on_fault, 0);
	fault_here(page);
	handle(SIGSEGV, SIG_DFL, 0);
}

LEAF(alloca)
NOINLINE void variable_frame(size_t n)
{
	char *memory = alloca(n);

	memset(memory, 1, n);
	CALL(leaf_alloca());
	KEEP(memory);
}

static void shape_alloca(void)
{
	variable_frame(100);
}

LEAF(realigned)
NOINLINE void realigned_frame(size_t n)
{
	char aligned[64] __attribute__((aligned(64)));
	char *p = aligned, *memory = alloca(n);

	KEEP(p);
	if ((size_t)p % 64)
		hurt("not aligned");
	CALL(leaf_realigned());
	KEEP(memory);
}

static void shape_realigned(void)
{
	realigned_frame(100);
}

LEAF(big_frame)
NOINLINE void big_frame(void)
{
	char big[300000];
	char *p = big;

	KEEP(p);
	CALL(leaf_big_frame());
	KEEP(p);
}

static void shape_big_frame(void)
{
	big_frame();
}

LEAF(tail)
NOINLINE void *jumps_to_leaf(void)
{
	return leaf_tail();
}

NOINLINE void calls_jumper(void)
{
	CALL(jumps_to_leaf());
}

static void shape_tail(void)
{
	calls_jumper();
}

/* malloc itself is reached by a jump. */
NOINLINE void *jumps_to_malloc(size_t n)
{
	return malloc(n);
}

NOINLINE void leaf_malloc_tail(void)
{
	CALL(jumps_to_malloc(100));
}

static void shape_malloc_tail(void)
{
	leaf_malloc_tail();
}

/* Arguments on the stack move the stack pointer while the call is prepared. */
LEAF(pushed)
NOINLINE long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, void *p)
{
	KEEP(p);
	CALL(leaf_pushed());
	KEEP(p);
	return a + b + c + d + e + f + g + h + i;
}

NOINLINE long pushes(long n)
{
	return many(n, n, n, n, n, n, n + 1, n + 2, n + 3, &n) + 1;
}

static void shape_pushed(void)
{
	pushes(4);
}

LEAF(longjmp)
static jmp_buf jump;
NOINLINE void jumps_back(void)
{
	longjmp(jump, 1);
}

NOINLINE void jump_target(void)
{
	if (setjmp(jump) == 0)
		jumps_back();
	CALL(leaf_longjmp());
}

static void shape_longjmp(void)
{
	jump_target();
}

/* No unwind information, but a frame pointer. */
LEAF(nocfi)
void nocfi_frame(void *(*leaf)(void));
__asm__(".text\n"
	".globl nocfi_frame\n"
	".type nocfi_frame, @function\n"
	"nocfi_frame:\n"
	"push %rbp\n"
	"mov %rsp, %rbp\n"
	"call *%rdi\n"
	"pop %rbp\n"
	"ret\n"
	".size nocfi_frame, . - nocfi_frame\n");

static void shape_nocfi(void)
{
	void *here = &here;

	nocfi_frame(leaf_nocfi);
	KEEP(here);
}

/* The same in memory that belongs to no file, as a JIT compiler makes it. */
LEAF(jit)
static void shape_jit(void)
{
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(memory, code, sizeof(code));
	((void (*)(void *(*)(void)))memory)(leaf_jit);
	KEEP(memory);
}

LEAF(thread)
static void *thread_main(void *arg)
{
	CALL(leaf_thread());
	return arg;
}

static void shape_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);
}

#ifdef __GLIBC__
LEAF(context)
static ucontext_t back;
NOINLINE void in_context(void)
{
	CALL(leaf_context());
}

static void context_main(void)
{
	void *here = &back;

	in_context();
	KEEP(here);
}

static void shape_context(void)
{
	static char memory[65536];
	ucontext_t context;

	getcontext(&context);
	context.uc_stack.ss_sp = memory;
	context.uc_stack.ss_size = sizeof(memory);
	context.uc_link = &back;
	makecontext(&context, context_main, 0);
	swapcontext(&back, &context);
}
#endif

static const struct shape {
	const char *name;
	void (*make)(void);
} shapes[] = {
	{"recursion", shape_recursion},
	{"deep", shape_deep},
	{"qsort", shape_qsort},
	{"signal", shape_signal},
	{"altstack", shape_altstack},
	{"fault", shape_fault},
	{"alloca", shape_alloca},
	{"realigned", shape_realigned},
	{"big_frame", shape_big_frame},
	{"tail", shape_tail},
	{"malloc_tail", shape_malloc_tail},
	{"pushed", shape_pushed},
	{"longjmp", shape_longjmp},
	{"nocfi", shape_nocfi},
	{"jit", shape_jit},
	{"thread", shape_thread},
#ifdef __GLIBC__
	{"context", shape_context},
#endif
};

int main(void)
{
	const char *line, *name;

	say("ready");
	while ((line = hear())) {
		name = after(line, "shape");
		for (size_t i = 0; name && i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			if (strcmp(shapes[i].name, name) == 0) {
				shapes[i].make();
				break;
			}
		}
		say("ok");
	}
	return 0;
}
