// SPDX-License-Identifier: MIT
#include "symbols/image.h"

#include <errno.h>
#include <string.h>

#include "symbols/mini_debug.h"

static bool add_table(struct image *image, const struct elf_file *file, u32 type)
{
	if (!symtab_from_section(&image->tables[image->n_tables], file, type))
		return false;
	image->n_tables++;
	return true;
}

void image_open_debug(struct image *image, const struct module *module)
{
	if (image->debug.elf.elf || module->is_vdso ||
	    debug_file_open(&image->debug, module, &image->own))
		return;
	add_table(image, &image->debug.elf, SHT_SYMTAB);
}

static void find_text(struct image *image)
{
	for (size_t i = 0; i < image->headers.n && image->n_text < IMAGE_TEXT_MAX; i++) {
		const Elf64_Phdr *p = &image->headers.phdrs[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		image->text[image->n_text].start = p->p_vaddr;
		image->text[image->n_text++].end = p->p_vaddr + p->p_memsz;
	}
}

int image_open(struct image *image, const struct module *module, bool all)
{
	bool has_symtab;
	int rc;

	*image = (struct image){.own.fd = -1, .mini.fd = -1, .debug.elf.fd = -1};
	if (module->fd < 0)
		return -ENOEXEC;
	rc = elf_headers_read(&image->headers, module->fd);
	if (rc)
		return rc;
	find_text(image);
	rc = elf_file_open(&image->own, module->fd);
	if (rc) {
		image_close(image);
		return rc;
	}
	if (!add_table(image, &image->own, SHT_DYNSYM) &&
	    symtab_from_dynamic(&image->tables[0], module->fd, &image->headers))
		image->n_tables = 1;
	has_symtab = add_table(image, &image->own, SHT_SYMTAB);
	if (all && !has_symtab) {
		if (!mini_debug_open(&image->own, &image->mini))
			has_symtab = add_table(image, &image->mini, SHT_SYMTAB);
		if (!has_symtab)
			image_open_debug(image, module);
	}
	return 0;
}

void image_close(struct image *image)
{
	for (size_t i = 0; i < image->n_tables; i++)
		symtab_deinit(&image->tables[i]);
	image->n_tables = 0;
	debug_file_close(&image->debug);
	elf_file_close(&image->mini);
	elf_file_close(&image->own);
	elf_headers_deinit(&image->headers);
}

void image_release_files(struct image *image)
{
	elf_file_release(&image->own);
	elf_file_release(&image->mini);
	elf_file_release(&image->debug.elf);
}

int image_visit(const struct image *image,
		int (*visit)(void *ctx, const Elf64_Sym *symbol, const char *name), void *ctx)
{
	for (size_t t = 0; t < image->n_tables; t++) {
		for (size_t i = 1; i < image->tables[t].n; i++) {
			const char *name;
			Elf64_Sym symbol;
			int rc;

			if (!symtab_get(&image->tables[t], i, &symbol, &name) || !*name ||
			    symbol.st_shndx == SHN_UNDEF)
				continue;
			rc = visit(ctx, &symbol, name);
			if (rc)
				return rc;
		}
	}
	return 0;
}

bool image_is_text(const struct image *image, u64 address)
{
	for (size_t i = 0; i < image->n_text; i++)
		if (address >= image->text[i].start && address < image->text[i].end)
			return true;
	return false;
}

size_t image_name_length(const char *name)
{
	const char *at = strchr(name, '@');

	return at && at > name ? (size_t)(at - name) : strlen(name);
}
