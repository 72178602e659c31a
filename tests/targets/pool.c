// SPDX-License-Identifier: MIT
/*
 * An allocator of the program's own, on top of malloc, with a header before each
 * block, so that its blocks and malloc's have other addresses.
 *
 *	jump N	N times a pool_get that leaves by longjmp	-> "jumped"
 *	offset	-> "offset 0xADDRESS": where pool_get is in the file
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "talk.h"

#define HEADER      32
#define TOO_LARGE   ((size_t)1 << 40)
#define MOST_BLOCKS 4

struct pool {
	long blocks;
};

static struct pool pool;
static __thread jmp_buf exhausted;
static __thread int may_jump;

extern char __executable_start;

NOINLINE void *pool_get(struct pool *p, size_t size)
{
	char *block;

	if (size >= TOO_LARGE) {
		if (may_jump)
			longjmp(exhausted, 1);
		return NULL;
	}
	block = malloc(size + HEADER);
	__atomic_fetch_add(&p->blocks, 1, __ATOMIC_RELAXED);
	return block ? block + HEADER : NULL;
}

NOINLINE void pool_put(struct pool *p, void *block)
{
	__atomic_fetch_sub(&p->blocks, 1, __ATOMIC_RELAXED);
	free((char *)block - HEADER);
}

NOINLINE int pool_make(void **out, size_t count, size_t size)
{
	char *block = count * size < TOO_LARGE ? calloc(1, count * size + HEADER) : NULL;

	if (!block)
		return -1;
	*out = block + HEADER;
	return 0;
}

NOINLINE void *pool_resize(struct pool *p, void *block, size_t size)
{
	char *moved;

	if (size >= TOO_LARGE)
		return NULL;
	if (!block)
		return pool_get(p, size);
	moved = realloc((char *)block - HEADER, size + HEADER);
	return moved ? moved + HEADER : NULL;
}

#define SITES(set)                                                                                 \
	NOINLINE static void *site_get_##set(size_t size, size_t *asked)                           \
	{                                                                                          \
		void *p = pool_get(&pool, *asked = size);                                          \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_make_##set(size_t size, size_t *asked)                          \
	{                                                                                          \
		void *p = NULL;                                                                    \
		size_t count = size % MOST_BLOCKS + 1;                                             \
		int failed = pool_make(&p, count, size);                                           \
		*asked = count * size;                                                             \
		KEEP(p);                                                                           \
		return failed ? NULL : p;                                                          \
	}                                                                                          \
	NOINLINE static void *site_resize_##set(void *old, size_t size, size_t *asked)             \
	{                                                                                          \
		void *p = pool_resize(&pool, old, *asked = size + 1);                              \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *first_resize_##set(size_t size, size_t *asked)                       \
	{                                                                                          \
		return site_resize_##set(NULL, size, asked);                                       \
	}

SITES(a)
SITES(b)

static void release(void *p, size_t asked)
{
	(void)asked;
	pool_put(&pool, p);
}

const struct kind engine_kinds[] = {
	{{"site_get_a", "site_get_b"},
	 TRUTH_DIRECT,
	 {site_get_a, site_get_b},
	 {NULL, NULL},
	 release,
	 true},
	{{"site_make_a", "site_make_b"},
	 TRUTH_DIRECT,
	 {site_make_a, site_make_b},
	 {NULL, NULL},
	 release,
	 true},
	{{"site_resize_a", "site_resize_b"},
	 TRUTH_DIRECT,
	 {first_resize_a, first_resize_b},
	 {site_resize_a, site_resize_b},
	 release,
	 true},
	{.names = {NULL}},
};

NOINLINE static void jump_out(void)
{
	if (setjmp(exhausted) == 0) {
		void *p = pool_get(&pool, TOO_LARGE);
		KEEP(p);
		hurt("no jump");
	}
}

bool engine_command(const char *line)
{
	const char *rest = after(line, "jump");

	if (rest) {
		may_jump = 1;
		for (long i = 0; i < atol(rest); i++)
			jump_out();
		may_jump = 0;
		say("jumped");
		return true;
	}
	if (!after(line, "offset"))
		return false;
	say("offset %#lx", (unsigned long)((char *)pool_get - &__executable_start));
	return true;
}

int main(int argc, char **argv)
{
	return engine_main(argc, argv);
}
