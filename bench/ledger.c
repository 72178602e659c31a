// SPDX-License-Identifier: MIT
/*
 * The ledger alone: events a second through one core, and memory a live block.
 *
 *	ledger [LIVE-BLOCKS]     default 10,000,000
 *
 * Events are made in batches outside the measured time: what is measured is
 * the ledger's time only, with its tables far greater than the caches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/types.h"
#include "base/hash.h"
#include "ledger/ledger.h"
#include "ledger/stacks.h"

#define BATCH   (1 << 16)
#define STACKS  5000
#define THREADS 8
#define DEPTH   30
#define MIXED   10000000ULL
#define AHEAD   8

struct event {
	struct ledger_block block;
	u32 thread;
	bool is_free;
};

struct bench {
	struct ledger *ledger;
	u64 *live; /* addresses of live blocks */
	size_t nlive;
	u64 *unused; /* addresses to be given out */
	size_t nunused;
	u64 random;
	u64 ns, events;
	bool hints;  /* call ledger_prefetch some events ahead */
	u64 slowest; /* ns, the slowest single event */
	struct event batch[BATCH];
};

/* Nanoseconds of CPU time: the machine may have other work, too. */
static u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 1000000000ULL + (u64)ts.tv_nsec;
}

static u64 rnd(struct bench *b)
{
	b->random += 0x9e3779b97f4a7c15ULL;
	return hash_u64(b->random);
}

static void make_alloc(struct bench *b, struct event *event)
{
	u64 address = b->unused[--b->nunused];

	*event = (struct event){
		.block = {.address = address,
			  .size = rnd(b) % 512,
			  .stack = (u32)(rnd(b) % STACKS),
			  .time = (u32)(b->events / 1000)},
		.thread = (u32)(rnd(b) % THREADS),
	};
	b->live[b->nlive++] = address;
}

static void make_free(struct bench *b, struct event *event)
{
	size_t i = rnd(b) % b->nlive;
	u64 address = b->live[i];

	*event = (struct event){
		.block = {.address = address, .time = (u32)(b->events / 1000)},
		.thread = (u32)(rnd(b) % THREADS),
		.is_free = true,
	};
	b->live[i] = b->live[--b->nlive];
	b->unused[b->nunused++] = address;
}

static void apply(struct bench *b, const struct event *event)
{
	if (event->is_free) {
		ledger_free(b->ledger, event->block.address, event->thread, event->block.time);
	} else if (ledger_alloc(b->ledger, &event->block, event->thread)) {
		fprintf(stderr, "ledger bench: out of memory\n");
		exit(1);
	}
}

/* Makes n events, frees for one in `one_in` of them (0: none), and applies them. */
static void run(struct bench *b, u64 n, u64 one_in)
{
	b->ns = 0;
	b->events = 0;
	while (n) {
		u64 count = n < BATCH ? n : BATCH;
		u64 start;

		for (u64 i = 0; i < count; i++) {
			bool is_free = one_in && b->nlive && rnd(b) % one_in == 0;

			if (is_free || !b->nunused)
				make_free(b, &b->batch[i]);
			else
				make_alloc(b, &b->batch[i]);
		}
		start = cpu_ns();
		for (u64 i = 0; i < count; i++) {
			if (b->hints && i + AHEAD < count)
				ledger_prefetch(b->ledger, b->batch[i + AHEAD].block.address);
			apply(b, &b->batch[i]);
		}
		b->ns += cpu_ns() - start;
		b->events += count;
		n -= count;
	}
}

/* Frees and allocations in turn; each event is timed, to find the slowest. */
static void run_timed(struct bench *b, u64 n)
{
	for (u64 i = 0; i < n; i++) {
		struct event event;
		u64 ns;

		if (i % 2)
			make_alloc(b, &event);
		else
			make_free(b, &event);
		ns = cpu_ns();
		apply(b, &event);
		ns = cpu_ns() - ns;
		if (b->slowest < ns)
			b->slowest = ns;
	}
}

static void print_rate(const struct bench *b, const char *what)
{
	printf("  %-34s %8.2f M events/s  %6.1f ns\n", what,
	       (double)b->events * 1e3 / (double)b->ns, (double)b->ns / (double)b->events);
}

static long max_rss_kb(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static int bench_stacks(u64 random)
{
	static u64 frames[STACKS][DEPTH];
	struct stacks *stacks = stacks_create(NULL);
	u32 id;
	u64 ns;

	if (!stacks)
		return -1;
	for (u32 i = 0; i < STACKS; i++)
		for (u32 k = 0; k < DEPTH; k++)
			frames[i][k] =
				k < 6 ? hash_u64(random + i * 100 + k) >> 17 : 0x55550000 + k;
	for (u32 i = 0; i < STACKS; i++)
		stacks_intern(stacks, frames[i], DEPTH, &id);
	ns = cpu_ns();
	for (u32 i = 0; i < 2000000; i++)
		stacks_intern(stacks, frames[i * 7919U % STACKS], DEPTH, &id);
	ns = cpu_ns() - ns;
	printf("  %-34s %8.2f M stacks/s  %6.1f ns\n", "intern a known stack, 30 frames",
	       2e9 / (double)ns, (double)ns / 2e6);
	stacks_destroy(stacks);
	return 0;
}

static int bench_report(const struct bench *b)
{
	struct ledger_site *sites;
	size_t count;
	u64 ns = cpu_ns();

	if (ledger_sites(b->ledger, 1000000, &sites, &count, NULL))
		return -1;
	printf("  %-34s %8.0f ms\n", "sites with median ages", (double)(cpu_ns() - ns) / 1e6);
	free(sites);
	return 0;
}

static int bench_ledger(struct bench *b, size_t blocks)
{
	size_t room = blocks + blocks / 8 + BATCH;
	long rss;

	b->ledger = ledger_create(NULL);
	b->live = malloc(room * sizeof(*b->live));
	b->unused = malloc(room * sizeof(*b->unused));
	if (!b->ledger || !b->live || !b->unused)
		return -1;
	for (size_t i = 0; i < room; i++) {
		b->live[i] = 1; /* touched now, so that it doesn't count as the ledger's memory */
		b->unused[b->nunused++] = 0x7f0000000000ULL + (room - i) * 48;
	}
	run(b, 0, 0);
	rss = max_rss_kb();
	run(b, blocks, 0);
	printf("ledger, %zu live blocks, %d stacks, %d threads\n", blocks, STACKS, THREADS);
	print_rate(b, "fill: allocations only");
	printf("  %-34s %8.2f bytes (%.1f MB)\n", "memory a live block",
	       (double)ledger_memory(b->ledger) / (double)blocks,
	       (double)ledger_memory(b->ledger) / 1e6);
	printf("  %-34s %8.2f bytes (%.1f MB)\n", "max RSS a live block, with peaks",
	       (double)(max_rss_kb() - rss) * 1024 / (double)blocks,
	       (double)(max_rss_kb() - rss) * 1024 / 1e6);
	run(b, MIXED, 2);
	print_rate(b, "mix: half frees, random order");
	b->hints = true;
	run(b, MIXED, 2);
	b->hints = false;
	print_rate(b, "the same, hints 8 events ahead");
	run_timed(b, 1000000);
	printf("  %-34s %8.1f us\n", "slowest of 1 M single events", (double)b->slowest / 1e3);
	if (bench_report(b))
		return -1;
	run(b, b->nlive, 1);
	print_rate(b, "drain: frees only");
	printf("  %-34s %8.2f MB\n", "memory when all is freed",
	       (double)ledger_memory(b->ledger) / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	static struct bench bench = {.random = 1};
	unsigned long long blocks = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	int r;

	if (!blocks) {
		fprintf(stderr, "usage: ledger [LIVE-BLOCKS]\n");
		return 2;
	}
	r = bench_ledger(&bench, blocks);
	if (!r)
		r = bench_stacks(bench.random);
	if (r)
		fprintf(stderr, "ledger bench: out of memory\n");
	ledger_destroy(bench.ledger);
	free(bench.live);
	free(bench.unused);
	return r ? 1 : 0;
}
