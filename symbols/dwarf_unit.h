/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DWARF_UNIT_H
#define MEMATTACH_SYMBOLS_DWARF_UNIT_H

#include <elfutils/libdw.h>

#include "symbols/dwarf_budget.h"
#include "symbols/image.h"

/* One contiguous piece of a function's code; ELF addresses. */
struct dwarf_function {
	u64 low, high;
	Dwarf_Off offset; /* of its DIE */
};

/*
 * A compilation unit and the functions in it, which are looked for when the
 * first address in the unit is asked for.
 */
struct dwarf_unit {
	Dwarf_Die die;
	struct dwarf_function *functions; /* sorted by low */
	size_t n, cap;
	int depth; /* how thoroughly they have been looked for: 0 not, 1, 2 also within functions */
	int lines; /* 0: unknown, 1: libdw may read its line table, -1: it must not */
};

/*
 * The DIE of the function whose code holds pc. False if there is none, or the
 * budget is spent.
 */
bool dwarf_unit_function(struct dwarf_unit *unit, Dwarf *dw, const struct image *image,
			 struct dwarf_budget *budget, u64 pc, Dwarf_Die *die);

void dwarf_unit_deinit(struct dwarf_unit *unit);

/*
 * Moves *die to its next sibling: 0, as dwarf_siblingof, or non-zero at the end or
 * where a DW_AT_sibling does not lead forward.
 */
int dwarf_next_sibling(Dwarf_Die *die);

#endif
