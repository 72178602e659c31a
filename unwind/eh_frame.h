/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_EH_FRAME_H
#define MEMATTACH_UNWIND_EH_FRAME_H

#include "unwind/elf_cfi.h"
#include "unwind/table.h"

/* The rows of one FDE: count of them from rows[first] on. */
struct eh_span {
	u32 start, end; /* offsets from the module's lowest p_vaddr */
	u32 first, count;
	u32 order; /* in which it was read; the first one of two that overlap wins */
};

/* Rows as they were read: FDE by FDE, in no order of addresses. */
struct eh_rows {
	u64 base, top; /* the module's address range in the ELF file; FDEs outside are left out */
	struct unwind_row *rows;
	size_t n_rows, cap_rows;
	struct eh_span *spans;
	size_t n_spans, cap_spans;
};

/*
 * Adds the rows of every FDE in a section, .eh_frame or (debug) .debug_frame.
 * data is the base of DW_EH_PE_datarel, 0 if unknown. What is malformed is left
 * out. Takes time and memory in proportion to the section's size, whatever is in
 * it. 0 or -ENOMEM.
 */
int eh_frame_read(struct eh_rows *rows, const struct cfi_section *section, bool debug, u64 data);

/* Frees the arrays. */
void eh_rows_deinit(struct eh_rows *rows);

#endif
