/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_MODULE_SYMBOLS_H
#define MEMATTACH_SYMBOLS_MODULE_SYMBOLS_H

#include "symbols/modules.h"
#include "symbols/string_pool.h"
#include "symbols/symbolizer.h"

/* Everything that names the addresses of one module. */
struct module_symbols;

/*
 * Reads its symbols and its DWARF; slow. One that has none, or broken ones, is no
 * error. NULL when out of memory. pool is borrowed.
 */
struct module_symbols *module_symbols_create(const struct module *module, struct string_pool *pool);
void module_symbols_destroy(struct module_symbols *symbols);

/*
 * The frames at an ELF address, as symbolizer_lookup has them, in a malloc'ed array
 * with strings in the pool. How many, at least one, or -ENOMEM.
 */
int module_symbols_find(struct module_symbols *symbols, u64 address, struct symbol_frame **frames);

#endif
