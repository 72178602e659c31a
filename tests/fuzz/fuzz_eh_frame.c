// SPDX-License-Identifier: MIT
/* libFuzzer: the compiler of .eh_frame and .debug_frame, on a section of any bytes. */
#include <stdlib.h>

#include "unwind/compile.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct elf_cfi elf = {.base = 0x1000, .top = 0x200000, .hdr_address = 0x100000};
	struct cfi_section section = {.address = 0x8000};
	struct unwind_table table;

	if (size < 2)
		return 0;
	section.whole = data[0] & 1;
	section.data = data + 1;
	section.size = size - 1;
	if (data[0] & 2)
		elf.debug_frame = section;
	if (!(data[0] & 2) || data[0] & 4)
		elf.eh_frame = section;
	if (unwind_table_compile_elf(&table, &elf))
		abort();
	for (size_t i = 1; i < table.n; i++)
		if (table.rows[i - 1].start >= table.rows[i].start)
			abort();
	unwind_table_deinit(&table);
	return 0;
}
