// SPDX-License-Identifier: MIT
/* Compiled tables by file (unwind/table_cache.h): a list, the most recently used first. */
#include "unwind/table_cache.h"

#include <stdlib.h>
#include <sys/stat.h>

#define UNUSED_MAX 64

struct entry {
	struct unwind_table table; /* first: a table's address is its entry's */
	struct entry *next;
	struct stat file;
	u32 users;
};

struct table_cache {
	struct entry *first;
	u32 compiled;
};

struct table_cache *table_cache_create(void)
{
	return calloc(1, sizeof(struct table_cache));
}

static void free_entry(struct entry *e)
{
	unwind_table_deinit(&e->table);
	free(e);
}

void table_cache_destroy(struct table_cache *cache)
{
	if (!cache)
		return;
	while (cache->first) {
		struct entry *e = cache->first;

		cache->first = e->next;
		free_entry(e);
	}
	free(cache);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Takes the entry of a file out of the list. */
static struct entry *take(struct table_cache *cache, const struct stat *file)
{
	for (struct entry **at = &cache->first; *at; at = &(*at)->next) {
		struct entry *e = *at;

		if (same_file(&e->file, file)) {
			*at = e->next;
			return e;
		}
	}
	return NULL;
}

static struct entry *compile(struct table_cache *cache, int fd, const struct stat *file)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (fd >= 0 && unwind_table_compile(&e->table, fd)) {
		free(e);
		return NULL;
	}
	e->file = *file;
	cache->compiled++;
	return e;
}

const struct unwind_table *table_cache_get(struct table_cache *cache, int fd)
{
	struct stat file = {0};
	struct entry *e;

	if (fd >= 0 && fstat(fd, &file))
		fd = -1;
	e = take(cache, &file);
	if (!e)
		e = compile(cache, fd, &file);
	if (!e)
		return NULL;
	e->users++;
	e->next = cache->first;
	cache->first = e;
	return &e->table;
}

void table_cache_put(struct table_cache *cache, const struct unwind_table *table)
{
	u32 unused = 0;

	((struct entry *)table)->users--;
	for (struct entry **at = &cache->first; *at;) {
		struct entry *e = *at;

		if (e->users || ++unused <= UNUSED_MAX) {
			at = &e->next;
		} else {
			*at = e->next;
			free_entry(e);
		}
	}
}

u32 table_cache_compiled(const struct table_cache *cache)
{
	return cache->compiled;
}
