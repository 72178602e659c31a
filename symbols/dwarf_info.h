/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DWARF_INFO_H
#define MEMATTACH_SYMBOLS_DWARF_INFO_H

#include "symbols/image.h"

/*
 * The DWARF of one module, in its own file or in its debug file: which functions
 * are at an address, inlined ones too, and at which line of which file. DWARF 2 to
 * 5, with the part that dwz moved elsewhere; of split DWARF (.dwo) only what is in
 * the program itself: lines.
 */
struct dwarf_info;

/* NULL if there is none, it is too big (2 GiB), broken, or memory is short. Borrows image. */
struct dwarf_info *dwarf_info_open(const struct image *image, const struct module *module);
void dwarf_info_close(struct dwarf_info *info);

/* One function at an address. Strings are the file's, and last until dwarf_info_close. */
struct dwarf_frame {
	const char *name;         /* DW_AT_name; NULL: unknown */
	const char *linkage_name; /* mangled; NULL: none */
	const char *file;
	u32 line;
};

#define DWARF_FRAMES_MAX 64

/*
 * Fills frames (room for DWARF_FRAMES_MAX) with the functions at an ELF address,
 * the innermost inlined one first, the real one last, and returns how many. 1 with
 * a frame without names if only the line is known; 0 if nothing is.
 */
size_t dwarf_info_find(struct dwarf_info *info, u64 address, struct dwarf_frame *frames);

#endif
