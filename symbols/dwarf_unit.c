// SPDX-License-Identifier: MIT
/*
 * dwarf_getscopes walks a whole unit for each address. Here the unit is walked
 * once, and its functions are put into a sorted array: first those at the top, in
 * namespaces and types, without their bodies; only if an address of the unit is in
 * none of these, again with the bodies, for nested functions.
 */
#include "symbols/dwarf_unit.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/vec.h"

#define DEPTH_MAX     64
#define FUNCTIONS_MAX (4U << 20)
/* How many pieces may begin between an address and the start of the one that holds it. */
#define OVERLAP_MAX 32

struct walk {
	struct dwarf_unit *unit;
	const struct image *image;
	struct dwarf_budget *budget;
	bool bodies;
};

int dwarf_next_sibling(Dwarf_Die *die)
{
	Dwarf_Off offset = dwarf_dieoffset(die);
	int rc = dwarf_siblingof(die, die);

	if (rc)
		return rc;
	return dwarf_dieoffset(die) > offset ? 0 : 1;
}

static bool add_ranges(struct walk *w, Dwarf_Die *die)
{
	struct dwarf_unit *unit = w->unit;
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		if (!dwarf_budget_step(w->budget) || unit->n == FUNCTIONS_MAX)
			return false;
		/* A function that the linker dropped is at address 0. */
		if (low >= high || !image_is_text(w->image, low))
			continue;
		if (vec_reserve((void **)&unit->functions, &unit->cap, unit->n + 1,
				sizeof(*unit->functions)))
			return false;
		unit->functions[unit->n++] = (struct dwarf_function){
			.low = low, .high = high, .offset = dwarf_dieoffset(die)};
	}
	return true;
}

static bool is_scope(int tag)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_interface_type:
	case DW_TAG_common_block:
		return true;
	default:
		return false;
	}
}

static bool is_body(int tag)
{
	return tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block ||
	       tag == DW_TAG_inlined_subroutine || tag == DW_TAG_try_block ||
	       tag == DW_TAG_catch_block;
}

/* The children of parent; recurses at most DEPTH_MAX deep. False: give up. */
static bool walk_children(struct walk *w, Dwarf_Die *parent, int depth)
{
	Dwarf_Die die;

	if (depth == DEPTH_MAX || dwarf_child(parent, &die))
		return true;
	do {
		int tag = dwarf_tag(&die);

		if (!dwarf_budget_step(w->budget))
			return false;
		if (tag == DW_TAG_subprogram && !add_ranges(w, &die))
			return false;
		if ((is_scope(tag) || (w->bodies && is_body(tag))) &&
		    !walk_children(w, &die, depth + 1))
			return false;
	} while (!dwarf_next_sibling(&die));
	return true;
}

static int compare(const void *pa, const void *pb)
{
	const struct dwarf_function *a = pa;
	const struct dwarf_function *b = pb;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return a->offset < b->offset ? 1 : a->offset > b->offset ? -1 : 0;
}

static void find_functions(struct walk *w)
{
	struct dwarf_unit *unit = w->unit;

	unit->n = 0;
	walk_children(w, &unit->die, 0);
	if (unit->n)
		qsort(unit->functions, unit->n, sizeof(*unit->functions), compare);
}

static const struct dwarf_function *search(const struct dwarf_unit *unit, u64 pc)
{
	size_t low = 0;
	size_t high = unit->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (unit->functions[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i > 0 && low - i < OVERLAP_MAX; i--)
		if (pc < unit->functions[i - 1].high)
			return &unit->functions[i - 1];
	return NULL;
}

bool dwarf_unit_function(struct dwarf_unit *unit, Dwarf *dw, const struct image *image,
			 struct dwarf_budget *budget, u64 pc, Dwarf_Die *die)
{
	const struct dwarf_function *found = search(unit, pc);

	while (!found && unit->depth < 2) {
		struct walk w = {unit, image, budget, .bodies = unit->depth == 1};

		unit->depth++;
		find_functions(&w);
		found = search(unit, pc);
	}
	return found && dwarf_offdie(dw, found->offset, die);
}

void dwarf_unit_deinit(struct dwarf_unit *unit)
{
	free(unit->functions);
}
