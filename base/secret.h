/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_SECRET_H
#define MEMATTACH_BASE_SECRET_H

#include <stdint.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hash.h"

/*
 * A random number that a target cannot guess, so that it cannot choose what is in one place of a
 * hash table. Where the kernel has none yet: of the time and our addresses.
 */
static inline u64 secret_u64(void)
{
	u64 random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		random = hash_u64(clock_ns() + (u64)(uintptr_t)&random);
	return random;
}

#endif
