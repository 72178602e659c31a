// SPDX-License-Identifier: MIT
#include "session_background.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

/* By so much it goes before others: threads that wait for it take a CPU's time for that. */
#define PREFERENCE 10

#define SMALL_STACK (256UL << 10)

static bool set_policy(pthread_t thread, int policy)
{
	const struct sched_param none = {0};

	return pthread_setschedparam(thread, policy, &none) == 0;
}

int background_start_small(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	pthread_attr_t attributes;
	int ret = pthread_attr_init(&attributes);

	if (ret)
		return ret;
	ret = pthread_attr_setstacksize(&attributes, SMALL_STACK);
	if (!ret)
		ret = pthread_create(thread, &attributes, run, arg);
	pthread_attr_destroy(&attributes);
	return ret;
}

/* In a thread of its own, which may have to stay where it has gone. */
static void *try_the_way_back(void *arg)
{
	bool *possible = arg;

	*possible = sched_getscheduler(0) == SCHED_OTHER &&
		    set_policy(pthread_self(), SCHED_IDLE) &&
		    set_policy(pthread_self(), SCHED_OTHER);
	return NULL;
}

static bool can_come_back(void)
{
	bool possible = false;
	pthread_t thread;

	return background_start_small(&thread, try_the_way_back, &possible) == 0 &&
	       pthread_join(thread, NULL) == 0 && possible;
}

void background_init(struct background *b)
{
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
}

/* Nobody has made us nicer than others, or else we stay so. */
static bool may_prefer(struct background *b)
{
	errno = 0;
	b->nice = getpriority(PRIO_PROCESS, (id_t)b->tid);
	return !errno && b->nice <= 0;
}

void background_begin(struct background *b, pthread_t thread, pid_t tid)
{
	bool possible = can_come_back();

	pthread_mutex_lock(&b->lock);
	b->thread = thread;
	b->tid = tid;
	b->raised = b->preferred = false;
	b->active = possible && !b->ended && set_policy(thread, SCHED_IDLE);
	pthread_mutex_unlock(&b->lock);
}

static void raise_now(struct background *b)
{
	if (!b->raised)
		b->raised = set_policy(b->thread, SCHED_OTHER);
}

void background_raise(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->active)
		raise_now(b);
	pthread_mutex_unlock(&b->lock);
}

void background_prefer(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->active)
		raise_now(b);
	if (b->active && b->raised && !b->preferred && may_prefer(b))
		b->preferred = setpriority(PRIO_PROCESS, (id_t)b->tid, b->nice - PREFERENCE) == 0;
	pthread_mutex_unlock(&b->lock);
}

/* Back to what it was; that is always permitted. */
static void prefer_no_more(struct background *b)
{
	if (b->preferred)
		b->preferred = setpriority(PRIO_PROCESS, (id_t)b->tid, b->nice) != 0;
}

void background_lower(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->raised) {
		prefer_no_more(b);
		b->raised = !set_policy(b->thread, SCHED_IDLE);
	}
	pthread_mutex_unlock(&b->lock);
}

void background_end(struct background *b)
{
	background_raise(b);
	pthread_mutex_lock(&b->lock);
	prefer_no_more(b);
	b->active = b->raised = false;
	b->ended = true;
	pthread_mutex_unlock(&b->lock);
}
