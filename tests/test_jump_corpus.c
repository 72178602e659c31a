// SPDX-License-Identifier: MIT
/*
 * Jump probes and real allocators: each entry point of the allocators on this
 * machine is asked whether it may be patched, its displaced instructions are
 * decoded again and compared, and those that this process can load are patched for
 * real and used.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "probe/allocators.h"
#include "probe/jump_safety_x86_64.h"
#include "probe/relocate_x86_64.h"
#include "tests/decoded.h"
#include "tests/elf_functions.h"
#include "tests/suites.h"

#define LIB "/usr/lib/x86_64-linux-gnu/"

static const struct {
	const char *path;
	size_t functions; /* at least so many entry points */
	size_t refused;   /* at most */
} allocators[] = {
	{LIB "libc.so.6", 9, 0},
	{"/usr/lib/x86_64-linux-musl/libc.so", 9, 0},
	{LIB "libstdc++.so.6", 20, 0},
	{LIB "libjemalloc.so.2", 28, 0},
	{LIB "libtcmalloc.so.4", 18, 0},
	{LIB "libtcmalloc_minimal.so.4", 18, 0},
	{LIB "libtcmalloc_debug.so.4", 31, 0},
	{LIB "libtcmalloc_minimal_debug.so.4", 31, 0},
	{LIB "libmimalloc.so.2", 60, 0},
};

static void ask(const struct elf_image *image, const struct elf_function *f,
		struct jump_question *q)
{
	*q = (struct jump_question){.address = f->address,
				    .size = f->size,
				    .code = image->bytes + f->address,
				    .available = image->size - f->address,
				    .text = image->text,
				    .text_end = image->text_end,
				    .memory = &image->memory};
	for (size_t i = 0; i < image->n; i++)
		if (image->functions[i].address - f->address - 1 < JUMP_BYTES - 1)
			q->symbol_inside = true;
}

/* Where a relative operand leads to, 0: there is none. */
static u64 leads_to(const struct insn *insn, u64 address)
{
	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];
		u64 target;

		if (((op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		      op->mem.base == ZYDIS_REGISTER_RIP) ||
		     (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_relative)) &&
		    ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn->z, op, address, &target)))
			return target;
	}
	return 0;
}

static bool same_operands(const struct insn *a, const struct insn *b)
{
	for (int i = 0; i < a->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *x = &a->operands[i], *y = &b->operands[i];

		if (x->type != y->type)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && x->imm.is_relative)
			continue; /* perhaps widened; see leads_to */
		if (x->size != y->size)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_REGISTER && x->reg.value != y->reg.value)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && x->imm.value.u != y->imm.value.u)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (x->mem.base != y->mem.base || x->mem.index != y->mem.index ||
		     x->mem.scale != y->mem.scale || x->mem.segment != y->mem.segment ||
		     (x->mem.base != ZYDIS_REGISTER_RIP && x->mem.disp.value != y->mem.disp.value)))
			return false;
	}
	return true;
}

/* The slot's instructions are the same as the function's, one by one. */
static void compare(const char *name, const u8 *code, u64 address, u64 slot,
		    const struct prologue *made)
{
	for (u32 i = 0; i < made->steps; i++) {
		u32 from = made->from[i], to = made->to[i];
		struct insn old, new;

		ck_assert(decode(made->bytes + to, made->length - to, &new));
		if (from == made->displaced) {
			ck_assert_msg(new.z.mnemonic == ZYDIS_MNEMONIC_JMP, "%s: the end", name);
			ck_assert_msg(leads_to(&new, slot + to) == address + from, "%s: back",
				      name);
			continue;
		}
		ck_assert(decode(code + from, INSTRUCTION_MAX, &old));
		if (old.z.mnemonic == ZYDIS_MNEMONIC_CALL) {
			ck_assert(new.z.mnemonic == ZYDIS_MNEMONIC_PUSH);
			to += new.z.length;
			ck_assert(decode(made->bytes + to, made->length - to, &new));
			ck_assert(new.z.mnemonic == ZYDIS_MNEMONIC_JMP);
		} else {
			ck_assert_msg(old.z.mnemonic == new.z.mnemonic &&same_operands(&old, &new),
				      "%s: instruction %u", name, i);
		}
		ck_assert_msg(leads_to(&old, address + from) == leads_to(&new, slot + to),
			      "%s: operand %u", name, i);
	}
}

static void relocate(const struct jump_question *q, const char *name)
{
	static const s64 distances[] = {0x200000, -0x70000000, 0x70000000};
	struct prologue made;

	for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
		u64 slot = (q->address + (u64)distances[i]) & ~127ULL;

		ck_assert_msg(relocate_prologue(q->code, q->available, q->address, slot, JUMP_BYTES,
						&made) == 0,
			      "%s", name);
		compare(name, q->code, q->address, slot, &made);
	}
}

/* Whether the rest of its text branches into one of these. */
static void find_branches(const struct elf_image *image, const u64 *addresses, size_t n,
			  const char *path)
{
	struct jump_range ranges[128];

	for (size_t i = 0; i < n; i++)
		ranges[i] = (struct jump_range){.address = addresses[i], .size = 5};
	jump_branches_into(image->bytes + image->text, image->text_end - image->text, image->text,
			   ranges, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!ranges[i].hit, "%s: a branch into %#lx", path,
			      (unsigned long)addresses[i]);
}

START_TEST(entry_points)
{
	const char *path = allocators[_i].path;
	size_t passed = 0, refused = 0;
	u64 addresses[128];
	struct elf_image image;

	if (!elf_image_load(&image, path)) {
		printf("jump_corpus: skipped: there is no %s\n", path);
		return;
	}
	for (size_t i = 0; i < image.n; i++) {
		const struct elf_function *f = &image.functions[i];
		enum allocator_group group;
		struct jump_question q;
		bool is_malloc;
		const char *why;

		if (!allocator_find(f->name, &group, &is_malloc) ||
		    (passed && addresses[passed - 1] == f->address))
			continue;
		ask(&image, f, &q);
		if (!jump_is_safe(&q, &why)) {
			printf("jump_corpus: %s: %s: %s\n", strrchr(path, '/') + 1, f->name, why);
			refused++;
			continue;
		}
		relocate(&q, f->name);
		ck_assert_uint_lt(passed, ARRAY_SIZE(addresses));
		addresses[passed++] = f->address;
	}
	printf("jump_corpus: %s: %zu functions, %zu refused\n", strrchr(path, '/') + 1,
	       passed + refused, refused);
	ck_assert_uint_ge(passed + refused, allocators[_i].functions);
	ck_assert_uint_le(refused, allocators[_i].refused);
	find_branches(&image, addresses, passed, path);
	elf_image_free(&image);
}
END_TEST

/* A page in reach of address. */
static u8 *near_page(u64 address)
{
	for (u64 i = 1; i < 1000; i++) {
		u8 *hint = (u8 *)(uintptr_t)((address & ~0xfffffULL) - i * 0x100000);
		u8 *page = mmap(hint, 0x4000, PROT_READ | PROT_WRITE | PROT_EXEC,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (page != MAP_FAILED)
			return page;
	}
	ck_abort_msg("no page near %#lx", (unsigned long)address);
	return NULL;
}

/* A jump to a slot over the beginning of the function, in this process. */
static void patch(u8 *function, u8 *slot, const char *name)
{
	u8 *page = (u8 *)((uintptr_t)function & ~4095UL), jump[JUMP_BYTES] = {0xe9};
	s32 distance = (s32)(slot - (function + JUMP_BYTES));
	struct prologue made;

	ck_assert_msg(relocate_prologue(function, 32, (u64)(uintptr_t)function,
					(u64)(uintptr_t)slot, JUMP_BYTES, &made) == 0,
		      "%s", name);
	memcpy(slot, made.bytes, made.length);
	memcpy(jump + 1, &distance, sizeof(distance));
	ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	memcpy(function, jump, sizeof(jump));
	ck_assert_int_eq(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
}

struct api {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*valloc)(size_t);
	void *(*pvalloc)(size_t);
	void *(*reallocarray)(void *, size_t, size_t);
	void *(*operator_new)(size_t);
	void (*operator_delete)(void *);
	void (*operator_delete_sized)(void *, size_t);
};

static struct api find_api(void *library, const void *base)
{
	bool whole = false;
	struct api api;
	void **pointers = (void **)&api;
	static const char *const names[] = {
		"malloc",   "free",           "calloc", "realloc", "aligned_alloc",
		"memalign", "posix_memalign", "valloc", "pvalloc", "reallocarray",
		"_Znwm",    "_ZdlPv",         "_ZdlPvm"};

	_Static_assert(sizeof(api) == sizeof(names), "a name for each function");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		Dl_info info;

		pointers[i] = dlsym(library, names[i]);
		/* It looks in what the library needs, too: right for an operator new on libc's malloc. */
		if (i == 0)
			whole = dladdr(pointers[i], &info) && info.dli_fbase == base;
		else if (whole && (!dladdr(pointers[i], &info) || info.dli_fbase != base))
			pointers[i] = NULL;
	}
	return api;
}

/* Fills a block, so that it is seen if two overlap. */
static void *fill(void *block, size_t size, u8 with)
{
	if (!block)
		ck_abort_msg("no block of %zu bytes", size);
	return memset(block, with, size);
}

struct block {
	u8 *bytes;
	size_t size;
	bool by_new;
};

static void check_and_free(const struct api *api, const struct block *block, u8 with)
{
	bool same = true;

	for (size_t i = 0; i < block->size; i++)
		same = same && block->bytes[i] == with;
	if (!same)
		ck_abort_msg("a block of %zu bytes has been overwritten", block->size);
	if (!block->by_new)
		api->free(block->bytes);
	else if (with % 2)
		api->operator_delete_sized(block->bytes, block->size);
	else
		api->operator_delete(block->bytes);
}

/* A block by one of the ways that there are; all of them can be given to free. */
static void *allocate(const struct api *api, unsigned way, size_t size)
{
	void *block;

	switch (way % 10) {
	case 0:
		return api->calloc ? api->calloc(1, size) : api->malloc(size);
	case 1:
		return api->realloc(api->malloc(size / 2 + 1), size);
	case 2:
		return api->aligned_alloc ? api->aligned_alloc(64, size) : api->malloc(size);
	case 3:
		return api->memalign ? api->memalign(256, size) : api->malloc(size);
	case 4:
		if (!api->posix_memalign)
			return api->malloc(size);
		if (api->posix_memalign(&block, 3, size) != EINVAL)
			ck_abort_msg("posix_memalign takes an alignment of 3");
		return api->posix_memalign(&block, 128, size) ? NULL : block;
	case 5:
		return api->valloc ? api->valloc(size) : api->malloc(size);
	case 6:
		return api->pvalloc ? api->pvalloc(size) : api->malloc(size);
	case 7:
		return api->reallocarray ? api->reallocarray(api->malloc(1), size, 1)
					 : api->malloc(size);
	case 8:
		return api->operator_new ? api->operator_new(size) : api->malloc(size);
	default:
		return api->malloc(size);
	}
}

#define BLOCKS 64

static void *use(void *arg)
{
	const struct api *api = arg;
	struct block blocks[BLOCKS] = {0};
	u32 random = 12345;

	for (u32 i = 0; i < 40000; i++) {
		u32 k = (random = random * 1103515245 + 12345) >> 16 & (BLOCKS - 1);
		struct block *block = &blocks[k];

		if (block->bytes)
			check_and_free(api, block, (u8)k);
		block->size = 1 + (random >> 8 & (i % 100 ? 0xff : 0x3ffff));
		block->by_new = api->operator_new && i % 10 == 8;
		block->bytes = fill(allocate(api, i, block->size), block->size, (u8)k);
	}
	for (u32 k = 0; k < BLOCKS; k++)
		if (blocks[k].bytes)
			check_and_free(api, &blocks[k], (u8)k);
	if (api->reallocarray) {
		errno = 0;
		ck_assert_ptr_null(api->reallocarray(NULL, SIZE_MAX / 2, 4));
		ck_assert_int_eq(errno, ENOMEM);
	}
	api->free(NULL);
	return NULL;
}

/* Patches all of a library's entry points. */
static u32 patch_all(const struct elf_image *image, u64 bias, const char *path)
{
	u8 *slots = near_page(bias);
	u64 last = 0;
	u32 n = 0;

	for (size_t i = 0; i < image->n; i++) {
		const struct elf_function *f = &image->functions[i];
		enum allocator_group group;
		struct jump_question q;
		bool is_malloc;
		const char *why;

		if (!allocator_find(f->name, &group, &is_malloc) || f->address == last)
			continue;
		ask(image, f, &q);
		ck_assert_msg(jump_is_safe(&q, &why), "%s: %s", f->name, why);
		patch((u8 *)(uintptr_t)(bias + f->address), slots + 128 * n++, f->name);
		last = f->address;
	}
	ck_assert_msg(n > 0, "%s has no allocator", path);
	return n;
}

/* Displaced for real: all entry points at once, used by several threads. */
START_TEST(patched)
{
	bool sanitizer = dlsym(RTLD_DEFAULT, "__asan_init");
	const char *path = allocators[_i].path, *name = strrchr(path, '/') + 1;
	void *library = sanitizer ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	struct elf_image image;
	pthread_t threads[4];
	struct link_map *map;
	struct api api;
	u32 n;

	/* musl's libc is not for this process; some allocators must be there when it starts. */
	if (!library || strstr(path, "musl")) {
		printf("jump_corpus: %s is not patched: %s\n", name,
		       sanitizer ? "a sanitizer is in its place"
		       : library ? "it is another libc"
				 : dlerror());
		return;
	}
	ck_assert(elf_image_load(&image, path));
	ck_assert_int_eq(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
	n = patch_all(&image, map->l_addr, path);
	api = find_api(library, (const void *)map->l_addr);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use, &api), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	printf("jump_corpus: %s: %u functions patched and used\n", name, n);
	elf_image_free(&image);
}
END_TEST

Suite *jump_corpus_suite(void)
{
	Suite *suite = suite_create("jump_corpus");
	TCase *tcase = tcase_create("jump_corpus");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, entry_points, 0, (int)ARRAY_SIZE(allocators));
	tcase_add_loop_test(tcase, patched, 0, (int)ARRAY_SIZE(allocators));
	suite_add_tcase(suite, tcase);
	return suite;
}
