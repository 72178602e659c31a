// SPDX-License-Identifier: MIT
#include "symbols/symbol_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "symbols/demangle.h"

#define SYMBOLS_MAX (8U << 20)
/* How many symbols may begin between an address and the start of the function that holds it. */
#define NESTED_MAX 32
/* Names may be as long as the file: a comparison looks only so far. */
#define COMPARE_MAX     256
#define UNDERSCORES_MAX 8

struct function {
	u64 start, end; /* end == start: size unknown */
	const char *name;
	u8 type, bind;
};

struct symbol_index {
	const struct image *image;
	struct function *functions;
	size_t n, cap;
	bool no_memory;
};

int symbol_underscores(const char *name)
{
	int n = 0;

	/* glibc's aliases for calls within the library. */
	if (!strncmp(name, "__GI_", 5))
		return UNDERSCORES_MAX;
	while (n < UNDERSCORES_MAX && name[n] == '_')
		n++;
	return demangle_applies(name) ? 0 : n;
}

static int bind_rank(u8 bind)
{
	return bind == STB_GLOBAL || bind == STB_GNU_UNIQUE ? 0 : bind == STB_WEAK ? 1 : 2;
}

/* By address, the better name first: fewest underscores, GLOBAL, a function, short. */
static int compare(const void *pa, const void *pb)
{
	const struct function *a = pa;
	const struct function *b = pb;
	int d;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	d = symbol_underscores(a->name) - symbol_underscores(b->name);
	if (!d)
		d = bind_rank(a->bind) - bind_rank(b->bind);
	if (!d)
		d = (a->type == STT_NOTYPE) - (b->type == STT_NOTYPE);
	if (!d)
		d = (int)strnlen(a->name, COMPARE_MAX) - (int)strnlen(b->name, COMPARE_MAX);
	return d ? d : strncmp(a->name, b->name, COMPARE_MAX);
}

static int add(void *ctx, const Elf64_Sym *symbol, const char *name)
{
	struct symbol_index *index = ctx;
	u8 type = ELF64_ST_TYPE(symbol->st_info);
	u8 bind = ELF64_ST_BIND(symbol->st_info);
	u64 end;

	/* Labels of assembler code count if they are global. */
	if (type != STT_FUNC && type != STT_GNU_IFUNC &&
	    (type != STT_NOTYPE || bind == STB_LOCAL || symbol->st_shndx == SHN_ABS))
		return 0;
	if (!image_is_text(index->image, symbol->st_value))
		return 0;
	if (index->n == SYMBOLS_MAX)
		return 1;
	if (vec_reserve((void **)&index->functions, &index->cap, index->n + 1,
			sizeof(*index->functions))) {
		index->no_memory = true;
		return 1;
	}
	if (__builtin_add_overflow(symbol->st_value, symbol->st_size, &end))
		end = symbol->st_value;
	index->functions[index->n++] = (struct function){
		.start = symbol->st_value, .end = end, .name = name, .type = type, .bind = bind};
	return 0;
}

/* Keeps the first of those that share an address, with the largest size that any of them has. */
static void merge(struct symbol_index *index)
{
	size_t kept = 0;

	for (size_t i = 0; i < index->n; i++) {
		struct function *last = kept ? &index->functions[kept - 1] : NULL;

		if (!last || last->start != index->functions[i].start)
			index->functions[kept++] = index->functions[i];
		else if (last->end < index->functions[i].end)
			last->end = index->functions[i].end;
	}
	index->n = kept;
}

struct symbol_index *symbol_index_create(const struct image *image)
{
	struct symbol_index *index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->image = image;
	image_visit(image, add, index);
	if (index->no_memory) {
		symbol_index_destroy(index);
		return NULL;
	}
	if (index->n)
		qsort(index->functions, index->n, sizeof(*index->functions), compare);
	merge(index);
	return index;
}

void symbol_index_destroy(struct symbol_index *index)
{
	if (!index)
		return;
	free(index->functions);
	free(index);
}

static bool covers(const struct function *f, u64 address)
{
	return address < f->end;
}

bool symbol_index_find(const struct symbol_index *index, u64 address, struct symbol_hit *hit)
{
	const struct function *f = NULL;
	size_t low = 0;
	size_t high = index->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (index->functions[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	/* The nearest one that covers it; a symbol may lie within another function. */
	for (size_t i = low; i > 0 && low - i < NESTED_MAX && !f; i--)
		if (covers(&index->functions[i - 1], address))
			f = &index->functions[i - 1];
	if (!f && low && index->functions[low - 1].end == index->functions[low - 1].start &&
	    image_is_text(index->image, address))
		f = &index->functions[low - 1];
	if (!f)
		return false;
	*hit = (struct symbol_hit){.name = f->name, .start = f->start};
	return true;
}
