// SPDX-License-Identifier: MIT
/*
 * Which functions of a module are allocators. One pass over its symbols collects
 * everything that has such a name; then it is decided which of them count:
 *
 *   prefixed ones (je_malloc) only if the module has that prefix's malloc, since
 *   tc_new may be anybody's;
 *   operator new and delete only if the module also has a malloc that is not
 *   glibc's: libstdc++ and programs call malloc in theirs and would be counted
 *   there, at twice the cost.
 */
#include "session_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "base/vec.h"
#include "symbols/elf_symbols.h"

/* More than all of malloc.c: then something else stands in between. */
#define LIBC_MALLOC_MAX 0x8000

/* What a jump covers (agent/abi.h). */
#define PATCH_SIZE 5

struct match {
	u64 address, size;
	char *name;
	struct call_spec spec;
	enum allocator_group group;
};

struct scan {
	struct image *image;
	const struct module *module;
	struct match *items;
	size_t n, cap;
	size_t first; /* of the module's candidates */
	u64 malloc_address, libc_malloc_address;
	bool has_prefix[ALLOCATOR_PREFIXES];
};

static int add_candidate(struct image *image, const struct module *module,
			 const struct probe_function *function)
{
	struct probe_function *f;

	for (size_t i = 0; i < image->candidates_n; i++)
		if (image->candidates[i].address == function->address)
			return 0;
	if (vec_reserve((void **)&image->candidates, &image->candidates_cap,
			image->candidates_n + 1, sizeof(*image->candidates)))
		return -ENOMEM;
	f = &image->candidates[image->candidates_n];
	*f = *function;
	f->module = module->id;
	f->text_start = module->text_start;
	f->text_end = module->text_end;
	f->name = strdup(function->name);
	if (!f->name)
		return -ENOMEM;
	image->candidates_n++;
	return 0;
}

static bool in_text(const struct module *module, u64 address)
{
	return address >= module->text_start && address < module->text_end;
}

static int match_custom(struct scan *scan, const struct elf_symbol *symbol)
{
	const struct session_config *config = scan->image->config;

	for (size_t i = 0; i < config->customs_n; i++) {
		struct custom_spec *custom = &config->customs[i];

		if (!custom->name || strcmp(custom->name, symbol->name) != 0 ||
		    !custom_spec_matches_module(custom, scan->module->path))
			continue;
		custom->found++;
		if (add_candidate(scan->image, scan->module,
				  &(struct probe_function){.address = symbol->address,
							   .size = symbol->size,
							   .custom = true,
							   .name = symbol->name,
							   .spec = custom->call}))
			return -ENOMEM;
	}
	return 0;
}

static int visit(void *ctx, const struct elf_symbol *symbol)
{
	struct scan *scan = ctx;
	enum allocator_group group;
	const struct call_spec *spec;
	bool is_malloc;
	int ret;

	if (!in_text(scan->module, symbol->address) || symbol->is_ifunc)
		return 0;
	ret = match_custom(scan, symbol);
	if (ret)
		return ret;
	if (allocator_is_glibc_internal(symbol->name))
		scan->libc_malloc_address = symbol->address;
	spec = allocator_find(symbol->name, &group, &is_malloc);
	if (is_malloc && group == GROUP_C)
		scan->malloc_address = symbol->address;
	if (is_malloc && group >= GROUP_PREFIX)
		scan->has_prefix[group - GROUP_PREFIX] = true;
	if (!spec)
		return 0;
	if (vec_reserve((void **)&scan->items, &scan->cap, scan->n + 1, sizeof(struct match)))
		return -ENOMEM;
	scan->items[scan->n] = (struct match){.address = symbol->address,
					      .size = symbol->size,
					      .name = strdup(symbol->name),
					      .spec = *spec,
					      .group = group};
	return scan->items[scan->n++].name ? 0 : -ENOMEM;
}

/* The second look: what lies in and behind the functions that were found in the first. */
static int visit_neighbours(void *ctx, const struct elf_symbol *symbol)
{
	struct scan *scan = ctx;

	if (strcmp(symbol->name, "__cxa_throw") == 0 ||
	    strcmp(symbol->name, "_Unwind_RaiseException") == 0)
		scan->image->throws = true;
	for (size_t i = scan->first; i < scan->image->candidates_n; i++) {
		struct probe_function *f = &scan->image->candidates[i];
		u64 distance = symbol->address - f->address;

		if (distance > 0 && distance < PATCH_SIZE)
			f->entered = true;
		if (symbol->address > f->address && (!f->next || symbol->address < f->next))
			f->next = symbol->address;
		if (symbol->address == f->address && !f->size)
			f->size = symbol->size;
	}
	return 0;
}

/* The form of a throwing operator that returns NULL. */
static u64 find_nothrow(const struct scan *scan, const struct match *match)
{
	char name[64];

	if (!match->spec.throws)
		return 0;
	if (match->spec.nothrow)
		return elf_symbol_address(scan->module, match->spec.nothrow);
	snprintf(name, sizeof(name), "%s_nothrow", match->name);
	return elf_symbol_address(scan->module, name);
}

static int add_match(struct scan *scan, const struct match *match)
{
	return add_candidate(scan->image, scan->module,
			     &(struct probe_function){.address = match->address,
						      .size = match->size,
						      .name = match->name,
						      .nothrow = find_nothrow(scan, match),
						      .spec = match->spec});
}

static bool counts(const struct scan *scan, const struct match *match)
{
	bool own_malloc = scan->malloc_address && scan->malloc_address != scan->libc_malloc_address;

	switch (match->group) {
	case GROUP_C:
		/* A lone function called free is some program's own. */
		return scan->malloc_address != 0;
	case GROUP_OPERATOR:
		for (u32 i = 0; i < ALLOCATOR_PREFIXES; i++)
			own_malloc |= scan->has_prefix[i];
		return own_malloc;
	default:
		return scan->has_prefix[match->group - GROUP_PREFIX];
	}
}

static int match_offsets(struct image *image, const struct module *module)
{
	char name[32];

	for (size_t i = 0; i < image->config->customs_n; i++) {
		struct custom_spec *custom = &image->config->customs[i];
		u64 address = custom->offset + module->bias;

		if (custom->name || !custom_spec_matches_module(custom, module->path) ||
		    !in_text(module, address))
			continue;
		custom->found++;
		snprintf(name, sizeof(name), "0x%lx", custom->offset);
		if (add_candidate(image, module,
				  &(struct probe_function){.address = address,
							   .custom = true,
							   .name = name,
							   .spec = custom->call}))
			return -ENOMEM;
	}
	return 0;
}

/* A file's functions stand together: malloc.c of glibc is what lies between the ones that we know. */
static void note_libc(struct image *image, const struct scan *scan)
{
	u64 low = UINT64_MAX, high = 0;

	if (!scan->malloc_address || scan->malloc_address != scan->libc_malloc_address)
		return;
	for (size_t i = 0; i < scan->n; i++) {
		if (scan->items[i].group != GROUP_C)
			continue;
		low = scan->items[i].address < low ? scan->items[i].address : low;
		high = scan->items[i].address > high ? scan->items[i].address : high;
	}
	if (high - low > LIBC_MALLOC_MAX)
		return;
	image->libc_low = low;
	image->libc_high = high;
}

static int note_allocator(struct image *image, const struct module *module)
{
	if (vec_reserve((void **)&image->allocators, &image->allocators_cap,
			image->allocators_n + 1, sizeof(char *)))
		return -ENOMEM;
	for (size_t i = 0; i < image->allocators_n; i++)
		if (strcmp(image->allocators[i], module->path) == 0)
			return 0;
	image->allocators[image->allocators_n++] = module->path;
	return 0;
}

int scan_module(struct image *image, const struct module *module, struct err *err)
{
	size_t before = image->candidates_n;
	struct scan scan = {.image = image, .module = module, .first = before};
	int ret;

	if (module->fd < 0 || module->is_vdso)
		return 0;
	ret = elf_symbols_visit(module, visit, &scan);
	for (size_t i = 0; i < scan.n && !ret; i++)
		if (counts(&scan, &scan.items[i]))
			ret = add_match(&scan, &scan.items[i]);
	note_libc(image, &scan);
	for (size_t i = 0; i < scan.n; i++)
		free(scan.items[i].name);
	free(scan.items);
	if (!ret)
		ret = match_offsets(image, module);
	if (!ret && (image->candidates_n > before || image->config->customs_n))
		ret = elf_symbols_visit(module, visit_neighbours, &scan);
	if (!ret && image->candidates_n > before) {
		log_verbose(&image->config->log, "%zu allocator functions in %s",
			    image->candidates_n - before, module->path);
		ret = note_allocator(image, module);
	}
	return ret ? err_set(err, -ret, "out of memory") : 0;
}

struct dry_scan {
	const struct session_config *config;
	const struct module *module;
};

/* Not 0: this symbol counts. */
static int visit_dry(void *ctx, const struct elf_symbol *symbol)
{
	const struct dry_scan *scan = ctx;
	enum allocator_group group;
	bool is_malloc;

	if (!in_text(scan->module, symbol->address) || symbol->is_ifunc)
		return 0;
	for (size_t i = 0; i < scan->config->customs_n; i++) {
		const struct custom_spec *custom = &scan->config->customs[i];

		if (custom->name && strcmp(custom->name, symbol->name) == 0)
			return 1;
	}
	return allocator_is_glibc_internal(symbol->name) ||
	       allocator_find(symbol->name, &group, &is_malloc);
}

bool scan_is_barren(const struct image *image, const struct module *module)
{
	struct dry_scan scan = {.config = image->config, .module = module};

	/* An offset is looked up elsewhere. */
	for (size_t i = 0; i < image->config->customs_n; i++)
		if (!image->config->customs[i].name)
			return false;
	return module->fd >= 0 && !module->is_vdso &&
	       elf_symbols_visit(module, visit_dry, &scan) == 0;
}

void scan_forget(struct image *image, u32 module)
{
	size_t kept = 0;

	for (size_t i = 0; i < image->candidates_n; i++) {
		if (image->candidates[i].module != module)
			image->candidates[kept++] = image->candidates[i];
		else
			free((char *)image->candidates[i].name);
	}
	image->candidates_n = kept;
}

int scan_add(struct image *image, struct err *err)
{
	for (size_t i = 0; i < image->candidates_n; i++) {
		int ret;

		image->candidates[i].may_throw = image->throws;
		ret = probes_add(image->probes, &image->candidates[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

int image_check(const struct image *image, struct err *err)
{
	u32 n = 0;

	for (u32 id = 1; id <= modules_count(image->modules); id++)
		n += modules_get(image->modules, id)->mapped;
	for (size_t i = 0; i < image->config->customs_n; i++)
		if (!image->config->customs[i].found)
			return err_set(err, ENOENT,
				       "no function '%s' in any of the %u modules of process %d; "
				       "see the names with nm -D, or use MODULE!0xOFFSET",
				       image->config->customs[i].option, n, (int)image->pid);
	if (image->candidates_n)
		return 0;
	return err_set(err, ENOENT,
		       "no allocator found in the %u modules of process %d (%s and its libraries); "
		       "name one with --alloc NAME and --free NAME",
		       n, (int)image->pid, image->identity.exe);
}
