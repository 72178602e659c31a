/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_ELF_FUNCTIONS_H
#define MEMATTACH_TESTS_ELF_FUNCTIONS_H

#include "base/reader.h"
#include "base/types.h"

/* The functions of an ELF file by its symbols, and its memory as if it were loaded at 0, not relocated. */
struct elf_function {
	const char *name; /* without its version */
	u64 address, size;
};

struct elf_image {
	u8 *bytes; /* of addresses from 0 */
	u64 size;
	u64 text, text_end;             /* its executable segment */
	struct elf_function *functions; /* ascending by address; several may have one address */
	size_t n;
	struct mem_reader memory;
};

/* Asserts what it can. False: there is no such file. */
bool elf_image_load(struct elf_image *image, const char *path);
void elf_image_free(struct elf_image *image);

/* The first function of this name, NULL: there is none. */
const struct elf_function *elf_image_find(const struct elf_image *image, const char *name);

#endif
