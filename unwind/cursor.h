/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_CURSOR_H
#define MEMATTACH_UNWIND_CURSOR_H

/*
 * Reading of the numbers that call frame information is made of, from bytes of
 * a file that is not trusted. A read past the end gives 0 and marks the cursor
 * bad for good; callers check bad where it matters, not after every read.
 */
#include <string.h>

#include "base/types.h"

struct cursor {
	const u8 *p, *end;
	bool bad;
};

/* The next n bytes; NULL, and a bad cursor, if there are not so many. */
static inline const u8 *cursor_bytes(struct cursor *c, u64 n)
{
	const u8 *p = c->p;

	if (c->bad || n > (u64)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	return p;
}

/* A little-endian unsigned number of size 1, 2, 4 or 8. */
static inline u64 cursor_uint(struct cursor *c, unsigned size)
{
	const u8 *p = cursor_bytes(c, size);
	u64 value = 0;

	if (p)
		memcpy(&value, p, size);
	return value;
}

static inline s64 cursor_sint(struct cursor *c, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (s64)(cursor_uint(c, size) << shift) >> shift;
}

/* A LEB128 number, its sign not extended. *bits: how many it had; *sign: the highest of them. */
static inline u64 cursor_leb(struct cursor *c, unsigned *bits, bool *sign)
{
	u64 value = 0;
	u8 byte;

	*bits = 0;
	do {
		byte = (u8)cursor_uint(c, 1);
		if (*bits < 64)
			value |= (u64)(byte & 127) << *bits;
		*bits += 7;
	} while (byte & 128);
	*sign = byte & 64;
	return value;
}

/* Bits past the 64th are dropped. */
static inline u64 cursor_uleb(struct cursor *c)
{
	unsigned bits;
	bool sign;

	return cursor_leb(c, &bits, &sign);
}

static inline s64 cursor_sleb(struct cursor *c)
{
	unsigned bits;
	bool sign;
	u64 value = cursor_leb(c, &bits, &sign);

	if (bits < 64 && sign)
		value |= ~0ULL << bits;
	return (s64)value;
}

#endif
