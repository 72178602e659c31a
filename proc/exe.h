/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_EXE_H
#define MEMATTACH_PROC_EXE_H

#include "base/types.h"

/* What kind of program an ELF file is: class and machine of its header. */
struct exe_kind {
	u8 class;    /* ELFCLASS32, ELFCLASS64 */
	u8 data;     /* ELFDATA2LSB, ELFDATA2MSB */
	u16 machine; /* EM_* */
};

/*
 * Reads the kind of the program at path (/proc/PID/exe). 0; -errno when it cannot
 * be read; -ENOEXEC when it is no ELF file.
 */
int exe_kind_read(const char *path, struct exe_kind *kind);

/* The same from the first bytes of the file; 20 are enough. */
int exe_kind_parse(const void *header, size_t len, struct exe_kind *kind);

bool exe_kind_equal(const struct exe_kind *a, const struct exe_kind *b);

/* In words, such as "32-bit x86" or "64-bit ARM". */
void exe_kind_text(const struct exe_kind *kind, char *text, size_t size);

#endif
