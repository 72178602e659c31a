/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_MINI_DEBUG_H
#define MEMATTACH_SYMBOLS_MINI_DEBUG_H

#include "symbols/elf_file.h"

/*
 * Opens the "MiniDebugInfo" of a file: an ELF with nothing but a .symtab, packed
 * with xz into its section .gnu_debugdata. At most 256 MiB unpacked. 0 (end with
 * elf_file_close), -ENOENT if there is none, else -errno.
 */
int mini_debug_open(const struct elf_file *file, struct elf_file *mini);

#endif
