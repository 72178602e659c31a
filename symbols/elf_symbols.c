// SPDX-License-Identifier: MIT
#include "symbols/elf_symbols.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "symbols/image.h"

/* A caller's visit, for each symbol of an image that is a function. */
struct function_visit {
	const struct image *image;
	u64 bias;
	int (*visit)(void *ctx, const struct elf_symbol *symbol);
	void *ctx;
	char *name; /* the copy of one whose @VERSION is cut off */
	size_t name_cap;
};

static const char *without_version(struct function_visit *v, const char *name)
{
	size_t len = image_name_length(name);

	if (!name[len])
		return name;
	if (vec_reserve((void **)&v->name, &v->name_cap, len + 1, 1))
		return NULL;
	memcpy(v->name, name, len);
	v->name[len] = '\0';
	return v->name;
}

static int visit_function(void *ctx, const Elf64_Sym *sym, const char *name)
{
	struct function_visit *v = ctx;
	struct elf_symbol symbol;
	int type = ELF64_ST_TYPE(sym->st_info);

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || !image_is_text(v->image, sym->st_value))
		return 0;
	symbol = (struct elf_symbol){.name = without_version(v, name),
				     .address = sym->st_value + v->bias,
				     .size = sym->st_size,
				     .is_ifunc = type == STT_GNU_IFUNC};
	return symbol.name ? v->visit(v->ctx, &symbol) : 0;
}

int elf_symbols_visit(const struct module *module,
		      int (*visit)(void *ctx, const struct elf_symbol *symbol), void *ctx)
{
	struct function_visit v = {.bias = module->bias, .visit = visit, .ctx = ctx};
	struct image image;
	int rc;

	if (image_open(&image, module, true))
		return 0;
	v.image = &image;
	rc = image_visit(&image, visit_function, &v);
	free(v.name);
	image_close(&image);
	return rc;
}

struct search {
	const char *name;
	size_t len;
	u64 value;
};

static int visit_name(void *ctx, const Elf64_Sym *sym, const char *name)
{
	struct search *s = ctx;

	if (ELF64_ST_TYPE(sym->st_info) == STT_TLS || !sym->st_value ||
	    strncmp(name, s->name, s->len) || image_name_length(name) != s->len)
		return 0;
	s->value = sym->st_value;
	return 1;
}

u64 elf_symbol_address(const struct module *module, const char *name)
{
	struct search s = {.name = name, .len = strlen(name)};
	struct image image;

	if (image_open(&image, module, false))
		return 0;
	image_visit(&image, visit_name, &s);
	image_close(&image);
	return s.value ? s.value + module->bias : 0;
}
