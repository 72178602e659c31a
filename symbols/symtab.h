/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_SYMTAB_H
#define MEMATTACH_SYMBOLS_SYMTAB_H

#include "symbols/elf_file.h"
#include "symbols/elf_headers.h"

/* A symbol table and its strings, both checked to lie in the file. */
struct symtab {
	const u8 *symbols; /* n times Elf64_Sym, perhaps not aligned */
	size_t n;
	const char *strings;
	size_t strings_size; /* up to and with the last NUL */
	void *owned[2];      /* to free, where libelf does not own them */
};

/* The first table of sh_type SHT_SYMTAB or SHT_DYNSYM; valid while file is open. False: none. */
bool symtab_from_section(struct symtab *table, const struct elf_file *file, u32 type);

/*
 * The dynamic symbol table of a file without section headers, as PT_DYNAMIC gives
 * it. How many symbols there are only the hash tables tell. False if there is none.
 */
bool symtab_from_dynamic(struct symtab *table, int fd, const struct elf_headers *headers);

void symtab_deinit(struct symtab *table);

/* Symbol i < n and its name, which is valid as long as the table. False if the name is broken. */
bool symtab_get(const struct symtab *table, size_t i, Elf64_Sym *symbol, const char **name);

#endif
