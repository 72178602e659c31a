/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_ELF_CFI_H
#define MEMATTACH_UNWIND_ELF_CFI_H

#include <libelf.h>

#include "base/types.h"

/* Sections bigger than this are not believed. Bytes. */
#define ELF_CFI_SECTION_MAX (256U << 20)

struct cfi_section {
	const u8 *data; /* NULL: there is none */
	size_t size;
	u64 address; /* of data in the ELF file's address space; 0 for .debug_frame */
	bool whole;  /* size is the section's own; otherwise a terminator ends it */
};

/* The parts of an ELF file that unwinding needs. */
struct elf_cfi {
	int fd; /* borrowed */
	Elf *elf;
	u64 base, top;   /* the lowest p_vaddr of a PT_LOAD and the end of the highest */
	u64 first_page;  /* the first PT_LOAD's p_vaddr, aligned as libdwfl does it */
	u64 hdr_address; /* of .eh_frame_hdr, what DW_EH_PE_datarel is relative to; 0: none */
	struct cfi_section eh_frame, debug_frame;
	void *owned; /* eh_frame's data when found without section headers */
};

/*
 * Opens the ELF file at fd, which stays the caller's and must stay open until
 * elf_cfi_close, and reads its segments. 0; -EINVAL when it is no ELF file of
 * this machine or too broken to say anything of.
 */
int elf_cfi_open(struct elf_cfi *cfi, int fd);

/* Finds and reads eh_frame and debug_frame. Missing or broken ones are no failure. 0 or -ENOMEM. */
int elf_cfi_read_sections(struct elf_cfi *cfi);
void elf_cfi_close(struct elf_cfi *cfi);

#endif
