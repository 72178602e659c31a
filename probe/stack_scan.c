// SPDX-License-Identifier: MIT
#include "probe/stack_scan.h"

#include <errno.h>
#include <stdlib.h>

#define SCAN_MAX (8UL << 20)

static int by_start(const void *a, const void *b)
{
	const struct address_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void address_ranges_sort(struct address_range *ranges, size_t n)
{
	if (n)
		qsort(ranges, n, sizeof(*ranges), by_start);
}

int address_ranges_find(const struct address_range *ranges, size_t n, u64 address)
{
	size_t low = 0;

	while (n > 0) {
		size_t half = n / 2;

		if (ranges[low + half].start <= address) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low && address < ranges[low - 1].end ? (int)low - 1 : -1;
}

int stack_scan(const struct maps *maps, const struct proc_mem *mem, u64 sp,
	       const struct address_range *ranges, size_t n,
	       void (*found)(void *ctx, size_t number, u64 at), void *ctx)
{
	const struct map *map = maps_find(maps, sp);
	u64 end, low, high, words[2048];

	if (!map || !n)
		return 0;
	end = map->end - sp > SCAN_MAX ? sp + SCAN_MAX : map->end;
	low = ranges[0].start;
	high = ranges[n - 1].end;
	for (sp &= ~7ULL; sp < end; sp += sizeof(words)) {
		size_t want = end - sp < sizeof(words) ? end - sp : sizeof(words);
		ssize_t got = proc_mem_read(mem, sp, words, want);

		if (got < 0)
			return (int)got;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(words[0]); i++) {
			int number;

			if (words[i] < low || words[i] >= high)
				continue;
			number = address_ranges_find(ranges, n, words[i]);
			if (number >= 0)
				found(ctx, (size_t)number, sp + (u64)i * sizeof(words[0]));
		}
		if (got < (ssize_t)want)
			break;
	}
	return 0;
}
