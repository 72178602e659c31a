// SPDX-License-Identifier: MIT
#include "session_background.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"

/* A busy machine is one for longer than this; each try costs the ring an eighth of its room. */
#define RAISED_NS 200000000ULL

/*
 * By so much it is nicer to us than to others once it is raised: then threads of the target wait
 * for it, which take a CPU's time for that.
 */
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

/* For when it is raised; if that is permitted, and nobody has made us nicer than others. */
static void prefer(pid_t tid)
{
	int nice;

	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)tid);
	if (!errno && nice <= 0)
		setpriority(PRIO_PROCESS, (id_t)tid, nice - PREFERENCE);
}

void background_init(struct background *b)
{
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
}

void background_begin(struct background *b, pthread_t thread, pid_t tid)
{
	bool possible = can_come_back();

	pthread_mutex_lock(&b->lock);
	b->thread = thread;
	b->raised = false;
	b->active = possible && !b->ended && set_policy(thread, SCHED_IDLE);
	if (b->active)
		prefer(tid);
	pthread_mutex_unlock(&b->lock);
}

void background_raise(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->active) {
		b->raised_ns = clock_ns();
		if (!b->raised)
			b->raised = set_policy(b->thread, SCHED_OTHER);
	}
	pthread_mutex_unlock(&b->lock);
}

void background_lower(struct background *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->raised && clock_ns() - b->raised_ns > RAISED_NS)
		b->raised = !set_policy(b->thread, SCHED_IDLE);
	pthread_mutex_unlock(&b->lock);
}

void background_end(struct background *b)
{
	background_raise(b);
	pthread_mutex_lock(&b->lock);
	b->active = b->raised = false;
	b->ended = true;
	pthread_mutex_unlock(&b->lock);
}
