/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_TARGETS_ENGINE_H
#define MEMATTACH_TESTS_TARGETS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "truth.h"

/*
 * The engine of the targets that check exactness: worker threads that allocate,
 * resize and free at random through the call sites of a table, in slots of
 * their own and in shared ones, so that blocks are also freed by other threads
 * than those that made them. It keeps the truth, and checks that blocks hold
 * what was written to them.
 */
#ifdef __cplusplus
extern "C" {
#endif

/* One way to allocate: a call site, in two sets that differ only in the site's name. */
struct kind {
	const char *names[2]; /* of the site functions */
	enum truth_kind truth;
	/* Allocates about size bytes; *asked is what exactly was asked of the allocator. */
	void *(*allocate[2])(size_t size, size_t *asked);
	/* realloc-like, may be NULL; used for blocks of any kind with the same release. */
	void *(*resize[2])(void *p, size_t size, size_t *asked);
	/* How to free a block of this kind; NULL: free(). */
	void (*release)(void *p, size_t asked);
	bool fails; /* returns NULL for a size that cannot be had */
};

/* The table, ended by an entry without a name; it belongs to the target. */
extern const struct kind engine_kinds[];

/* Every size above it is one that no allocator can give. */
#define ENGINE_HUGE ((size_t)1 << 62)

/* Further commands of the target: answers and returns true if it knows the line. May be missing. */
bool engine_command(const char *line) __attribute__((weak));

/*
 * Runs argv[1] worker threads (default 1) with all kinds but those whose site
 * names begin with a further argument, at the commands of the test, one a line:
 *
 *	run N	each worker does N operations		-> "done"
 *	start	the workers run until "stop"		-> "started"
 *	stop	all workers stand still			-> "stopped"
 *	set K	call sites of set K, 0 or 1, from now on -> "set"
 *	progress N  until each running worker did N more -> "progressed"
 *	churn on, churn off  threads come and go, 100 a second -> "churned THREADS"
 *	lives N	until N threads have come -> "lived"
 *	timer HZ  each worker gets signals at that rate, 0: no more -> "timer TICKS"
 *	drain	all blocks are freed			-> "drained"
 *	epoch	truth_epoch				-> "epoch"
 *	truth	truth_say
 *	leave	the main thread ends, the process not	-> "left"
 *	quit	or end of file: returns 0
 */
int engine_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
