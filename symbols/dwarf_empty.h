/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DWARF_EMPTY_H
#define MEMATTACH_SYMBOLS_DWARF_EMPTY_H

#include <elfutils/libdw.h>
#include <gelf.h>

/* DWARF that says nothing, to give to libdw in place of a file that it must not look for. */
struct dwarf_empty {
	void *bytes;
	Elf *elf;
	Dwarf *dw;
};

/* Its handle, owned by empty; NULL when out of memory. */
Dwarf *dwarf_empty_open(struct dwarf_empty *empty);

/* Takes one that is all zero, too. */
void dwarf_empty_close(struct dwarf_empty *empty);

#endif
