/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_SYMBOL_INDEX_H
#define MEMATTACH_SYMBOLS_SYMBOL_INDEX_H

#include "symbols/image.h"

/* The functions of an image by address; of several names for one, the one that a user knows. */
struct symbol_index;

/* NULL when out of memory. The names are the image's, which has to stay open. */
struct symbol_index *symbol_index_create(const struct image *image);
void symbol_index_destroy(struct symbol_index *index);

struct symbol_hit {
	const char *name; /* perhaps with an @VERSION */
	u64 start;        /* ELF address */
};

/*
 * The function at an ELF address: the one whose size covers it, or a preceding
 * one of unknown size, which reaches to the next symbol. False if there is none.
 */
bool symbol_index_find(const struct symbol_index *index, u64 address, struct symbol_hit *hit);

/* Leading underscores, less those that the mangling itself has: what makes a name internal. */
int symbol_underscores(const char *name);

#endif
