/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_STRING_POOL_H
#define MEMATTACH_SYMBOLS_STRING_POOL_H

#include "base/types.h"

/* Strings that are kept once each, until the pool is destroyed. */
struct string_pool;

/* NULL when out of memory. */
struct string_pool *string_pool_create(void);
void string_pool_destroy(struct string_pool *pool);

/*
 * The pool's copy of the first len bytes of text, which hold no NUL; longer ones
 * are cut to STRING_POOL_MAX. NULL when out of memory.
 */
#define STRING_POOL_MAX 16384
const char *string_pool_add(struct string_pool *pool, const char *text, size_t len);

#endif
