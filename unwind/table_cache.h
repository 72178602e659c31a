/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_TABLE_CACHE_H
#define MEMATTACH_UNWIND_TABLE_CACHE_H

#include "unwind/compile.h"

/*
 * Compiled tables by file, so that a library that is loaded and unloaded in a
 * loop is compiled once. A file is the same if device, inode, size and time of
 * the last change are.
 */
struct table_cache;

struct table_cache *table_cache_create(void); /* NULL: out of memory */
void table_cache_destroy(struct table_cache *cache);

/*
 * The table of the ELF file at fd (-1: an empty one), compiled now or before.
 * It stays valid until as many table_cache_put; then the last 64 that nobody
 * uses are kept. NULL when out of memory.
 */
const struct unwind_table *table_cache_get(struct table_cache *cache, int fd);
void table_cache_put(struct table_cache *cache, const struct unwind_table *table);

/* How many tables were compiled so far. */
u32 table_cache_compiled(const struct table_cache *cache);

#endif
