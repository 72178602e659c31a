// SPDX-License-Identifier: MIT
/*
 * Threads in user mode that never leave it, with something to lose in every
 * general register, every vector register, the flags and the red zone; they
 * compare all of it, again and again, and their signal mask now and then.
 *
 *	progress N	until each thread did N more rounds	-> "progressed"
 *	signals N	until N SIGUSR1 in all were handled	-> "signals N"; more than N is an error
 *	tids		-> "tids FIRST ..."
 *	quit		or end of file: it must still be right, then it ends with status 0
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define THREADS_MAX 32

struct spinner {
	volatile unsigned long rounds;
	pid_t tid;
	pthread_t thread;
};

static struct spinner spinners[THREADS_MAX];
static int n_spinners = 1;
static volatile long handled;

uint64_t spin_pattern[64]
	__attribute__((aligned(64), used)); /* one general register each, then vectors */
int spin_avx __attribute__((used));

/* Returns 0, or the number of what has changed. rdi: how many turns. */
int spin_round(long turns);

#define LOAD(reg, n)  "mov spin_pattern+8*" #n "(%rip), %" #reg "\n"
#define CHECK(reg, n) "cmp spin_pattern+8*" #n "(%rip), %" #reg "; jne 9f\n"
#define XMM(op)                                                                                    \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13)    \
		op(14) op(15)
#define LOAD_X(n)  "movdqa spin_pattern+128+16*" #n "(%rip), %xmm" #n "\n"
#define CHECK_X(n) "pxor spin_pattern+128+16*" #n "(%rip), %xmm" #n "\n"
#define LOAD_Y(n)  "vmovdqu spin_pattern+128+8*" #n "(%rip), %ymm" #n "\n"
#define CHECK_Y(n) "vpxor spin_pattern+128+8*" #n "(%rip), %ymm" #n ", %ymm" #n "\n"
#define OR_X(n)    "por %xmm" #n ", %xmm0\n"
#define OR_Y(n)    "vpor %ymm" #n ", %ymm0, %ymm0\n"

__asm__("	.text\n"
	"spin_round:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rdi, -8(%rsp)\n"
	"	mov spin_pattern(%rip), %rax\n"
	"	mov %rax, -64(%rsp); mov %rax, -128(%rsp)\n"
	"	fldpi\n"
	"	cmpl $0, spin_avx(%rip); je 1f\n" XMM(
		LOAD_Y) "	jmp 2f\n"
			"1:	\n" XMM(LOAD_X) "2:	\n" LOAD(rax, 0) LOAD(rbx, 1) LOAD(
				rcx,
				2) LOAD(rdx,
					3) LOAD(rsi,
						4) LOAD(rdi,
							5) LOAD(rbp,
								6) LOAD(r8, 8) LOAD(r9, 9) LOAD(r10,
												10)
				LOAD(r11, 11) LOAD(r12, 12) LOAD(r13, 13) LOAD(r14, 14) LOAD(
					r15,
					15) "	stc\n"
					    "3:	decq -8(%rsp); jnz 3b\n" /* dec leaves the carry flag alone */
					    "	jnc 9f\n" CHECK(rax, 0) CHECK(rbx, 1) CHECK(
						    rcx, 2) CHECK(rdx,
								  3) CHECK(rsi,
									   4) CHECK(rdi,
										    5) CHECK(rbp, 6)
						    CHECK(r8, 8) CHECK(r9, 9) CHECK(r10, 10) CHECK(
							    r11, 11) CHECK(r12,
									   12) CHECK(r13,
										     13) CHECK(r14,
											       14)
							    CHECK(r15,
								  15) "	cmp %rax, -64(%rsp); jne 8f\n"
								      "	cmp %rax, -128(%rsp); jne 8f\n"
								      "	fldpi; fcomip %st(1), %st; jne 7f; jp 7f\n"
								      "	cmpl $0, spin_avx(%rip); je 4f\n" XMM(
									      CHECK_Y)
									      XMM(OR_Y) "	vptest %ymm0, %ymm0; vzeroupper; jnz 6f; jmp 5f\n"
											"4:	\n" XMM(CHECK_X) XMM(
												OR_X) "	movq %xmm0, %rax; test %rax, %rax; jnz 6f\n"
												      "	psrldq $8, %xmm0; movq %xmm0, %rax; test %rax, %rax; jnz 6f\n"
												      "5:	xor %eax, %eax; jmp 99f\n"
												      "6:	mov $6, %eax; jmp 99f\n"
												      "7:	mov $7, %eax; jmp 99f\n"
												      "8:	mov $8, %eax; jmp 99f\n"
												      "9:	mov $9, %eax\n"
												      "99:	fstp %st(0)\n"
												      "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
												      "	ret\n");

static void on_signal(int signal)
{
	(void)signal;
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void check_mask(void)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int sig = 1; sig < 32; sig++)
		if (sigismember(&mask, sig) != (sig == SIGUSR2))
			hurt("the signal mask has changed: signal %d", sig);
}

static void *spin(void *arg)
{
	struct spinner *spinner = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	spinner->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		int changed = spin_round(2000);

		if (changed)
			hurt("registers have changed: %d (6 vector, 7 x87, 8 red zone, 9 general)",
			     changed);
		if (spinner->rounds % 64 == 0)
			check_mask();
		spinner->rounds++;
	}
	return NULL;
}

static void progress(unsigned long n)
{
	struct timespec pause = {.tv_nsec = 500000};

	for (int i = 0; i < n_spinners; i++) {
		unsigned long from = spinners[i].rounds;

		while (spinners[i].rounds - from < n)
			nanosleep(&pause, NULL);
	}
}

static void signals(long n)
{
	struct timespec pause = {.tv_nsec = 500000};

	while (handled < n)
		nanosleep(&pause, NULL);
	progress(2);
	say("signals %ld", handled);
}

static void tids(void)
{
	char text[400];
	int n = 0;

	for (int i = 0; i < n_spinners; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %d", (int)spinners[i].tid);
	say("tids%s", text);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	const char *line, *rest;

	if (argc > 1)
		n_spinners = atoi(argv[1]);
	spin_avx = __builtin_cpu_supports("avx");
	for (size_t i = 0; i < sizeof(spin_pattern) / sizeof(spin_pattern[0]); i++)
		spin_pattern[i] = 0x9e3779b97f4a7c15ULL * (i + 1);
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < n_spinners; i++)
		if (pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]) != 0)
			hurt("no thread");
	progress(1);
	say("ready");
	while ((line = hear())) {
		if ((rest = after(line, "progress"))) {
			progress(strtoul(rest, NULL, 10));
			say("progressed");
		} else if ((rest = after(line, "signals"))) {
			signals(strtol(rest, NULL, 10));
		} else if (after(line, "tids")) {
			tids();
		}
	}
	progress(2);
	return 0;
}
