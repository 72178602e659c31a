// SPDX-License-Identifier: MIT
#include "base/vec.h"

#include <errno.h>
#include <stdlib.h>

int vec_reserve(void **items, size_t *cap, size_t need, size_t item_size)
{
	size_t n = *cap;
	size_t bytes;
	void *p;

	if (need <= n)
		return 0;
	n += n / 2;
	if (n < need)
		n = need;
	if (n < 8)
		n = 8;
	if (__builtin_mul_overflow(n, item_size, &bytes))
		return -ENOMEM;
	p = realloc(*items, bytes);
	if (!p)
		return -ENOMEM;
	*items = p;
	*cap = n;
	return 0;
}
