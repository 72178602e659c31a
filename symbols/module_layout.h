/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_MODULE_LAYOUT_H
#define MEMATTACH_SYMBOLS_MODULE_LAYOUT_H

#include "proc/maps.h"
#include "symbols/elf_headers.h"

/* Where one copy of a file lies in the process; addresses in the process. */
struct module_layout {
	u64 start, end;
	u64 text_start, text_end;
	u64 bias;
	bool is_image; /* mapped as a PT_LOAD of headers; else bias makes file offsets of addresses */
};

/* Whether two mappings show the same file. */
bool module_same_file(const struct map *a, const struct map *b);

/*
 * The copy of a file that the executable mapping maps->items[i] belongs to.
 * headers are those of the file, NULL if it is no ELF. What the file claims is
 * believed only as far as the mappings bear it out: the range ends at the first
 * mapping of something else, and does not begin below floor.
 */
void module_layout_find(const struct maps *maps, size_t i, u64 floor,
			const struct elf_headers *headers, struct module_layout *layout);

#endif
