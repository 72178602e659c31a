/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_LINE_HEADER_H
#define MEMATTACH_SYMBOLS_LINE_HEADER_H

#include "base/types.h"

/* Bytes of a section; n 0: the file has none. */
struct dwarf_section {
	const u8 *bytes;
	size_t n;
};

/*
 * Whether libdw may be let at the line table at `offset` of .debug_line: it makes
 * a row of some 100 bytes from one byte of the line program, and for each entry of
 * the file table a copy of its directory's name, so that a few kilobytes can ask
 * for terabytes. False if the program is over 8 MiB, the names would take over 64
 * MiB, or the header is broken. comp_dir_len is the length of the unit's DW_AT_comp_dir.
 */
bool line_header_is_sane(const struct dwarf_section *line, const struct dwarf_section *line_str,
			 const struct dwarf_section *str, u64 offset, size_t comp_dir_len);

#endif
