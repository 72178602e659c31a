/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_ELF_SYMBOLS_H
#define MEMATTACH_SYMBOLS_ELF_SYMBOLS_H

#include "base/err.h"
#include "base/types.h"
#include "symbols/modules.h"

/* One defined function symbol of a module. */
struct elf_symbol {
	const char *name; /* without @VERSION; valid during the visit only */
	u64 address;      /* in the process: st_value + bias */
	u64 size;
	bool is_ifunc; /* STT_GNU_IFUNC: address is that of the resolver */
};

/*
 * Calls visit for every defined FUNC or IFUNC symbol in an executable section of
 * the module: .dynsym, .symtab, the .gnu_debugdata (MiniDebugInfo), and, if
 * neither has a .symtab, the separate debug file (build-id, debuglink). A
 * function may be visited several times (aliases; both tables). Stops when visit
 * returns non-zero and returns that; 0 otherwise. A broken ELF ends the visit early.
 */
int elf_symbols_visit(const struct module *module,
		      int (*visit)(void *ctx, const struct elf_symbol *symbol), void *ctx);

/*
 * The run-time address of a data or function symbol by exact name (.dynsym, then
 * .symtab), as of _r_debug or _dl_debug_state; 0 if there is none.
 */
u64 elf_symbol_address(const struct module *module, const char *name);

#endif
