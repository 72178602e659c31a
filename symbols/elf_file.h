/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_ELF_FILE_H
#define MEMATTACH_SYMBOLS_ELF_FILE_H

#include <gelf.h>

#include "base/types.h"

/*
 * An ELF file opened with libelf, after a look at what it claims. Read, never
 * mapped: the target may truncate its file at any time, and touching a mapping
 * of what is gone is a SIGBUS.
 */
struct elf_file {
	Elf *elf; /* NULL: not open */
	int fd;   /* a descriptor of its own */
	u64 size; /* of the file, bytes */
};

/*
 * Opens the file that fd, which stays the caller's, refers to: any 64-bit ELF of
 * this machine, a debug file without program headers too. 0 (end with
 * elf_file_close), -ENOEXEC, -ENOMEM, or another -errno.
 */
int elf_file_open(struct elf_file *file, int fd);

/* Takes one that was not opened, if it is all zero. */
void elf_file_close(struct elf_file *file);

/* Closes the descriptor alone: what was read before stays valid, no more can be read. */
void elf_file_release(struct elf_file *file);

/* The first section of this name, or of this sh_type; NULL if there is none. *shdr is filled. */
Elf_Scn *elf_file_section(const struct elf_file *file, const char *name, GElf_Shdr *shdr);
Elf_Scn *elf_file_section_of_type(const struct elf_file *file, u32 type, GElf_Shdr *shdr);

/*
 * The bytes of a section as they are in the file, kept until elf_file_close. NULL
 * if it has none, or more than 1 GiB, or they are not all there.
 */
const Elf_Data *elf_file_data(Elf_Scn *section);

/* Copies the build-id from the note sections; its length, 0 if there is none or it is over max. */
size_t elf_file_build_id(const struct elf_file *file, u8 *id, size_t max);

/* The decompressed size of all its .debug sections, bytes; UINT64_MAX if one is broken. */
u64 elf_file_dwarf_size(const struct elf_file *file);

#endif
