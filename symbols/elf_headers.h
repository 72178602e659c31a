/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_ELF_HEADERS_H
#define MEMATTACH_SYMBOLS_ELF_HEADERS_H

#include <elf.h>

#include "base/types.h"

/*
 * The ELF header and the program headers of a file, which is all that is
 * needed to tell where it is loaded. Read without libelf, which would first
 * allocate room for as many sections as the file claims to have.
 */
struct elf_headers {
	Elf64_Phdr *phdrs; /* malloc'ed */
	size_t n;
	bool is_exec;  /* ET_EXEC: the bias can only be 0 */
	u64 file_size; /* bytes */
};

/* e_machine of the programs that this memattach can attach to (elf_machine_ARCH.c). */
extern const u16 elf_machine;

/*
 * Reads them from fd. 0 (release with elf_headers_deinit), -ENOMEM, or -ENOEXEC
 * if that is no 64-bit executable or shared object of this machine.
 */
int elf_headers_read(struct elf_headers *headers, int fd);
void elf_headers_deinit(struct elf_headers *headers);

/*
 * The load bias of an executable mapping that shows the file from `offset` on at
 * address `start`. The segment is the PT_LOAD whose pages hold that offset; a
 * page at the border of two belongs to both, then the executable one that begins
 * there is meant (the kernel and ld.so map each segment from
 * start = bias + p_vaddr rounded down, offset = p_offset rounded down). False if
 * no PT_LOAD holds it.
 */
bool elf_headers_bias(const struct elf_headers *headers, u64 start, u64 offset, u64 *bias);

/*
 * The ELF addresses [*start, *end) from the first to the last PT_LOAD in whole
 * pages, only the executable ones if exec. False if there are none.
 */
bool elf_headers_extent(const struct elf_headers *headers, bool exec, u64 *start, u64 *end);

/* The file offset of `size` bytes at an ELF address, if one PT_LOAD has them all in the file. */
bool elf_headers_offset(const struct elf_headers *headers, u64 address, u64 size, u64 *offset);

/* Copies the NT_GNU_BUILD_ID of a PT_NOTE; returns its length, 0 if there is none or it is over max. */
size_t elf_headers_build_id(const struct elf_headers *headers, int fd, u8 *id, size_t max);

#endif
