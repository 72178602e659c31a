// SPDX-License-Identifier: MIT
/*
 * libFuzzer harness for the text of /proc/PID/maps: whatever it is, the table is
 * sorted and disjoint, every address in it is found, and the layout of a module
 * found in it stays within bounds.
 *
 *	make fuzz FUZZ=maps
 */
#include <stdlib.h>

#include "proc/maps.h"
#include "symbols/module_layout.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_layout(const struct maps *maps, size_t i)
{
	Elf64_Phdr phdrs[] = {
		{.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 0x1000, .p_memsz = 0x1000},
		{.p_type = PT_LOAD,
		 .p_flags = PF_R | PF_X,
		 .p_offset = 0x1000,
		 .p_vaddr = 0x1000,
		 .p_filesz = 0x5000,
		 .p_memsz = 0x5000},
		{.p_type = PT_LOAD,
		 .p_flags = PF_R | PF_W,
		 .p_offset = 0x5f00,
		 .p_vaddr = 0x6f00,
		 .p_filesz = 0x200,
		 .p_memsz = 0x10000},
	};
	struct elf_headers headers = {.phdrs = phdrs, .n = ARRAY_SIZE(phdrs)};
	const struct map *m = &maps->items[i];
	struct module_layout layout;

	module_layout_find(maps, i, 0, &headers, &layout);
	check(layout.start <= m->start && m->start < layout.end);
	check(layout.start <= layout.text_start && layout.text_end <= layout.end);
	module_layout_find(maps, i, m->start, NULL, &layout);
	check(layout.start == m->start && m->end <= layout.end);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct maps maps;

	if (maps_parse(&maps, (const char *)data, size, NULL))
		return 0;
	for (size_t i = 0; i < maps.n; i++) {
		const struct map *m = &maps.items[i];

		check(m->start < m->end && (!i || maps.items[i - 1].end <= m->start));
		check(maps_find(&maps, m->start) == m && maps_find(&maps, m->end - 1) == m);
		if (m->exec)
			check_layout(&maps, i);
	}
	maps_deinit(&maps);
	return 0;
}
