// SPDX-License-Identifier: MIT
/*
 * struct r_debug, the same in glibc and musl:
 *
 *	0  int r_version     0 until the dynamic linker has filled it in
 *	8  struct link_map *r_map
 *	16 address r_brk
 *	24 int r_state
 *
 * glibc exports it as _r_debug and the function as _dl_debug_state. musl exports a
 * pointer to it, _dl_debug_addr, which is not relocated yet when the program
 * starts, and the function under the same name. All addresses that come out of
 * the target's memory have to lie in a module, r_brk in the text of one: a
 * breakpoint will be written there.
 */
#include "symbols/r_debug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "symbols/elf_headers.h"
#include "symbols/elf_symbols.h"

#define R_BRK       16
#define R_STATE     24
#define DYNAMIC_MAX 65536

static bool is_text(const struct modules *modules, u64 address)
{
	const struct module *m = modules_at(modules, address);

	return m && address >= m->text_start && address < m->text_end;
}

static u64 read_word(const struct mem_reader *memory, u64 address)
{
	u64 word;

	return mem_read_all(memory, address, &word, sizeof(word)) ? 0 : word;
}

static bool has_segment(const struct module *module, u32 type, Elf64_Phdr *segment)
{
	struct elf_headers headers;
	bool found = false;

	if (module->fd < 0 || elf_headers_read(&headers, module->fd))
		return false;
	for (size_t i = 0; i < headers.n && !found; i++) {
		found = headers.phdrs[i].p_type == type;
		if (found)
			*segment = headers.phdrs[i];
	}
	elf_headers_deinit(&headers);
	return found;
}

/* Fills info from a module that may be the dynamic linker. False if it is not. */
static bool from_linker(const struct modules *modules, const struct module *module,
			const struct mem_reader *memory, struct r_debug_info *info)
{
	u64 brk = elf_symbol_address(module, "_dl_debug_state");
	u64 address, pointer;

	if (!brk || !is_text(modules, brk))
		return false;
	address = elf_symbol_address(module, "_r_debug");
	if (!address) {
		pointer = elf_symbol_address(module, "_dl_debug_addr");
		address = pointer ? read_word(memory, pointer) : 0;
	}
	if (!address || modules_at(modules, address) != module)
		address = 0;
	info->address = address;
	info->brk = brk;
	return true;
}

/* DT_DEBUG of the program, which the dynamic linker sets to the address of its struct. */
static u64 from_program(const struct module *program, const struct mem_reader *memory)
{
	_cleanup_free_ Elf64_Dyn *dyn = NULL;
	Elf64_Phdr segment;
	size_t n;

	if (!has_segment(program, PT_DYNAMIC, &segment))
		return 0;
	n = segment.p_memsz < DYNAMIC_MAX ? segment.p_memsz : DYNAMIC_MAX;
	dyn = malloc(n);
	if (!dyn || mem_read_all(memory, segment.p_vaddr + program->bias, dyn, n))
		return 0;
	for (size_t i = 0; i < n / sizeof(*dyn) && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_DEBUG)
			return dyn[i].d_un.d_ptr;
	return 0;
}

/* ld-linux-x86-64.so.2, ld-2.31.so, ld-musl-x86_64.so.1; musl's also goes by libc.so. */
static bool is_linker_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return !strncmp(name, "ld", 2) || !strcmp(name, "libc.so") ||
	       !strncmp(name, "libc.musl-", 10);
}

static bool search_linker(const struct modules *modules, const struct mem_reader *memory,
			  bool by_name, struct r_debug_info *info)
{
	for (u32 id = 1; id <= modules_count(modules); id++) {
		const struct module *m = modules_get(modules, id);

		/* The program itself only if it is the linker, as in `ld.so program`. */
		if (!m->mapped || m->fd < 0 || m->is_vdso || is_linker_name(m->path) != by_name ||
		    (m->is_main && !by_name))
			continue;
		if (from_linker(modules, m, memory, info))
			return true;
	}
	return false;
}

static const struct module *find_main(const struct modules *modules)
{
	for (u32 id = 1; id <= modules_count(modules); id++)
		if (modules_get(modules, id)->is_main)
			return modules_get(modules, id);
	return NULL;
}

int r_debug_find(const struct modules *modules, const struct mem_reader *memory,
		 struct r_debug_info *info, struct err *err)
{
	const struct module *program = find_main(modules);
	Elf64_Phdr segment;
	bool is_dynamic;
	u64 address, brk;

	(void)err;
	*info = (struct r_debug_info){0};
	is_dynamic = program && has_segment(program, PT_INTERP, &segment);
	if (!search_linker(modules, memory, true, info) && is_dynamic)
		search_linker(modules, memory, false, info);
	/* A static PIE has a DT_DEBUG, too, but nobody to load modules. */
	if (!info->address && is_dynamic) {
		address = from_program(program, memory);
		info->address = address && modules_at(modules, address) ? address : 0;
	}
	if (info->address) {
		brk = read_word(memory, info->address + R_BRK);
		if (brk && is_text(modules, brk))
			info->brk = brk;
	}
	return 0;
}

int r_debug_state(const struct r_debug_info *info, const struct mem_reader *memory)
{
	u32 state;
	int rc;

	if (!info->address)
		return -ENOENT;
	rc = mem_read_all(memory, info->address + R_STATE, &state, sizeof(state));
	if (rc)
		return rc;
	return state <= 2 ? (int)state : -EPROTO;
}
