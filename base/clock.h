/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_CLOCK_H
#define MEMATTACH_BASE_CLOCK_H

#include <time.h>

#include "base/types.h"

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline u64 clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000ULL + (u64)ts.tv_nsec;
}

#endif
