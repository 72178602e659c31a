/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DEBUG_FILE_H
#define MEMATTACH_SYMBOLS_DEBUG_FILE_H

#include "symbols/elf_file.h"
#include "symbols/modules.h"

/*
 * Separate debug files, where gdb and the distributions put them. Only local
 * ones: no server is ever asked. Each name is looked up inside the target's root
 * and inside ours, and what is found there has to prove that it belongs.
 */
struct debug_file {
	struct elf_file elf;
	bool on_host; /* found in our root, not in the target's */
	char *path;   /* there, malloc'ed */
};

/*
 * The debug file of a module, whose own file is `own`: by build-id
 * (/usr/lib/debug/.build-id/XX/YY.debug), else by .gnu_debuglink (beside the
 * module, in .debug/ there, in /usr/lib/debug/DIRECTORY). It has to have the same
 * build-id, or, where there is none, the CRC of the link. 0 (end with
 * debug_file_close) or -ENOENT.
 */
int debug_file_open(struct debug_file *debug, const struct module *module,
		    const struct elf_file *own);

/*
 * The file that dwz moved common parts of `of` to, as its .gnu_debugaltlink says:
 * by build-id, else by name in the root in which of was found. It has to have the
 * build-id of the link. 0 or -ENOENT.
 */
int debug_file_open_alt(struct debug_file *alt, const struct module *module,
			const struct debug_file *of);

/* Takes one that is all zero, too. */
void debug_file_close(struct debug_file *debug);

#endif
