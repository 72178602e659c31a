/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_TARGETS_UNWIND_STOP_H
#define MEMATTACH_TESTS_TARGETS_UNWIND_STOP_H

/*
 * Where a target lets itself be looked at: says so with a byte on its stdout,
 * then waits for one on its stdin. System calls without libc, so that the
 * innermost frame is the function that this is in, whatever the libc is.
 */
static inline __attribute__((always_inline)) long raw_call(long number, long a, const void *b,
							   long c)
{
	long ret = number;

	__asm__ volatile("syscall" : "+a"(ret) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

static inline __attribute__((always_inline)) void stop(void)
{
	char byte = 'R';

	raw_call(1, 1, &byte, 1);
	/* A stop may interrupt the call; end of file means that the test is gone. */
	while (raw_call(0, 0, &byte, 1) < 0)
		;
}

#define NOINLINE __attribute__((noinline, noclone))
#ifdef __clang__
#undef NOINLINE
#define NOINLINE __attribute__((noinline))
#endif

/* Keeps the call before it from becoming a jump. */
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

#endif
