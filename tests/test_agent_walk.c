// SPDX-License-Identifier: MIT
/*
 * The agent's walker in this process, on stacks of all shapes: it has to find what
 * memattach's own walker finds there (unwind/table_unwinder.c), and to send each
 * stack once.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "agent/send.h"
#include "tests/agent_host.h"
#include "tests/agent_probe.h"
#include "tests/suites.h"

#define NOINLINE       __attribute__((noinline))
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

static struct host host;
#define ANY_END 9U

static unsigned calls, expected_end, ends;
static u32 least; /* frames that there have to be */

static void print_stack(const char *who, const u64 *pcs, u32 n, unsigned end)
{
	fprintf(stderr, "%s: %u frames, end %u\n", who, n, end);
	for (u32 i = 0; i < n; i++) {
		Dl_info info = {0};

		dladdr((void *)pcs[i], &info);
		fprintf(stderr, "   %lx %s\n", pcs[i], info.dli_sname ? info.dli_sname : "?");
	}
}

/* Walks twice: the frames of the first walk are those of the reference, the second sends none. */
static void compare(u64 sp, u64 bp)
{
	struct channel_thread *thread = &host.threads[1];
	u64 pcs[CHANNEL_DEPTH_MAX], hash, sent, again;
	struct host_stack expected;
	unsigned end = 9;
	int n;

	calls++;
	stand_in.n = 0;
	hash = host_walk(host.channel, thread, sp, bp);
	host_reference(&host, &expected, sp, bp);
	if (stand_in.n) {
		n = stand_in_stack(0, pcs, CHANNEL_DEPTH_MAX, &end, &sent);
		if (n != (int)expected.n - 1 || end != expected.end ||
		    memcmp(pcs, expected.pcs + 1, (u32)n * sizeof(pcs[0])) != 0) {
			print_stack("expected", expected.pcs + 1, expected.n - 1, expected.end);
			print_stack("found", pcs, n < 0 ? 0 : (u32)n, end);
			ck_abort_msg("stacks differ");
		}
		ck_assert(end == expected_end || expected_end == ANY_END);
		ends |= 1U << end;
		ck_assert_uint_ge((u32)n, least);
		ck_assert_uint_eq(sent, hash);
	}
	ck_assert(agent_known_find(host.channel, hash));
	stand_in.n = 0;
	again = host_walk(host.channel, thread, sp, bp);
	ck_assert_uint_eq(again, hash);
	ck_assert_uint_eq(stand_in.n, 0);
}

static void setup(void)
{
	host_open(&host);
	agent_hook = compare;
	expected_end = UNWIND_OUTERMOST;
	calls = 0;
	least = 3;
}

static void teardown(void)
{
	host_close(&host);
}

static volatile int zero;

NOINLINE static int recurse(int n)
{
	volatile char pad[24];
	int ret = 0;

	pad[0] = (char)n;
	if (n > 1)
		ret = recurse(n - 1) + pad[0];
	else
		agent_probe();
	NO_TAIL_CALL();
	return ret;
}

START_TEST(recursion)
{
	for (int n = 1; n < 40; n++) {
		least = (u32)n;
		zero += recurse(n);
	}
	ck_assert_uint_eq(calls, 39);
}
END_TEST

START_TEST(deep)
{
	expected_end = UNWIND_DEPTH;
	least = 64;
	zero += recurse(65);
	zero += recurse(200);
	host.channel->depth = 5;
	least = 5;
	zero += recurse(6);
	host.channel->depth = CHANNEL_DEPTH_MAX - 1;
	least = CHANNEL_DEPTH_MAX - 1;
	zero += recurse(1000);
}
END_TEST

/* Also where the stack ends just at, before or behind the depth. */
START_TEST(every_depth)
{
	expected_end = ANY_END;
	least = 0;
	for (u32 depth = 1; depth < 60; depth++) {
		host.channel->depth = depth;
		zero += recurse(10);
	}
	ck_assert_uint_eq(ends, 1U << UNWIND_OUTERMOST | 1U << UNWIND_DEPTH);
}
END_TEST

NOINLINE static void variable(size_t n)
{
	char array[n];
	char *more = alloca(n * 3);

	memset(array, 1, n);
	memset(more, 1, n * 3);
	__asm__ volatile("" ::"r"(array), "r"(more) : "memory");
	agent_probe();
	NO_TAIL_CALL();
}

NOINLINE static void aligned_locals(int n)
{
	char block[256] __attribute__((aligned(64)));
	char *more = alloca((size_t)n);

	__asm__ volatile("" ::"r"(block), "r"(more) : "memory");
	agent_probe();
	NO_TAIL_CALL();
}

__attribute__((force_align_arg_pointer)) NOINLINE static void realigned(int n)
{
	aligned_locals(n);
	NO_TAIL_CALL();
}

NOINLINE static void big_frame(void)
{
	char block[3000000];

	__asm__ volatile("" ::"r"(block) : "memory");
	agent_probe();
	NO_TAIL_CALL();
}

START_TEST(frames_by_rbp)
{
	variable(1000);
	variable(24);
	realigned(100);
	ck_assert_uint_eq(calls, 3);
}
END_TEST

/* An offset that the cache has no room for. */
START_TEST(big_frames)
{
	big_frame();
	big_frame();
	ck_assert_uint_eq(calls, 2);
}
END_TEST

NOINLINE static int compare_ints(const void *a, const void *b)
{
	agent_probe();
	return *(const int *)a - *(const int *)b;
}

START_TEST(through_libc)
{
	int numbers[] = {2, 1, 3};

	qsort(numbers, 3, sizeof(numbers[0]), compare_ints);
	ck_assert_uint_ge(calls, 2);
}
END_TEST

START_TEST(cpp)
{
	char path[600];
	void *library;
	void (*run)(void (*)(void));
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	ck_assert_int_gt(n, 0);
	path[n] = '\0';
	strcpy(strrchr(path, '/'), "/targets/agent_walk_cpp.so");
	library = dlopen(path, RTLD_NOW);
	ck_assert_msg(library != NULL, "%s", dlerror());
	*(void **)&run = dlsym(library, "agent_walk_cpp");
	ck_assert_ptr_nonnull(*(void **)&run);
	host_update(&host);
	run(agent_probe);
	/* Comparisons, the destructor while the stack is unwound, the handler. */
	ck_assert_uint_ge(calls, 4);
	dlclose(library);
}
END_TEST

NOINLINE static void handler(int signo)
{
	zero += signo;
	agent_probe();
	NO_TAIL_CALL();
}

NOINLINE static void raise_it(void)
{
	/* Exactly here, whatever libc's raise does. */
	__asm__ volatile("ud2" ::: "memory");
	NO_TAIL_CALL();
}

static void skip_ud2(int signo, siginfo_t *info, void *context)
{
	(void)info;
	handler(signo);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

START_TEST(signal_on_the_same_stack)
{
	struct sigaction action = {.sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO};

	sigaction(SIGILL, &action, NULL);
	raise_it();
	ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(signal_on_another_stack)
{
	struct sigaction action = {.sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	size_t size = 65536;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(stack != MAP_FAILED);
	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = size}, NULL);
	sigaction(SIGILL, &action, NULL);
	agent_probe();
	stand_in.asked = 0;
	raise_it();
	ck_assert_uint_eq(calls, 2);
	ck_assert_uint_ge(stand_in.asked, 1);
	stand_in.asked = 0;
	raise_it();
	ck_assert_uint_eq(stand_in.asked, 0);
}
END_TEST

static void *thread_main(void *arg)
{
	variable(100);
	zero += recurse(20);
	return arg;
}

START_TEST(small_thread_stack)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
#ifdef __SANITIZE_ADDRESS__
	pthread_attr_setstacksize(&attr, 1 << 20);
#else
	pthread_attr_setstacksize(&attr, 65536);
#endif
	ck_assert_int_eq(pthread_create(&thread, &attr, thread_main, NULL), 0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(calls, 2);
}
END_TEST

/* Code that no module has: calls the function in rdi, or that with the argument in rsi. */
static void *make_code(const unsigned char *code, size_t len)
{
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, code, len);
	return page;
}

/* push %rbp; mov %rsp, %rbp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax; pop %rbp; ret */
static const unsigned char framed[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8,
				       0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};

NOINLINE static void call_jit(void *outer, void *inner, void *function)
{
	((void (*)(void *, void *))outer)(inner, function);
	NO_TAIL_CALL();
}

START_TEST(jit)
{
	void *inner = make_code(framed, sizeof(framed)), *outer;

	outer = make_code(framed, sizeof(framed));
	call_jit(outer, inner, agent_probe);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

/* Guessed frames below code that uses rbp for something else do not count. */
START_TEST(jit_lost)
{
	/* push %rbp; mov $0x12345678, %ebp; mov %rdi, %rax; mov %rsi, %rdi; call *%rax; ... */
	static const unsigned char frameless[] = {0x55, 0xbd, 0x78, 0x56, 0x34, 0x12, 0x48, 0x89,
						  0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};

	expected_end = UNWIND_LOST;
	least = 1;
	call_jit(make_code(frameless, sizeof(frameless)), make_code(framed, sizeof(framed)),
		 agent_probe);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

/* A function of the program, but as far as the tables say it is the agent's. */
static void forget_ours(u64 sp, u64 bp)
{
	enum agent_nesting nesting;
	u64 hash;

	nesting = agent_nesting(host.channel, &host.threads[1], sp, bp);
	ck_assert_int_eq(nesting, (int)least);
	hash = host_walk(host.channel, &host.threads[1], sp, bp);
	ck_assert(agent_known_find(host.channel, hash));
	calls++;
}

START_TEST(nesting)
{
	struct sigaction action = {.sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO};
	/* call_jit's code: push %rbp is behind, rsp + 16. */
	struct unwind_row row = {0, unwind_rule(UNWIND_OURS, 2, 16)};
	struct unwind_rows rows = {&row, 1, 0};
	unsigned char *ours = make_code(framed, sizeof(framed));

	agent_hook = forget_ours;
	least = AGENT_OUTERMOST;
	agent_probe();
	rows.base = (u64)ours;
	ck_assert_int_eq(tables_add(host.tables, 999, rows.base, rows.base + 4096, &rows, NULL), 0);
	ck_assert_int_eq(
		unwinder_add_rows(host.reference, 999, rows.base, rows.base + 4096, &rows, NULL),
		0);
	tables_publish(host.tables);
	least = AGENT_NESTED;
	call_jit(ours, agent_probe, NULL);
	sigaction(SIGILL, &action, NULL);
	least = AGENT_NOT_NESTED;
	call_jit(ours, raise_it, NULL);
	least = AGENT_OUTERMOST;
	zero += recurse(40);
	least = AGENT_UNKNOWN;
	zero += recurse(300);
	ck_assert_uint_eq(calls, 5);
	/* Walked through, and left out. */
	agent_hook = compare;
	least = 3;
	call_jit(ours, agent_probe, NULL);
	call_jit(ours, raise_it, NULL);
}
END_TEST

static u64 hook_sp, hook_bp;

static void keep_registers(u64 sp, u64 bp)
{
	u64 hash, value, lost;

	hook_sp = sp;
	hook_bp = bp;
	/* No room: nothing is remembered as known. */
	stand_in.limit = 2;
	stand_in.n = 0;
	hash = host_walk(host.channel, &host.threads[1], sp, bp);
	ck_assert(!agent_known_find(host.channel, hash));
	ck_assert_uint_gt(host.channel->lost[CHANNEL_LOSS_STACK], 0);
	stand_in.limit = STAND_IN_RECORDS;
	stand_in.n = 0;
	ck_assert_uint_eq(host_walk(host.channel, &host.threads[1], sp, bp), hash);
	ck_assert(agent_known_find(host.channel, hash));
	ck_assert_uint_gt(stand_in.n, 2);
	/* Another generation, another seed: the same frames, another hash. */
	tables_remove(host.tables, 1);
	tables_publish(host.tables);
	stand_in.n = 0;
	ck_assert_uint_ne(host_walk(host.channel, &host.threads[1], sp, bp), hash);
	ck_assert_uint_gt(stand_in.n, 2);
	/* Nobody answers: the stack cannot be read. */
	stand_in.mute = 1;
	host.threads[1].stack = 0;
	memset((char *)host.channel + host.channel->ranges, 0, CHANNEL_RANGES * 8);
	stand_in.asked = 0;
	host_walk(host.channel, &host.threads[1], sp, bp);
	host_walk(host.channel, &host.threads[1], sp, bp);
	ck_assert_uint_eq(stand_in.asked, 1);
	ck_assert_int_eq(agent_read(host.channel, &host.threads[1], sp, &value), 0);
	stand_in.mute = 0;
	memset((char *)host.channel + host.channel->ranges, 0, CHANNEL_RANGES * 8);
	ck_assert_int_eq(agent_read(host.channel, &host.threads[1], sp, &value), 1);
	ck_assert_uint_eq(value, *(u64 *)sp);
	/* While modules change there are no stacks. */
	host.channel->generation++;
	lost = host.channel->lost[CHANNEL_LOSS_STACK];
	host_walk(host.channel, &host.threads[1], sp, bp);
	ck_assert_uint_eq(host.channel->lost[CHANNEL_LOSS_STACK], lost + 1);
	calls++;
}

START_TEST(losses)
{
	agent_hook = keep_registers;
	agent_probe();
	ck_assert_uint_eq(calls, 1);
}
END_TEST

Suite *agent_walk_suite(void)
{
	Suite *s = suite_create("agent_walk");
	TCase *tc = tcase_create("shapes");

	tcase_set_timeout(tc, 20);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, recursion);
	tcase_add_test(tc, deep);
	tcase_add_test(tc, every_depth);
	tcase_add_test(tc, frames_by_rbp);
	tcase_add_test(tc, big_frames);
	tcase_add_test(tc, through_libc);
	tcase_add_test(tc, cpp);
	tcase_add_test(tc, signal_on_the_same_stack);
	tcase_add_test(tc, signal_on_another_stack);
	tcase_add_test(tc, small_thread_stack);
	tcase_add_test(tc, jit);
	tcase_add_test(tc, jit_lost);
	tcase_add_test(tc, nesting);
	tcase_add_test(tc, losses);
	suite_add_tcase(s, tc);
	return s;
}
