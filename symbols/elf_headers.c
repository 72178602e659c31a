// SPDX-License-Identifier: MIT
#include "symbols/elf_headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "symbols/note.h"

#define PAGE 4096ULL
/* The kernel loads no program whose program headers exceed this. */
#define PHDRS_MAX    (65536 / sizeof(Elf64_Phdr))
#define NOTE_MAX     65536
#define ADDRESS_LAST 0xffffffffffff0000ULL

static bool is_native(const Elf64_Ehdr *ehdr)
{
	return !memcmp(ehdr->e_ident, ELFMAG, SELFMAG) && ehdr->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ehdr->e_ident[EI_DATA] == ELFDATA2LSB && ehdr->e_machine == elf_machine &&
	       (ehdr->e_type == ET_EXEC || ehdr->e_type == ET_DYN) &&
	       ehdr->e_phentsize == sizeof(Elf64_Phdr);
}

/* Whether nothing overflows when the segment's ends are rounded to pages. */
static bool is_sane(const Elf64_Phdr *p)
{
	u64 end;

	return !__builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) && end <= ADDRESS_LAST &&
	       !__builtin_add_overflow(p->p_offset, p->p_filesz, &end) && end <= ADDRESS_LAST;
}

int elf_headers_read(struct elf_headers *headers, int fd)
{
	_cleanup_free_ Elf64_Phdr *phdrs = NULL;
	Elf64_Ehdr ehdr;
	struct stat st;
	size_t size;

	*headers = (struct elf_headers){0};
	if (fstat(fd, &st) < 0 || pread(fd, &ehdr, sizeof(ehdr), 0) != (ssize_t)sizeof(ehdr))
		return -ENOEXEC;
	if (!is_native(&ehdr) || !ehdr.e_phnum || ehdr.e_phnum > PHDRS_MAX ||
	    ehdr.e_phoff > (u64)st.st_size)
		return -ENOEXEC;
	size = ehdr.e_phnum * sizeof(*phdrs);
	phdrs = malloc(size);
	if (!phdrs)
		return -ENOMEM;
	if (pread(fd, phdrs, size, (off_t)ehdr.e_phoff) != (ssize_t)size)
		return -ENOEXEC;
	for (size_t i = 0; i < ehdr.e_phnum; i++)
		if (!is_sane(&phdrs[i]))
			phdrs[i].p_type = PT_NULL;
	*headers = (struct elf_headers){.phdrs = phdrs,
					.n = ehdr.e_phnum,
					.is_exec = ehdr.e_type == ET_EXEC,
					.file_size = (u64)st.st_size};
	phdrs = NULL;
	return 0;
}

void elf_headers_deinit(struct elf_headers *headers)
{
	free(headers->phdrs);
	*headers = (struct elf_headers){0};
}

static u64 page_down(u64 x)
{
	return x & ~(PAGE - 1);
}

static u64 page_up(u64 x)
{
	return page_down(x + PAGE - 1);
}

/* How well a PT_LOAD explains an executable mapping at this file offset; 0: not at all. */
static int fit(const Elf64_Phdr *p, u64 offset)
{
	u64 first = page_down(p->p_offset);
	int score;

	if (p->p_type != PT_LOAD || !p->p_filesz || offset < first ||
	    offset >= page_up(p->p_offset + p->p_filesz))
		return 0;
	score = 1;
	if (offset == first)
		score += 1;
	if (p->p_flags & PF_X)
		score += 2;
	return score;
}

bool elf_headers_bias(const struct elf_headers *headers, u64 start, u64 offset, u64 *bias)
{
	const Elf64_Phdr *best = NULL;
	int best_score = 0;

	for (size_t i = 0; i < headers->n; i++) {
		int score = fit(&headers->phdrs[i], offset);

		if (score > best_score) {
			best = &headers->phdrs[i];
			best_score = score;
		}
	}
	if (!best)
		return false;
	/* The ELF address of byte `offset`; modulo 2^64, as a bias may well be "negative". */
	*bias = start - (offset - best->p_offset + best->p_vaddr);
	return true;
}

bool elf_headers_extent(const struct elf_headers *headers, bool exec, u64 *start, u64 *end)
{
	*start = UINT64_MAX;
	*end = 0;
	for (size_t i = 0; i < headers->n; i++) {
		const Elf64_Phdr *p = &headers->phdrs[i];

		if (p->p_type != PT_LOAD || !p->p_memsz || (exec && !(p->p_flags & PF_X)))
			continue;
		if (page_down(p->p_vaddr) < *start)
			*start = page_down(p->p_vaddr);
		if (page_up(p->p_vaddr + p->p_memsz) > *end)
			*end = page_up(p->p_vaddr + p->p_memsz);
	}
	return *start < *end;
}

bool elf_headers_offset(const struct elf_headers *headers, u64 address, u64 size, u64 *offset)
{
	for (size_t i = 0; i < headers->n; i++) {
		const Elf64_Phdr *p = &headers->phdrs[i];

		if (p->p_type != PT_LOAD || address < p->p_vaddr || size > p->p_filesz ||
		    address - p->p_vaddr > p->p_filesz - size)
			continue;
		*offset = p->p_offset + (address - p->p_vaddr);
		return true;
	}
	return false;
}

size_t elf_headers_build_id(const struct elf_headers *headers, int fd, u8 *id, size_t max)
{
	for (size_t i = 0; i < headers->n; i++) {
		const Elf64_Phdr *p = &headers->phdrs[i];
		_cleanup_free_ u8 *note = NULL;
		size_t len;

		if (p->p_type != PT_NOTE || !p->p_filesz || p->p_filesz > NOTE_MAX)
			continue;
		note = malloc(p->p_filesz);
		if (!note)
			return 0;
		if (pread(fd, note, p->p_filesz, (off_t)p->p_offset) != (ssize_t)p->p_filesz)
			continue;
		len = note_build_id(note, p->p_filesz, p->p_align, id, max);
		if (len)
			return len;
	}
	return 0;
}
