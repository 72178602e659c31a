// SPDX-License-Identifier: MIT
#include "symbols/dwarf_empty.h"

#include <stdlib.h>
#include <string.h>

#include "symbols/elf_headers.h"

#define NAMES "\0.debug_info\0.shstrtab"

struct file {
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdrs[3];
	char names[24];
	char info[8]; /* an end of units */
};

static void fill(struct file *f)
{
	memcpy(f->ehdr.e_ident, ELFMAG, SELFMAG);
	f->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	f->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	f->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	f->ehdr.e_type = ET_DYN;
	f->ehdr.e_machine = elf_machine;
	f->ehdr.e_version = EV_CURRENT;
	f->ehdr.e_ehsize = sizeof(f->ehdr);
	f->ehdr.e_shoff = offsetof(struct file, shdrs);
	f->ehdr.e_shentsize = sizeof(f->shdrs[0]);
	f->ehdr.e_shnum = ARRAY_SIZE(f->shdrs);
	f->ehdr.e_shstrndx = 2;
	memcpy(f->names, NAMES, sizeof(NAMES));
	f->shdrs[1] = (Elf64_Shdr){.sh_name = 1,
				   .sh_type = SHT_PROGBITS,
				   .sh_offset = offsetof(struct file, info),
				   .sh_size = sizeof(f->info),
				   .sh_addralign = 1};
	f->shdrs[2] = (Elf64_Shdr){.sh_name = 13,
				   .sh_type = SHT_STRTAB,
				   .sh_offset = offsetof(struct file, names),
				   .sh_size = sizeof(f->names),
				   .sh_addralign = 1};
}

Dwarf *dwarf_empty_open(struct dwarf_empty *empty)
{
	*empty = (struct dwarf_empty){.bytes = calloc(1, sizeof(struct file))};
	if (!empty->bytes)
		return NULL;
	fill(empty->bytes);
	empty->elf = elf_memory(empty->bytes, sizeof(struct file));
	if (empty->elf)
		empty->dw = dwarf_begin_elf(empty->elf, DWARF_C_READ, NULL);
	return empty->dw;
}

void dwarf_empty_close(struct dwarf_empty *empty)
{
	if (empty->dw)
		dwarf_end(empty->dw);
	if (empty->elf)
		elf_end(empty->elf);
	free(empty->bytes);
	*empty = (struct dwarf_empty){0};
}
