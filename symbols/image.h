/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_IMAGE_H
#define MEMATTACH_SYMBOLS_IMAGE_H

#include "symbols/debug_file.h"
#include "symbols/elf_file.h"
#include "symbols/elf_headers.h"
#include "symbols/modules.h"
#include "symbols/symtab.h"

/* A program has one executable segment, rarely two or three. */
#define IMAGE_TEXT_MAX 16

/* All the files that speak of one module, opened: its own, its MiniDebugInfo, its debug file. */
struct image {
	struct elf_headers headers;
	struct {
		u64 start, end;
	} text[IMAGE_TEXT_MAX]; /* the executable PT_LOADs, ELF addresses */
	size_t n_text;
	struct elf_file own;
	struct elf_file mini;    /* .elf NULL: none */
	struct debug_file debug; /* .elf.elf NULL: none */
	struct symtab tables[4]; /* every symbol table of these */
	size_t n_tables;
};

/*
 * Opens what module->fd refers to with its .dynsym and .symtab; if `all`, and
 * there is no .symtab, the MiniDebugInfo and the debug file with theirs. 0 (end
 * with image_close), -ENOEXEC, -ENOMEM or another -errno.
 */
int image_open(struct image *image, const struct module *module, bool all);
void image_close(struct image *image);

/* Looks for the debug file, and adds its .symtab, if that was not done yet. */
void image_open_debug(struct image *image, const struct module *module);

/* Closes the descriptors; what was read stays. A report opens many modules at once. */
void image_release_files(struct image *image);

/*
 * Calls visit for each symbol that is defined and has a name; the name, which may
 * have an @VERSION at its end, is valid until image_close. Stops when visit returns
 * non-zero and returns that, else 0.
 */
int image_visit(const struct image *image,
		int (*visit)(void *ctx, const Elf64_Sym *symbol, const char *name), void *ctx);

/* Whether an ELF address lies in an executable PT_LOAD. */
bool image_is_text(const struct image *image, u64 address);

/* The length of a symbol's name without its @VERSION. */
size_t image_name_length(const char *name);

#endif
