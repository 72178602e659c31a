/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_TARGETS_TALK_H
#define MEMATTACH_TESTS_TARGETS_TALK_H

/*
 * How a target talks to the test that started it: lines on stdin and stdout,
 * with read(2) and write(2) only, since stdio would allocate behind the back of
 * a target that counts its allocations.
 */
#ifdef __cplusplus
extern "C" {
#endif

/* One function is one call site: not merged with its like, either. */
#define NOINLINE __attribute__((noinline, noclone, no_icf, used))

/* In C++ built by g++ and in what clang builds the others are unknown. */
#ifdef __clang__
#undef NOINLINE
#define NOINLINE __attribute__((noinline, used))
#endif

/* Keeps the call before it from becoming a tail call, and p from being optimised away. */
#define KEEP(p) __asm__ volatile("" : "+r"(p) : : "memory")

/* Writes one line to stdout; the newline is added. The text may be up to 500 bytes. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The next line of stdin without its newline, in a static buffer; NULL at its
 * end: the test is gone, so the target ends.
 */
const char *hear(void);

/* Ends the process with status 99 and a message: the target was hurt. */
void hurt(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* If line begins with word: what follows it and one space; else NULL. */
const char *after(const char *line, const char *word);

#ifdef __cplusplus
}
#endif

#endif
