/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_MODULE_FILE_H
#define MEMATTACH_SYMBOLS_MODULE_FILE_H

#include <sys/stat.h>

#include "proc/maps.h"
#include "proc/mem.h"
#include "symbols/elf_headers.h"
#include "symbols/modules.h"

/* Where the files of a process are to be found. */
struct module_source {
	const struct proc_mem *mem;
	int root_fd; /* the target's root directory, or -1 */
};

/* A file that is, or was, mapped as a module; several modules may share it. */
struct module_file {
	u64 dev, inode; /* as in maps; with path, what identifies it there */
	char *path;
	int fd; /* -1: not open */
	struct elf_headers headers;
	bool is_elf;
	struct stat st; /* when it was opened */
	u8 build_id[MODULE_BUILD_ID_MAX];
	size_t build_id_len;

	u32 mapped;   /* how many modules of it are mapped now */
	u64 attempt;  /* the update that last tried to open it */
	u64 last_use; /* the update that last saw it mapped */
	u32 next;     /* index + 1 of the next one in its hash chain */
};

/* An unopened one for the file of this mapping; NULL when out of memory. */
struct module_file *module_file_create(const struct map *m);
void module_file_destroy(struct module_file *file);

/*
 * Opens the file of mapping m and reads its headers; the vdso is copied to a
 * memfd. One that cannot be opened, is not surely the mapped one, or is no ELF
 * is left with fd -1 and is no error: 0, or -ENOMEM. What an earlier
 * module_file_open found is forgotten.
 */
int module_file_open(struct module_file *file, const struct map *m,
		     const struct module_source *source);
void module_file_close(struct module_file *file);

/* Whether `now`, freshly opened, is the very file that `before` was. */
bool module_file_same(const struct module_file *before, const struct module_file *now);

/* Whether the open file is still what it was when it was opened. */
bool module_file_unchanged(const struct module_file *file);

#endif
