/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_BACKGROUND_H
#define MEMATTACH_SESSION_BACKGROUND_H

#include <pthread.h>

#include "base/types.h"

/*
 * How a thread is scheduled that should not be in anybody's way: it takes the time of the
 * CPUs that nobody else wants (SCHED_IDLE), until another thread of ours sees that it
 * falls behind, or waits for it; then it has its share until it has caught up, as any
 * other. Only if that is not enough it goes before others (nice -10, where permitted): threads
 * of the target are about to wait for it then.
 */
struct background {
	pthread_mutex_t lock; /* of what follows; never held by the thread itself */
	pthread_t thread;
	bool active; /* if not, it is scheduled as it was, and stays so */
	bool raised;
	bool preferred; /* and raised */
	bool ended;
	pid_t tid;
	int nice; /* of the thread, if nobody prefers it */
};

void background_init(struct background *background);

/*
 * Another thread, with that number, is in the background from now on, unless the kernel would
 * not let it come back from there, or we run under a policy that somebody has chosen for us.
 */
void background_begin(struct background *background, pthread_t thread, pid_t tid);

/* It falls behind, or somebody waits for it. */
void background_raise(struct background *background);

/* It has fallen so far behind that the target is about to wait for it. */
void background_prefer(struct background *background);

/* It has caught up: it goes back. */
void background_lower(struct background *background);

/* It is to end: it is scheduled as it was, for good. */
void background_end(struct background *background);

/* As pthread_create, with no more of a stack than a few calls need. 0 or an error number. */
int background_start_small(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
