/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_MODULES_H
#define MEMATTACH_SYMBOLS_MODULES_H

#include "base/err.h"
#include "base/types.h"
#include "proc/maps.h"

/*
 * The modules (executable, libraries, vdso) of one image of a process: what is
 * mapped now and, since stacks outlive a dlclose, everything that ever was.
 *
 * A module is a file with at least one executable private mapping. Its load
 * bias (address in the process - address in the ELF file) comes from the PT_LOAD
 * that the mapping's file offset falls into, never from the lowest mapping.
 */
struct modules;

#define MODULE_BUILD_ID_MAX 32

struct module {
	u32 id;       /* 1 .. FRAME_MODULE_MAX, never reused for another file or address */
	bool mapped;  /* false once it was unloaded */
	bool is_main; /* the program itself, /proc/PID/exe */
	bool is_vdso;
	bool deleted;   /* its file has been unlinked or replaced */
	u64 start, end; /* addresses in the process, from the lowest to the highest PT_LOAD */
	u64 text_start, text_end; /* the executable part of that */
	u64 bias;
	u64 inode;
	u64 dev;
	char *path; /* as the target sees it, "[vdso]" for that; may hold any byte but NUL */
	int fd;     /* the ELF file, open for reading and owned by modules; a memfd for the vdso;
			    -1 if it could not be opened or is no ELF file of this machine; of
			    unmapped modules only the last 512 files stay open */
	u8 build_id[MODULE_BUILD_ID_MAX];
	size_t build_id_len; /* 0: none */
	int root_fd; /* the target's root directory, O_PATH, for its debug files; owned by modules;
			-1 if unknown */
};

/* An empty table for process pid. NULL when out of memory. */
struct modules *modules_create(pid_t pid, struct err *err);
void modules_destroy(struct modules *modules);

/*
 * Brings the table up to date with maps: new modules are opened (through
 * /proc/PID/map_files or /proc/PID/root, so that deleted files and other mount
 * namespaces work, and only regular files), vanished ones marked. A file that
 * is no ELF, or broken, becomes a module with fd -1, never an error. *changed
 * tells whether anything was added or vanished. 0, -ENOMEM.
 */
int modules_update(struct modules *modules, const struct maps *maps, bool *changed,
		   struct err *err);

/* How many modules ever were; their ids are 1 .. this number. */
u32 modules_count(const struct modules *modules);

/* The module with this id, NULL for 0 or an unknown one. Valid until modules_destroy. */
const struct module *modules_get(const struct modules *modules, u32 id);

/* The module mapped at address now, or NULL. O(log n). */
const struct module *modules_at(const struct modules *modules, u64 address);

#endif
