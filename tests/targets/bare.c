// SPDX-License-Identifier: MIT
/*
 * An allocator without unwind information, as in a library that was built without it: each
 * block is a mapping. It keeps rbp, so that its callers' frame pointers lead past it.
 */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define HEAD 16

static volatile long calls;

__attribute__((noinline)) static char *map(size_t size)
{
	char *p =
		mmap(NULL, size + HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	memcpy(p, &size, sizeof(size));
	return p + HEAD;
}

void *malloc(size_t size)
{
	char *p = map(size);

	/* No tail call: there is something to come back to. */
	calls++;
	return p;
}

void free(void *p)
{
	size_t size;

	if (!p)
		return;
	memcpy(&size, (char *)p - HEAD, sizeof(size));
	munmap((char *)p - HEAD, size + HEAD);
	calls++;
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	char *p = __builtin_mul_overflow(n, size, &bytes) ? NULL : map(bytes);

	calls++;
	return p;
}

void *realloc(void *old, size_t size)
{
	char *p = map(size);
	size_t was;

	if (p && old) {
		memcpy(&was, (char *)old - HEAD, sizeof(was));
		memcpy(p, old, was < size ? was : size);
		free(old);
	}
	calls++;
	return p;
}
