// SPDX-License-Identifier: MIT
/*
 * A thread that is nearly always in its allocator.
 *
 *	spin	it allocates and frees as fast as it can	-> "spinning"
 *	rest	it waits, and has freed all	-> "resting"
 *	quit	or end of file: the end, status 0
 */
#include <pthread.h>
#include <stdlib.h>

#include "talk.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int wanted, spinning; /* with the lock */
static volatile int go;

/* Large ones: they are mapped by the kernel, which takes its time. */
NOINLINE static void leaf(int i)
{
	char *p = malloc(300000 + (size_t)i);

	if (!p)
		hurt("no memory");
	p[0] = 1;
	free(p);
}

NOINLINE static void middle(int i)
{
	leaf(i);
	KEEP(i);
}

static void *run(void *arg)
{
	for (;;) {
		pthread_mutex_lock(&lock);
		spinning = 0;
		pthread_cond_broadcast(&changed);
		while (!wanted)
			pthread_cond_wait(&changed, &lock);
		spinning = 1;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		for (int i = 0; go; i = (i + 1) & 1023)
			middle(i);
	}
	return arg;
}

static void want(int what)
{
	pthread_mutex_lock(&lock);
	wanted = go = what;
	pthread_cond_broadcast(&changed);
	while (spinning != what)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

int main(void)
{
	const char *line;
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL))
		hurt("no thread");
	want(1);
	want(0);
	say("ready");
	while ((line = hear()) && !after(line, "quit")) {
		if (!after(line, "spin") && !after(line, "rest"))
			hurt("unknown command %s", line);
		want(line[0] == 's');
		say(line[0] == 's' ? "spinning" : "resting");
	}
	return 0;
}
