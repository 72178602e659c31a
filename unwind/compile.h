/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_COMPILE_H
#define MEMATTACH_UNWIND_COMPILE_H

#include "base/types.h"
#include "unwind/elf_cfi.h"
#include "unwind/table.h"

/* The compiled unwind information of an ELF file. */
struct unwind_table {
	struct unwind_row *rows; /* ascending by start; the last one is UNWIND_NONE */
	size_t n;
	u64 base; /* the lowest p_vaddr, where offset 0 is */
};

/*
 * Compiles .eh_frame, and .debug_frame for what that lacks, of the ELF file at
 * fd. A file without, or no ELF file at all, makes an empty table. 0 or -ENOMEM.
 * On success release with unwind_table_deinit.
 */
int unwind_table_compile(struct unwind_table *table, int fd);

/* The same from an opened ELF file; for tests and the fuzzer, which change the sections. */
int unwind_table_compile_elf(struct unwind_table *table, const struct elf_cfi *elf);
void unwind_table_deinit(struct unwind_table *table);

#endif
