// SPDX-License-Identifier: MIT
/*
 * Workloads A and A4: malloc/free pairs from stacks 20 frames deep.
 *
 *	pairs THREADS PAIRS
 *
 * For each pair a thread goes down through 20 functions anew, on one of 16 paths in turn, and at
 * the bottom allocates 16 to 256 bytes, writes to them and frees a block: alone the same one; if there
 * are several threads one that the thread before it in the circle has allocated, which came through a
 * mailbox. Prints the nanoseconds that a pair took, by the clock on the wall:
 *
 *	work 62.1
 *
 * pairs is compiled as distributions compile their programs (bench.mk: frame pointers, stack protector).
 * pairs_lean (workload A0) is neither that nor writes to its blocks: the most that a profiler can be
 * made to look bad.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef WRITES
#define WRITES 1 /* to its blocks */
#endif

#define THREADS_MAX 64
#define LETTERS     256 /* of a mailbox; a power of two */

/* From one thread to the next: one counts up written, the other read. */
struct mailbox {
	_Alignas(64) _Atomic unsigned long written;
	_Alignas(64) _Atomic unsigned long read;
	void *letter[LETTERS];
};

struct worker {
	struct mailbox *in, *out; /* NULL: the thread is alone */
	unsigned long pairs;
	double start, end; /* of its work, by the clock, ns */
};

static struct mailbox mailboxes[THREADS_MAX];
static pthread_barrier_t barrier;

static int post(struct mailbox *mailbox, void *block)
{
	unsigned long at = atomic_load_explicit(&mailbox->written, memory_order_relaxed);

	if (at - atomic_load_explicit(&mailbox->read, memory_order_acquire) == LETTERS)
		return -1;
	mailbox->letter[at % LETTERS] = block;
	atomic_store_explicit(&mailbox->written, at + 1, memory_order_release);
	return 0;
}

/* NULL: nothing has come. */
static void *take(struct mailbox *mailbox)
{
	unsigned long at = atomic_load_explicit(&mailbox->read, memory_order_relaxed);
	void *block;

	if (at == atomic_load_explicit(&mailbox->written, memory_order_acquire))
		return NULL;
	block = mailbox->letter[at % LETTERS];
	atomic_store_explicit(&mailbox->read, at + 1, memory_order_release);
	return block;
}

__attribute__((noinline)) static void *floor_1(unsigned long number, struct mailbox *in)
{
	size_t size = 16 + number * 37 % 241;
	char *block = malloc(size), *done = block;

	if (WRITES)
		memset(block, (int)number, size);
	/* The compiler may leave out a pair that nobody looks at. */
	__asm__ volatile("" : : "r"(block) : "memory");
	if (in)
		done = take(in);
	if (done)
		free(done);
	return block;
}

/* Calls the floor below. Each has a frame of its own size; the asm stands against tail calls. */
#define FLOOR(name, below, bytes)                                                                  \
	__attribute__((noinline)) static void *name(unsigned long number, struct mailbox *in)      \
	{                                                                                          \
		char frame[bytes];                                                                 \
		void *block;                                                                       \
                                                                                                   \
		__asm__ volatile("" : : "r"(frame) : "memory");                                    \
		block = below(number, in);                                                         \
		__asm__ volatile("" : : "r"(frame) : "memory");                                    \
		return block;                                                                      \
	}

/* Two ways down: a bit of number chooses. The asm tells them apart, or the compiler makes one. */
#define FORK(name, below, bit)                                                                     \
	__attribute__((noinline)) static void *name(unsigned long number, struct mailbox *in)      \
	{                                                                                          \
		void *block;                                                                       \
                                                                                                   \
		if (number >> (bit)&1) {                                                           \
			block = below(number, in);                                                 \
			__asm__ volatile("# one" : : : "memory");                                  \
		} else {                                                                           \
			block = below(number, in);                                                 \
			__asm__ volatile("# other" : : : "memory");                                \
		}                                                                                  \
		return block;                                                                      \
	}

FLOOR(floor_2, floor_1, 8)
FLOOR(floor_3, floor_2, 24)
FORK(floor_4, floor_3, 0)
FLOOR(floor_5, floor_4, 40)
FLOOR(floor_6, floor_5, 16)
FLOOR(floor_7, floor_6, 120)
FORK(floor_8, floor_7, 1)
FLOOR(floor_9, floor_8, 56)
FLOOR(floor_10, floor_9, 8)
FLOOR(floor_11, floor_10, 200)
FORK(floor_12, floor_11, 2)
FLOOR(floor_13, floor_12, 72)
FLOOR(floor_14, floor_13, 24)
FLOOR(floor_15, floor_14, 88)
FORK(floor_16, floor_15, 3)
FLOOR(floor_17, floor_16, 8)
FLOOR(floor_18, floor_17, 40)
FLOOR(floor_19, floor_18, 16)
FLOOR(floor_20, floor_19, 104)

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* The neighbour is slow: make room where we can ourselves. */
static void hand_over(struct worker *worker, void *block, unsigned long *received)
{
	while (post(worker->out, block)) {
		void *done = take(worker->in);

		if (done)
			free(done);
		else
			sched_yield();
	}
	*received = atomic_load_explicit(&worker->in->read, memory_order_relaxed);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned long received = 0;

	pthread_barrier_wait(&barrier);
	worker->start = now_ns();
	for (unsigned long i = 0; i < worker->pairs; i++) {
		void *block = floor_20(i, worker->in);

		if (worker->out)
			hand_over(worker, block, &received);
	}
	while (worker->in && received < worker->pairs) {
		void *done = take(worker->in);

		if (done)
			received++;
		else
			sched_yield();
		free(done);
	}
	worker->end = now_ns();
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[1]) : 0;
	long pairs = argc == 3 ? atol(argv[2]) : 0;
	struct worker worker[THREADS_MAX] = {0};
	pthread_t thread[THREADS_MAX];
	double start, end;

	if (n < 1 || n > THREADS_MAX || pairs < n) {
		fputs("usage: pairs THREADS PAIRS\n", stderr);
		return 2;
	}
	if (pthread_barrier_init(&barrier, NULL, (unsigned int)n))
		return 1;
	for (int i = 0; i < n; i++) {
		worker[i].pairs = (unsigned long)(pairs / n);
		if (n > 1) {
			worker[i].in = &mailboxes[i];
			worker[i].out = &mailboxes[(i + 1) % n];
		}
		if (pthread_create(&thread[i], NULL, work, &worker[i])) {
			fputs("pairs: cannot start a thread\n", stderr);
			return 1;
		}
	}
	for (int i = 0; i < n; i++) {
		pthread_join(thread[i], NULL);
		if (i == 0 || worker[i].start < start)
			start = worker[i].start;
		if (i == 0 || worker[i].end > end)
			end = worker[i].end;
	}
	printf("work %.1f\n", (end - start) / (double)(pairs / n * n));
	return 0;
}
