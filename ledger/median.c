// SPDX-License-Identifier: MIT
/*
 * Few values are sorted by insertion. Of many the one at rank k is found by its
 * digits in base 256, the highest first: count how many of the values that
 * begin with the digits known so far have each next digit, and walk the counts
 * until k is passed. Four passes over the values and no worst case.
 */
#include "ledger/median.h"

#define FEW        48
#define DIGITS     4
#define DIGIT_BITS 8

static void sort_few(u32 *values, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		u32 v = values[i];
		size_t k = i;

		for (; k && values[k - 1] > v; k--)
			values[k] = values[k - 1];
		values[k] = v;
	}
}

/* The value at rank (counted from 0). */
static u32 select_rank(const u32 *values, size_t n, size_t rank)
{
	u32 prefix = 0;

	for (int digit = DIGITS - 1; digit >= 0; digit--) {
		size_t count[1 << DIGIT_BITS] = {0};
		int shift = digit * DIGIT_BITS;
		u32 d = 0;

		for (size_t i = 0; i < n; i++) {
			if ((u64)(values[i] ^ prefix) >> (shift + DIGIT_BITS) == 0)
				count[values[i] >> shift & 0xff]++;
		}
		for (; rank >= count[d]; d++)
			rank -= count[d];
		prefix |= d << shift;
	}
	return prefix;
}

u32 median_u32(u32 *values, size_t n)
{
	u64 low, high;

	if (n <= FEW) {
		sort_few(values, n);
		low = values[(n - 1) / 2];
		high = values[n / 2];
	} else {
		low = select_rank(values, n, (n - 1) / 2);
		high = n % 2 ? low : select_rank(values, n, n / 2);
	}
	return (u32)((low + high) / 2);
}
