/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_READER_H
#define MEMATTACH_BASE_READER_H

#include "base/types.h"

/*
 * Reads memory of a target, whoever provides it (proc/mem.h for a process; a
 * buffer in a test). read copies up to len bytes at addr into buf and returns
 * how many, which may be fewer at the edge of a mapping, or -errno when not one
 * byte could be read.
 */
struct mem_reader {
	ssize_t (*read)(void *ctx, u64 addr, void *buf, size_t len);
	void *ctx;
};

/* All len bytes or nothing: 0, or -EFAULT for a short read, or -errno. */
static inline int mem_read_all(const struct mem_reader *r, u64 addr, void *buf, size_t len)
{
	ssize_t n = r->read(r->ctx, addr, buf, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -14 /* -EFAULT */;
}

#endif
