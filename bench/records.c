// SPDX-License-Identifier: MIT
/*
 * What memattach spends on a record of the ring: read, checked, in the books. The records are
 * made here, as the agent writes them, outside the measured time. So they are in this core's
 * cache, or memory, not in that of another one: it takes more than this under a real target.
 *
 *	records [ROUNDS]     each a ring full of them; default 40
 *
 * Two programs: a server that allocates a few blocks for each request, from some tens of
 * stacks, and frees most of them at its end (redis); and one that builds trees of 20,000 blocks
 * and drops them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe/ring_reader.h"
#include "session_image.h"

#define PLACES (1U << CHANNEL_RING_BITS)
#define SIZE   (CHANNEL_RING_AT + (sizeof(struct channel_record) << CHANNEL_RING_BITS))
#define TREE   20000U
#define STACKS 40U

struct bench {
	struct channel *channel;
	struct ring_reader *reader;
	u64 ns, records;
	u32 unused[TREE], unused_n; /* numbers of blocks that are free, the last freed one on top */
	u32 live[TREE], live_n;
	u64 random;
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
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

static u64 hash_of_stack(u64 i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static void put(struct bench *b, u64 word0, u64 word1, u64 word2, u64 word3)
{
	u64 place = b->channel->head++;
	struct channel_record *ring = (void *)((char *)b->channel + CHANNEL_RING_AT);

	ring[place % PLACES] = (struct channel_record){
		{word0 | (u64)CHANNEL_LAP(place) << 56, word1, word2, word3}};
}

static bool has_room(const struct bench *b, u32 n)
{
	return b->channel->head + n < b->channel->tail + PLACES;
}

static u64 address(u32 block)
{
	return 0x7f1200001000ULL + block * 64ULL;
}

static void allocate(struct bench *b, u32 stack)
{
	u32 block = b->unused[--b->unused_n];

	b->live[b->live_n++] = block;
	put(b, CHANNEL_WORD0(CHANNEL_ALLOC, address(block)), 16 + stack * 8, hash_of_stack(stack),
	    1);
}

/* The i-th of the live ones. */
static void release(struct bench *b, u32 i)
{
	u32 block = b->live[i];

	b->live[i] = b->live[--b->live_n];
	b->unused[b->unused_n++] = block;
	put(b, CHANNEL_WORD0(CHANNEL_FREE, address(block)), 0x7ffc00001000, 0x401000 + block, 1);
}

static void fill_with_requests(struct bench *b)
{
	while (has_room(b, 16)) {
		u32 n = 3 + (u32)(rnd(b) % 4), kept = b->live_n;

		for (u32 i = 0; i < n; i++)
			allocate(b, (u32)(rnd(b) % STACKS));
		/* One stays, for one that has been there for long. */
		if (kept > 600)
			release(b, (u32)(rnd(b) % kept));
		while (b->live_n > kept + (kept <= 600))
			release(b, b->live_n - 1);
	}
}

static void fill_with_trees(struct bench *b)
{
	static bool dropping;

	while (has_room(b, 1)) {
		dropping = dropping ? b->live_n > 0 : b->live_n == TREE;
		if (dropping)
			release(b, (u32)(rnd(b) % b->live_n));
		else
			allocate(b, (u32)(rnd(b) % 4));
	}
}

static void measure(struct bench *b, const char *name, void (*fill)(struct bench *b), u32 rounds)
{
	b->ns = b->records = 0;
	for (u32 i = 0; i < rounds; i++) {
		u64 start;
		u32 n;

		fill(b);
		start = cpu_ns();
		while ((n = ring_reader_read(b->reader, 2048)))
			b->records += n;
		/* The first ones make the tables grow. */
		if (i < rounds / 4)
			b->records = b->ns = 0;
		else
			b->ns += cpu_ns() - start;
	}
	printf("  %-24s %6.1f ns a record\n", name, (double)b->ns / (double)b->records);
}

static void learn_stacks(struct bench *b)
{
	for (u64 i = 0; i < STACKS; i++) {
		u64 sp = 0x7ffc00001000;

		put(b, CHANNEL_WORD0(CHANNEL_STACK, sp), hash_of_stack(i), 0, 0);
		put(b, CHANNEL_WORD0(CHANNEL_FRAMES, sp), 0x401000 + i, 0x402000, 0x403000);
		put(b, CHANNEL_WORD0(CHANNEL_STACK_END, sp), hash_of_stack(i), 3, sp + 200);
	}
}

static bool set_up(struct bench *b, struct image *image, struct err *err)
{
	static const struct session_config config;
	struct probe_host host = image_host;

	image->config = &config;
	image->books_max = SIZE_MAX;
	image->modules = modules_create(getpid(), err);
	image->ledger = ledger_create(err);
	image->stacks = stacks_create(err);
	host.ctx = image;
	b->channel = aligned_alloc(4096, SIZE);
	if (!image->modules || !image->ledger || !image->stacks || !b->channel)
		return false;
	memset(b->channel, 0, SIZE);
	b->reader = ring_reader_create(b->channel, &host, err);
	b->random = 1;
	while (b->unused_n < TREE) {
		b->unused[b->unused_n] = b->unused_n;
		b->unused_n++;
	}
	return b->reader != NULL;
}

int main(int argc, char **argv)
{
	static struct bench bench;
	static struct image image;
	u32 rounds = argc > 1 ? (u32)atoi(argv[1]) : 40;
	struct err err = ERR_INIT;

	if (!rounds || !set_up(&bench, &image, &err)) {
		fprintf(stderr, "records: %s\n", err.msg);
		return 1;
	}
	learn_stacks(&bench);
	measure(&bench, "a server's requests", fill_with_requests, rounds);
	measure(&bench, "trees built and dropped", fill_with_trees, rounds);
	return 0;
}
