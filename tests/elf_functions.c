// SPDX-License-Identifier: MIT
#include "tests/elf_functions.h"

#include <check.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t read_image(void *ctx, u64 address, void *buffer, size_t len)
{
	const struct elf_image *image = ctx;

	if (address >= image->size)
		return -14;
	if (len > image->size - address)
		len = image->size - address;
	memcpy(buffer, image->bytes + address, len);
	return (ssize_t)len;
}

static void load_segments(struct elf_image *image, Elf *elf, int fd)
{
	GElf_Phdr header;
	size_t n;

	ck_assert_int_eq(elf_getphdrnum(elf, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD &&
		    header.p_vaddr + header.p_memsz > image->size)
			image->size = header.p_vaddr + header.p_memsz;
	image->bytes = calloc(1, image->size);
	ck_assert_ptr_nonnull(image->bytes);
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD)
			continue;
		ck_assert(pread(fd, image->bytes + header.p_vaddr, header.p_filesz,
				(off_t)header.p_offset) == (ssize_t)header.p_filesz);
		if (!(header.p_flags & PF_X))
			continue;
		image->text = header.p_vaddr;
		image->text_end = header.p_vaddr + header.p_memsz;
	}
}

static void load_symbols(struct elf_image *image, Elf *elf, Elf_Scn *section, size_t link)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Sym symbol;

	for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
		const char *name = elf_strptr(elf, link, symbol.st_name);

		if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
		    !symbol.st_value || !name)
			continue;
		image->functions =
			realloc(image->functions, (image->n + 1) * sizeof(*image->functions));
		ck_assert_ptr_nonnull(image->functions);
		image->functions[image->n++] = (struct elf_function){
			.name = strdup(name), .address = symbol.st_value, .size = symbol.st_size};
	}
}

static int by_address(const void *a, const void *b)
{
	const struct elf_function *x = a, *y = b;

	return x->address != y->address ? (x->address > y->address) - (x->address < y->address)
					: strcmp(x->name, y->name);
}

bool elf_image_load(struct elf_image *image, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf_Scn *section = NULL;
	Elf *elf;

	memset(image, 0, sizeof(*image));
	if (fd < 0)
		return false;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	ck_assert_ptr_nonnull(elf);
	load_segments(image, elf, fd);
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB))
			load_symbols(image, elf, section, header.sh_link);
	}
	elf_end(elf);
	close(fd);
	qsort(image->functions, image->n, sizeof(*image->functions), by_address);
	image->memory = (struct mem_reader){.read = read_image, .ctx = image};
	return true;
}

void elf_image_free(struct elf_image *image)
{
	for (size_t i = 0; i < image->n; i++)
		free((char *)image->functions[i].name);
	free(image->functions);
	free(image->bytes);
	memset(image, 0, sizeof(*image));
}

const struct elf_function *elf_image_find(const struct elf_image *image, const char *name)
{
	for (size_t i = 0; i < image->n; i++)
		if (strcmp(image->functions[i].name, name) == 0)
			return &image->functions[i];
	return NULL;
}
