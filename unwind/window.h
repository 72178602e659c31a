/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_WINDOW_H
#define MEMATTACH_UNWIND_WINDOW_H

#include <string.h>

#include "base/reader.h"
#include "base/types.h"

/*
 * A copy of the part of a stack that a walk is in, so that a walk costs one
 * system call, not two a frame. The first 4 KB from rsp are read at once; when
 * the walk leaves them, upward or to another stack, the window moves there and
 * doubles, up to 64 KB. Past 1 MB in one walk, only single words are read.
 */
#define WINDOW_FIRST 4096U
#define WINDOW_MAX   65536U
#define WINDOW_TOTAL (1U << 20)

/* A walk reads saved registers just below the return address that comes first: keep so much. Bytes. */
#define WINDOW_BELOW 256U

struct window {
	const struct mem_reader *memory; /* borrowed */
	u64 base;
	size_t len;       /* valid bytes in data */
	size_t next_size; /* of the next read */
	size_t budget;    /* bytes that may still be read in this walk */
	u8 data[WINDOW_MAX];
};

/* Starts a walk at stack pointer sp. What was read before is forgotten: the target ran meanwhile. */
void window_start(struct window *window, u64 sp);

/* The slow path of window_read_u64. */
bool window_miss(struct window *window, u64 address, u64 *value);

/* Reads 8 bytes through the window. False if the target has no memory there. */
static inline bool window_read_u64(struct window *window, u64 address, u64 *value)
{
	u64 at = address - window->base;

	if (__builtin_expect(window->len < 8 || at > window->len - 8, 0))
		return window_miss(window, address, value);
	memcpy(value, window->data + at, 8);
	return true;
}

#endif
