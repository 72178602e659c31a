/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_HASH_H
#define MEMATTACH_BASE_HASH_H

#include "base/types.h"

/* A well-mixed 64-bit hash of x: the finalizer of MurmurHash3 (Austin Appleby, public domain). */
static inline u64 hash_u64(u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

#endif
