// SPDX-License-Identifier: MIT
/*
 * Allocates through every function that C programs allocate with. Each call
 * site is a function of its own, there once for set 0 (..._a) and once for
 * set 1 (..._b): a test attaches in mid-run, changes the set, and knows that
 * everything of set 1 happened after attach.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "talk.h"

#define TEXT_MAX 4096
/* A string of any length up to TEXT_MAX is the end of this one. */
static char text[TEXT_MAX + 1];

static const char *text_of(size_t length)
{
	return text + TEXT_MAX - length % TEXT_MAX;
}

/* Powers of two from 16 to 4096. */
static size_t alignment_of(size_t size)
{
	return (size_t)16 << size % 9;
}

/* The functions of one set; each ends after its allocation, so that nothing is a tail call. */
#define SITES(set)                                                                                 \
	NOINLINE static void *site_malloc_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		void *p = malloc(*asked = size);                                                   \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_calloc_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		void *p = calloc(size % 7 + 1, size);                                              \
		*asked = (size % 7 + 1) * size;                                                    \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_realloc_##set(void *old, size_t size, size_t *asked)            \
	{                                                                                          \
		void *p = realloc(old, *asked = size);                                             \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *first_realloc_##set(size_t size, size_t *asked)                      \
	{                                                                                          \
		return site_realloc_##set(NULL, size, asked);                                      \
	}                                                                                          \
	NOINLINE static void *site_reallocarray_##set(void *old, size_t size, size_t *asked)       \
	{                                                                                          \
		void *p = reallocarray(old, size / 3 + 1, 3);                                      \
		*asked = (size / 3 + 1) * 3;                                                       \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *first_reallocarray_##set(size_t size, size_t *asked)                 \
	{                                                                                          \
		return site_reallocarray_##set(NULL, size, asked);                                 \
	}                                                                                          \
	NOINLINE static void *site_memalign_##set(size_t size, size_t *asked)                      \
	{                                                                                          \
		void *p = memalign(alignment_of(size), *asked = size);                             \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_aligned_alloc_##set(size_t size, size_t *asked)                 \
	{                                                                                          \
		void *p = aligned_alloc(32, *asked = (size + 31) & ~(size_t)31);                   \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_posix_memalign_##set(size_t size, size_t *asked)                \
	{                                                                                          \
		void *p = NULL;                                                                    \
		if (posix_memalign(&p, alignment_of(size), *asked = size) != 0)                    \
			p = NULL;                                                                  \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_valloc_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		void *p = valloc(*asked = size);                                                   \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_strdup_##set(size_t size, size_t *asked)                        \
	{                                                                                          \
		const char *from = text_of(size);                                                  \
		void *p = strdup(from);                                                            \
		*asked = strlen(from) + 1;                                                         \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_strndup_##set(size_t size, size_t *asked)                       \
	{                                                                                          \
		void *p = strndup(text, size % TEXT_MAX);                                          \
		*asked = size % TEXT_MAX + 1;                                                      \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}                                                                                          \
	NOINLINE static void *site_asprintf_##set(size_t size, size_t *asked)                      \
	{                                                                                          \
		char *p = NULL;                                                                    \
		int n = asprintf(&p, "%s", text_of(size));                                         \
		*asked = (size_t)n + 1;                                                            \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}

SITES(a)
SITES(b)

#ifdef __GLIBC__
#define PVALLOC(set)                                                                               \
	NOINLINE static void *site_pvalloc_##set(size_t size, size_t *asked)                       \
	{                                                                                          \
		void *p = pvalloc(*asked = size);                                                  \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}

PVALLOC(a)
PVALLOC(b)
#endif

#define KIND(name, truth, fails)                                                                   \
	{                                                                                          \
		{"site_" #name "_a", "site_" #name "_b"}, truth,                                   \
			{site_##name##_a, site_##name##_b}, {NULL, NULL}, NULL, fails              \
	}
#define RESIZE(name)                                                                               \
	{                                                                                          \
		{"site_" #name "_a", "site_" #name "_b"}, TRUTH_DIRECT,                            \
			{first_##name##_a, first_##name##_b}, {site_##name##_a, site_##name##_b},  \
			NULL, true                                                                 \
	}

const struct kind engine_kinds[] = {
	KIND(malloc, TRUTH_DIRECT, true),
	KIND(calloc, TRUTH_DIRECT, true),
	RESIZE(realloc),
	RESIZE(reallocarray),
	KIND(memalign, TRUTH_DIRECT, true),
	KIND(aligned_alloc, TRUTH_DIRECT, true),
	KIND(posix_memalign, TRUTH_DIRECT, true),
	KIND(valloc, TRUTH_DIRECT, true),
#ifdef __GLIBC__
	KIND(pvalloc, TRUTH_DIRECT, true),
#endif
	KIND(strdup, TRUTH_THROUGH, false),
	KIND(strndup, TRUTH_THROUGH, false),
	KIND(asprintf, TRUTH_LIVE, false),
	{.names = {NULL}},
};

int main(int argc, char **argv)
{
	memset(text, 'x', TEXT_MAX);
	return engine_main(argc, argv);
}
