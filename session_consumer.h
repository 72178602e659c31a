/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_CONSUMER_H
#define MEMATTACH_SESSION_CONSUMER_H

#include <pthread.h>
#include <semaphore.h>

#include "base/err.h"
#include "base/types.h"
#include "probe/ring_reader.h"
#include "session_background.h"

/*
 * The thread that drains the ring into the books (ledger, stacks), and another one that
 * looks after it. The books have one lock; the control thread holds it whenever it
 * touches them, and first drains what was recorded until then, so that events of
 * breakpoints come in order.
 */
struct consumer {
	pthread_t worker, lookout;
	pid_t worker_tid;             /* 0: it has not begun */
	struct background background; /* how the worker is scheduled */
	sem_t work;                   /* there is some, or it is to stop */
	sem_t end;                    /* of the lookout's nap: it is to stop */
	u64 sample;                   /* mean bytes between samples, 0: there is none */
	pthread_mutex_t lock;
	bool running;
	bool settled; /* no thread of ours is being made, or ends */
	bool stop;
	u32 wanted;  /* the control thread waits for the lock */
	u32 applied; /* records, since the lookout last looked */
	struct ring_reader *reader;
};

void consumer_init(struct consumer *consumer);

/*
 * Starts it on a reader, which is borrowed, of records that are samples of mean distance sample, in
 * bytes; 0: every allocation has one. 0 or -errno with err filled.
 */
int consumer_start(struct consumer *consumer, struct ring_reader *reader, u64 sample,
		   struct err *err);

/*
 * Whether its threads have begun their work, or it has none. No fork before: a thread that is just
 * being made, or ends, may hold locks that the child would wait for (an allocator's that knows of
 * no forks, as ASan's).
 */
bool consumer_is_settled(const struct consumer *consumer);

/*
 * Takes the lock, with everything applied that had been recorded until then. Not
 * more than once at a time. Without a reader this costs next to nothing.
 */
void consumer_enter(struct consumer *consumer);
void consumer_leave(struct consumer *consumer);

/* Applies once more what has been recorded until now, with the lock held. */
void consumer_drain(struct consumer *consumer);

/*
 * Ends the threads, if they run, after they have applied everything. dead: every thread of the
 * target has ended, with or without having completed its records.
 */
void consumer_stop(struct consumer *consumer, bool dead);

#endif
