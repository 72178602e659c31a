// SPDX-License-Identifier: MIT
/*
 * Two sources: DWARF knows inlined functions and lines, ELF symbols know more
 * functions, and the names under which callers know them (glibc's malloc is
 * __libc_malloc in DWARF). So DWARF makes the frames, and the last one, the real
 * function, takes the ELF symbol's name where it has no better one.
 */
#include "symbols/module_symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/demangle.h"
#include "symbols/dwarf_info.h"
#include "symbols/image.h"
#include "symbols/symbol_index.h"

#define DEMANGLED_MAX 16384

struct module_symbols {
	struct string_pool *pool;
	struct image image;
	bool has_image;
	struct symbol_index *index;
	struct dwarf_info *dwarf;
};

struct module_symbols *module_symbols_create(const struct module *module, struct string_pool *pool)
{
	struct module_symbols *symbols = calloc(1, sizeof(*symbols));
	int rc;

	if (!symbols)
		return NULL;
	symbols->pool = pool;
	rc = image_open(&symbols->image, module, true);
	symbols->has_image = !rc;
	if (rc == -ENOMEM)
		goto fail;
	if (rc)
		return symbols;
	image_open_debug(&symbols->image, module);
	symbols->index = symbol_index_create(&symbols->image);
	if (!symbols->index)
		goto fail;
	symbols->dwarf = dwarf_info_open(&symbols->image, module);
	image_release_files(&symbols->image);
	return symbols;
fail:
	module_symbols_destroy(symbols);
	return NULL;
}

void module_symbols_destroy(struct module_symbols *symbols)
{
	if (!symbols)
		return;
	dwarf_info_close(symbols->dwarf);
	symbol_index_destroy(symbols->index);
	if (symbols->has_image)
		image_close(&symbols->image);
	free(symbols);
}

/* A name for people, in the pool. NULL when out of memory. */
static const char *pretty(struct string_pool *pool, const char *name, size_t len)
{
	char demangled[DEMANGLED_MAX];
	size_t n = demangle(name, len, demangled, sizeof(demangled));

	return n ? string_pool_add(pool, demangled, n) : string_pool_add(pool, name, len);
}

/* Whether the function's ELF symbol says more than its DWARF. */
static bool prefer_symbol(const struct dwarf_frame *frame, const char *symbol)
{
	int of_symbol, of_frame;

	if (frame->linkage_name)
		return false;
	if (!frame->name || demangle_applies(symbol))
		return true;
	of_symbol = symbol_underscores(symbol);
	of_frame = symbol_underscores(frame->name);
	/* __libc_start_main is __libc_start_main_impl in DWARF. */
	return of_symbol < of_frame ||
	       (of_symbol == of_frame && of_symbol &&
		image_name_length(symbol) < strnlen(frame->name, STRING_POOL_MAX));
}

static int set_function(struct module_symbols *symbols, const struct dwarf_frame *from,
			const char *symbol, struct symbol_frame *frame)
{
	const char *name = from->linkage_name ? from->linkage_name : from->name;
	size_t len;

	if (symbol && prefer_symbol(from, symbol)) {
		name = symbol;
		len = image_name_length(symbol);
	} else {
		len = name ? strnlen(name, STRING_POOL_MAX) : 0;
	}
	if (!name)
		return 0;
	frame->function = pretty(symbols->pool, name, len);
	return frame->function ? 0 : -ENOMEM;
}

static int set_file(struct module_symbols *symbols, const struct dwarf_frame *from,
		    struct symbol_frame *frame)
{
	frame->line = from->file ? from->line : 0;
	if (!from->file)
		return 0;
	frame->file =
		string_pool_add(symbols->pool, from->file, strnlen(from->file, STRING_POOL_MAX));
	return frame->file ? 0 : -ENOMEM;
}

int module_symbols_find(struct module_symbols *symbols, u64 address, struct symbol_frame **frames)
{
	struct dwarf_frame found[DWARF_FRAMES_MAX] = {0};
	struct symbol_hit hit = {0};
	struct symbol_frame *out;
	size_t n = 0;

	if (symbols->index)
		symbol_index_find(symbols->index, address, &hit);
	if (symbols->dwarf)
		n = dwarf_info_find(symbols->dwarf, address, found);
	if (!n)
		n = 1;
	out = calloc(n, sizeof(*out));
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		out[i].inlined = i + 1 < n;
		if (set_function(symbols, &found[i], i + 1 < n ? NULL : hit.name, &out[i]) ||
		    set_file(symbols, &found[i], &out[i])) {
			free(out);
			return -ENOMEM;
		}
	}
	*frames = out;
	return (int)n;
}
