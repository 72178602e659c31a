// SPDX-License-Identifier: MIT
/*
 * Without section headers (as sstrip leaves a program) the way to the symbols is
 * that of the dynamic linker:
 *
 *	PT_DYNAMIC -> DT_SYMTAB, DT_STRTAB, DT_STRSZ
 *	           -> DT_HASH: nbucket, nchain = number of symbols
 *	           -> DT_GNU_HASH: nbuckets, symoffset, bloom words, shift, the bloom
 *	              filter, buckets[nbuckets], then one word per symbol from
 *	              symoffset on, whose lowest bit ends a bucket's chain. The last
 *	              symbol is where the chain of the highest bucket ends.
 */
#include "symbols/symtab.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_MAX (1ULL << 28)

/* Cuts off what no NUL ends. */
static void set_strings(struct symtab *table, const char *strings, size_t size)
{
	while (size && strings[size - 1])
		size--;
	table->strings = strings;
	table->strings_size = size;
}

bool symtab_from_section(struct symtab *table, const struct elf_file *file, u32 type)
{
	const Elf_Data *symbols, *strings;
	GElf_Shdr shdr, str_shdr;
	Elf_Scn *scn, *str;

	*table = (struct symtab){0};
	scn = elf_file_section_of_type(file, type, &shdr);
	if (!scn || shdr.sh_entsize != sizeof(Elf64_Sym))
		return false;
	str = elf_getscn(file->elf, shdr.sh_link);
	if (!str || !gelf_getshdr(str, &str_shdr) || str_shdr.sh_type != SHT_STRTAB)
		return false;
	symbols = elf_file_data(scn);
	strings = elf_file_data(str);
	if (!symbols || !strings)
		return false;
	table->symbols = symbols->d_buf;
	table->n = symbols->d_size / sizeof(Elf64_Sym);
	set_strings(table, strings->d_buf, strings->d_size);
	return true;
}

/* size bytes at an ELF address, malloc'ed; NULL if they are not all in the file. */
static void *read_at(int fd, const struct elf_headers *headers, u64 address, u64 size)
{
	u64 offset;
	void *buf;

	if (!size || size > TABLE_MAX || size > headers->file_size ||
	    !elf_headers_offset(headers, address, size, &offset))
		return NULL;
	buf = malloc(size);
	if (buf && pread(fd, buf, size, (off_t)offset) != (ssize_t)size) {
		free(buf);
		buf = NULL;
	}
	return buf;
}

/* How many bytes of its segment lie in the file from this ELF address on. */
static u64 rest_of_segment(const struct elf_headers *headers, u64 address)
{
	for (size_t i = 0; i < headers->n; i++) {
		const Elf64_Phdr *p = &headers->phdrs[i];

		if (p->p_type == PT_LOAD && address >= p->p_vaddr &&
		    address - p->p_vaddr < p->p_filesz)
			return p->p_filesz - (address - p->p_vaddr);
	}
	return 0;
}

static u64 count_by_hash(int fd, const struct elf_headers *headers, u64 address)
{
	u32 *head = read_at(fd, headers, address, 2 * sizeof(*head));
	u64 n = head ? head[1] : 0;

	free(head);
	return n;
}

static u64 count_by_gnu_hash(int fd, const struct elf_headers *headers, u64 address)
{
	u64 size = rest_of_segment(headers, address) & ~3ULL;
	u64 words, chains, i;
	u64 n = 0;
	u32 *table;

	if (size > TABLE_MAX)
		size = TABLE_MAX;
	words = size / 4;
	table = words > 4 ? read_at(fd, headers, address, size) : NULL;
	if (!table)
		return 0;
	/* Counts are 32 bits wide: no overflow in 64. */
	chains = 4 + (u64)table[2] * 2 + table[0];
	if (chains <= words) {
		for (i = chains - table[0]; i < chains; i++)
			if (table[i] > n)
				n = table[i];
		i = n >= table[1] ? chains + (n - table[1]) : words;
		while (i < words && !(table[i] & 1)) {
			i++;
			n++;
		}
		n = n && i < words ? n + 1 : 0;
	}
	free(table);
	return n;
}

/* What PT_DYNAMIC says of the tables. */
struct dynamic {
	u64 symtab, strtab, strsz, hash, gnu_hash;
};

static void note_tag(struct dynamic *d, const Elf64_Dyn *dyn)
{
	switch (dyn->d_tag) {
	case DT_SYMTAB:
		d->symtab = dyn->d_un.d_ptr;
		break;
	case DT_STRTAB:
		d->strtab = dyn->d_un.d_ptr;
		break;
	case DT_STRSZ:
		d->strsz = dyn->d_un.d_val;
		break;
	case DT_HASH:
		d->hash = dyn->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		d->gnu_hash = dyn->d_un.d_ptr;
		break;
	default:
		break;
	}
}

static bool read_dynamic(int fd, const struct elf_headers *headers, struct dynamic *d)
{
	for (size_t i = 0; i < headers->n; i++) {
		const Elf64_Phdr *p = &headers->phdrs[i];
		Elf64_Dyn *dyn;

		if (p->p_type != PT_DYNAMIC)
			continue;
		dyn = read_at(fd, headers, p->p_vaddr, p->p_filesz);
		for (size_t k = 0; dyn && k < p->p_filesz / sizeof(*dyn); k++) {
			if (dyn[k].d_tag == DT_NULL)
				break;
			note_tag(d, &dyn[k]);
		}
		free(dyn);
		return d->symtab && d->strtab;
	}
	return false;
}

bool symtab_from_dynamic(struct symtab *table, int fd, const struct elf_headers *headers)
{
	struct dynamic d = {0};
	u64 n = 0;

	*table = (struct symtab){0};
	if (!read_dynamic(fd, headers, &d))
		return false;
	if (d.hash)
		n = count_by_hash(fd, headers, d.hash);
	if (!n && d.gnu_hash)
		n = count_by_gnu_hash(fd, headers, d.gnu_hash);
	table->owned[0] = read_at(fd, headers, d.symtab, n * sizeof(Elf64_Sym));
	table->owned[1] = read_at(fd, headers, d.strtab, d.strsz);
	if (!table->owned[0] || !table->owned[1]) {
		symtab_deinit(table);
		return false;
	}
	table->symbols = table->owned[0];
	table->n = n;
	set_strings(table, table->owned[1], d.strsz);
	return true;
}

void symtab_deinit(struct symtab *table)
{
	free(table->owned[0]);
	free(table->owned[1]);
	*table = (struct symtab){0};
}

bool symtab_get(const struct symtab *table, size_t i, Elf64_Sym *symbol, const char **name)
{
	memcpy(symbol, table->symbols + i * sizeof(*symbol), sizeof(*symbol));
	if (symbol->st_name >= table->strings_size)
		return false;
	*name = table->strings + symbol->st_name;
	return true;
}
