/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_MEDIAN_H
#define MEMATTACH_LEDGER_MEDIAN_H

#include "base/types.h"

/*
 * The median of n > 0 values: the middle one in order, or, if n is even, the
 * mean of the two in the middle rounded down. May change the order of the
 * values. Takes time in proportion to n whatever the values.
 */
u32 median_u32(u32 *values, size_t n);

#endif
