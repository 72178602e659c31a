/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_VEC_H
#define MEMATTACH_BASE_VEC_H

#include "base/types.h"

/*
 * Makes room for at least `need` items of item_size bytes in the array at
 * *items (malloc'ed, may be NULL), whose capacity in items is *cap. Grows by
 * half its size. Returns 0 or -ENOMEM, with *items and *cap as they were.
 * Call it as vec_reserve((void **)&v->items, &v->cap, v->n + 1, sizeof(*v->items)).
 */
int vec_reserve(void **items, size_t *cap, size_t need, size_t item_size);

#endif
