// SPDX-License-Identifier: MIT
/*
 * Finds the call frame information of an ELF file (unwind/elf_cfi.h): by the
 * section's name or, where there are no section headers, by PT_GNU_EH_FRAME, whose
 * segment (.eh_frame_hdr) begins with
 *
 *	u8 version = 1, u8 encoding of eh_frame_ptr, u8 of fde_count, u8 of table,
 *	eh_frame_ptr, ...
 */
#include "unwind/elf_cfi.h"

#include <dwarf.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unwind/eh_pointer.h"

static int read_segments(struct elf_cfi *cfi)
{
	size_t n;

	if (elf_getphdrnum(cfi->elf, &n) || n > 65535)
		return -EINVAL;
	cfi->base = UINT64_MAX;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr ph;
		u64 end;

		if (!gelf_getphdr(cfi->elf, (int)i, &ph))
			return -EINVAL;
		if (ph.p_type == PT_GNU_EH_FRAME)
			cfi->hdr_address = ph.p_vaddr;
		if (ph.p_type != PT_LOAD || __builtin_add_overflow(ph.p_vaddr, ph.p_memsz, &end))
			continue;
		if (cfi->top == 0)
			cfi->first_page = ph.p_vaddr & -(ph.p_align ? ph.p_align : 1);
		if (ph.p_vaddr < cfi->base)
			cfi->base = ph.p_vaddr;
		if (end > cfi->top)
			cfi->top = end;
	}
	return cfi->base < cfi->top ? 0 : -EINVAL;
}

static void take_section(struct cfi_section *section, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data;

	if (sh->sh_flags & SHF_COMPRESSED) {
		GElf_Chdr ch;

		if (!gelf_getchdr(scn, &ch) || ch.ch_size > ELF_CFI_SECTION_MAX ||
		    elf_compress(scn, 0, 0) < 0)
			return;
		data = elf_getdata(scn, NULL);
	} else {
		data = elf_rawdata(scn, NULL);
	}
	if (!data || !data->d_buf || data->d_size == 0)
		return;
	section->data = data->d_buf;
	section->size = data->d_size;
	section->address = sh->sh_addr;
	section->whole = true;
}

static void find_sections(struct elf_cfi *cfi)
{
	Elf_Scn *scn = NULL;
	size_t strings;

	if (elf_getshdrstrndx(cfi->elf, &strings))
		return;
	while ((scn = elf_nextscn(cfi->elf, scn))) {
		GElf_Shdr sh;
		const char *name;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type == SHT_NOBITS ||
		    sh.sh_size > ELF_CFI_SECTION_MAX)
			continue;
		name = elf_strptr(cfi->elf, strings, sh.sh_name);
		if (!name)
			continue;
		if (!strcmp(name, ".eh_frame") && !cfi->eh_frame.data)
			take_section(&cfi->eh_frame, scn, &sh);
		else if (!strcmp(name, ".debug_frame") && !cfi->debug_frame.data)
			take_section(&cfi->debug_frame, scn, &sh);
	}
}

/* Reads up to len bytes at an address of the ELF file, no further than the segment's end. */
static ssize_t read_address(const struct elf_cfi *cfi, u64 address, void *buf, size_t len)
{
	size_t n;

	if (elf_getphdrnum(cfi->elf, &n))
		return -1;
	for (size_t i = 0; i < n && i < 65535; i++) {
		GElf_Phdr ph;
		u64 at;

		if (!gelf_getphdr(cfi->elf, (int)i, &ph))
			return -1;
		at = address - ph.p_vaddr;
		if (ph.p_type != PT_LOAD || address < ph.p_vaddr || at >= ph.p_filesz ||
		    ph.p_offset > INT64_MAX / 2 || at > INT64_MAX / 2)
			continue;
		if (len > ph.p_filesz - at)
			len = ph.p_filesz - at;
		return pread(cfi->fd, buf, len, (off_t)(ph.p_offset + at));
	}
	return -1;
}

static int find_by_segment(struct elf_cfi *cfi)
{
	u8 hdr[16];
	ssize_t n = read_address(cfi, cfi->hdr_address, hdr, sizeof(hdr));
	struct eh_base base = {
		.section = hdr, .address = cfi->hdr_address, .data = cfi->hdr_address};
	struct cursor in;
	off_t file_size = lseek(cfi->fd, 0, SEEK_END);
	size_t size;
	u64 address;

	if (n < 8 || hdr[0] != 1 || file_size <= 0)
		return 0;
	in = (struct cursor){.p = hdr + 4, .end = hdr + n};
	if (!eh_pointer(&in, hdr[1], &base, &address))
		return 0;
	size = file_size < (off_t)ELF_CFI_SECTION_MAX ? (size_t)file_size : ELF_CFI_SECTION_MAX;
	cfi->owned = malloc(size);
	if (!cfi->owned)
		return -ENOMEM;
	n = read_address(cfi, address, cfi->owned, size);
	if (n > 0) {
		cfi->eh_frame = (struct cfi_section){
			.data = cfi->owned, .size = (size_t)n, .address = address};
	}
	return 0;
}

int elf_cfi_open(struct elf_cfi *cfi, int fd)
{
	GElf_Ehdr eh;

	*cfi = (struct elf_cfi){.fd = fd};
	elf_version(EV_CURRENT);
	cfi->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!cfi->elf)
		return -EINVAL;
	if (elf_kind(cfi->elf) != ELF_K_ELF || !gelf_getehdr(cfi->elf, &eh) ||
	    eh.e_machine != EM_X86_64 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || read_segments(cfi)) {
		elf_cfi_close(cfi);
		return -EINVAL;
	}
	return 0;
}

int elf_cfi_read_sections(struct elf_cfi *cfi)
{
	find_sections(cfi);
	if (!cfi->eh_frame.data && cfi->hdr_address)
		return find_by_segment(cfi);
	return 0;
}

void elf_cfi_close(struct elf_cfi *cfi)
{
	free(cfi->owned);
	elf_end(cfi->elf);
	*cfi = (struct elf_cfi){0};
}
