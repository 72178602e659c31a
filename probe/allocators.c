// SPDX-License-Identifier: MIT
/*
 * The table of allocator functions. A name is looked up after one of the known
 * prefixes has been taken off, so je_malloc, _rjem_malloc, tc_malloc and
 * mi_malloc need no lines of their own.
 */
#include "probe/allocators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ALLOC(...)                                                                                 \
	{                                                                                          \
		.kind = CALL_ALLOC, __VA_ARGS__                                                    \
	}
#define FREE                                                                                       \
	{                                                                                          \
		.kind = CALL_FREE, .ptr = 1                                                        \
	}
#define REALLOC(...)                                                                               \
	{                                                                                          \
		.kind = CALL_REALLOC, .ptr = 1, __VA_ARGS__                                        \
	}

#define THROWING(nothrow_form)                                                                     \
	{                                                                                          \
		.kind = CALL_ALLOC, .size = 1, .throws = true, .nothrow = nothrow_form             \
	}

struct entry {
	const char *name;
	struct call_spec call;
};

static const struct entry c_functions[] = {
	{"malloc", ALLOC(.size = 1)},
	{"free", FREE},
	{"cfree", FREE},
	{"calloc", ALLOC(.count = 1, .size = 2)},
	{"realloc", REALLOC(.size = 2)},
	{"reallocarray", REALLOC(.count = 2, .size = 3)},
	{"memalign", ALLOC(.size = 2)},
	{"aligned_alloc", ALLOC(.size = 2)},
	{"posix_memalign", ALLOC(.size = 3, .out = 1)},
	{"valloc", ALLOC(.size = 1)},
	{"pvalloc", ALLOC(.size = 1)},
	{"free_sized", FREE},
	{"free_aligned_sized", FREE},
};

/* Functions that exist only with a prefix. */
static const struct entry prefixed_functions[] = {
	/* jemalloc */
	{"mallocx", ALLOC(.size = 1)},
	{"rallocx", REALLOC(.size = 2)},
	{"dallocx", FREE},
	{"sdallocx", FREE},
	/* gperftools */
	{"new", ALLOC(.size = 1, .throws = true)},
	{"newarray", ALLOC(.size = 1, .throws = true)},
	{"new_nothrow", ALLOC(.size = 1)},
	{"newarray_nothrow", ALLOC(.size = 1)},
	{"delete", FREE},
	{"deletearray", FREE},
	{"delete_nothrow", FREE},
	{"deletearray_nothrow", FREE},
	{"delete_sized", FREE},
	{"deletearray_sized", FREE},
	{"malloc_skip_new_handler", ALLOC(.size = 1)},
	/* mimalloc */
	{"zalloc", ALLOC(.size = 1)},
	{"malloc_small", ALLOC(.size = 1)},
	{"zalloc_small", ALLOC(.size = 1)},
	{"mallocn", ALLOC(.count = 1, .size = 2)},
	{"reallocn", REALLOC(.count = 2, .size = 3)},
	{"reallocf", REALLOC(.size = 2, .frees = true)},
	{"rezalloc", REALLOC(.size = 2)},
	{"recalloc", REALLOC(.count = 2, .size = 3)},
	{"malloc_aligned", ALLOC(.size = 1)},
	{"malloc_aligned_at", ALLOC(.size = 1)},
	{"zalloc_aligned", ALLOC(.size = 1)},
	{"zalloc_aligned_at", ALLOC(.size = 1)},
	{"calloc_aligned", ALLOC(.count = 1, .size = 2)},
	{"realloc_aligned", REALLOC(.size = 2)},
	{"realloc_aligned_at", REALLOC(.size = 2)},
	{"new_aligned", ALLOC(.size = 1, .throws = true)},
	{"new_aligned_nothrow", ALLOC(.size = 1)},
	{"new_n", ALLOC(.count = 1, .size = 2, .throws = true)},
	{"new_realloc", REALLOC(.size = 2, .throws = true)},
	{"new_reallocn", REALLOC(.count = 2, .size = 3, .throws = true)},
	{"free_size", FREE},
	{"free_size_aligned", FREE},
	{"free_aligned", FREE},
	{"heap_malloc", ALLOC(.size = 2)},
	{"heap_zalloc", ALLOC(.size = 2)},
	{"heap_calloc", ALLOC(.count = 2, .size = 3)},
	{"heap_mallocn", ALLOC(.count = 2, .size = 3)},
	{"heap_malloc_small", ALLOC(.size = 2)},
	{"heap_malloc_aligned", ALLOC(.size = 2)},
	{"heap_zalloc_aligned", ALLOC(.size = 2)},
	{"heap_realloc", {.kind = CALL_REALLOC, .ptr = 2, .size = 3}},
	{"heap_reallocf", {.kind = CALL_REALLOC, .ptr = 2, .size = 3, .frees = true}},
	{"heap_reallocn", {.kind = CALL_REALLOC, .ptr = 2, .count = 3, .size = 4}},
};

static const char *const prefixes[ALLOCATOR_PREFIXES] = {"je_", "_rjem_", "tc_", "mi_"};

/* Itanium C++ ABI names of operator new and new[], delete and delete[]. */
static const struct entry operators[] = {
	{"_Znwm", THROWING("_ZnwmRKSt9nothrow_t")},
	{"_Znam", THROWING("_ZnamRKSt9nothrow_t")},
	{"_ZnwmRKSt9nothrow_t", ALLOC(.size = 1)},
	{"_ZnamRKSt9nothrow_t", ALLOC(.size = 1)},
	{"_ZnwmSt11align_val_t", THROWING("_ZnwmSt11align_val_tRKSt9nothrow_t")},
	{"_ZnamSt11align_val_t", THROWING("_ZnamSt11align_val_tRKSt9nothrow_t")},
	{"_ZnwmSt11align_val_tRKSt9nothrow_t", ALLOC(.size = 1)},
	{"_ZnamSt11align_val_tRKSt9nothrow_t", ALLOC(.size = 1)},
	{"_ZdlPv", FREE},
	{"_ZdaPv", FREE},
	{"_ZdlPvm", FREE},
	{"_ZdaPvm", FREE},
	{"_ZdlPvRKSt9nothrow_t", FREE},
	{"_ZdaPvRKSt9nothrow_t", FREE},
	{"_ZdlPvSt11align_val_t", FREE},
	{"_ZdaPvSt11align_val_t", FREE},
	{"_ZdlPvmSt11align_val_t", FREE},
	{"_ZdaPvmSt11align_val_t", FREE},
	{"_ZdlPvSt11align_val_tRKSt9nothrow_t", FREE},
	{"_ZdaPvSt11align_val_tRKSt9nothrow_t", FREE},
};

static const struct call_spec *find_in(const struct entry *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i].call;
	return NULL;
}

/* Is a name with this first letter in any table? Modules have 100,000 symbols; most end here. */
static bool worth_a_look(const char *name)
{
	return *name && strchr("mfcrapvjt_", *name);
}

const struct call_spec *allocator_find(const char *name, enum allocator_group *group,
				       bool *is_malloc)
{
	const struct call_spec *call;

	*group = GROUP_C;
	*is_malloc = strcmp(name, "malloc") == 0;
	if (!worth_a_look(name))
		return NULL;
	call = find_in(c_functions, ARRAY_SIZE(c_functions), name);
	if (call)
		return call;
	for (u32 i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], len) != 0)
			continue;
		name += len;
		*group = (enum allocator_group)(GROUP_PREFIX + i);
		*is_malloc = strcmp(name, "malloc") == 0;
		call = find_in(c_functions, ARRAY_SIZE(c_functions), name);
		return call ? call
			    : find_in(prefixed_functions, ARRAY_SIZE(prefixed_functions), name);
	}
	if (strncmp(name, "_Z", 2) != 0)
		return NULL;
	*group = GROUP_OPERATOR;
	return find_in(operators, ARRAY_SIZE(operators), name);
}

bool allocator_is_glibc_internal(const char *name)
{
	return strcmp(name, "__libc_malloc") == 0;
}

static int parse_argument(const char *text, size_t len, u8 *value)
{
	if (len != 1 || text[0] < '1' || text[0] > '6')
		return -1;
	*value = (u8)(text[0] - '0');
	return 0;
}

/* One ":key=N" of length len, without the colon. */
static int parse_key(struct custom_spec *spec, const char *text, size_t len)
{
	static const char *const keys[] = {"size=", "count=", "out=", "ptr="};
	u8 *const values[] = {&spec->call.size, &spec->call.count, &spec->call.out,
			      &spec->call.ptr};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		size_t key = strlen(keys[i]);

		if (len > key && strncmp(text, keys[i], key) == 0)
			return parse_argument(text + key, len - key, values[i]);
	}
	return -1;
}

/* Where the keys begin: the first colon that one follows (C++ names have colons, too). */
static size_t name_length(const char *text)
{
	const char *colon = text;

	while ((colon = strchr(colon, ':'))) {
		const char *key = colon + 1;

		if (!strncmp(key, "size=", 5) || !strncmp(key, "count=", 6) ||
		    !strncmp(key, "out=", 4) || !strncmp(key, "ptr=", 4))
			return (size_t)(colon - text);
		colon++;
	}
	return strlen(text);
}

static int check_keys(const struct custom_spec *spec)
{
	const struct call_spec *call = &spec->call;

	switch (call->kind) {
	case CALL_FREE:
		return call->size || call->count || call->out ? -1 : 0;
	case CALL_REALLOC:
		return call->out ? -1 : 0;
	default:
		return call->ptr ? -1 : 0;
	}
}

static int split_name(struct custom_spec *spec, const char *text, size_t len)
{
	const char *bang = memchr(text, '!', len);
	const char *name = bang ? bang + 1 : text;
	char *end;

	len -= (size_t)(name - text);
	if (!len || bang == text)
		return -1;
	if (bang) {
		spec->module = strndup(text, (size_t)(bang - text));
		if (!spec->module)
			return -1;
	}
	spec->name = strndup(name, len);
	if (!spec->name)
		return -1;
	if (bang && strncmp(spec->name, "0x", 2) == 0) {
		spec->offset = strtoull(spec->name, &end, 16);
		if (*end || end == spec->name + 2)
			return -1;
		free(spec->name);
		spec->name = NULL;
	}
	return 0;
}

int custom_spec_parse(struct custom_spec *spec, enum call_kind kind, const char *text,
		      struct err *err)
{
	size_t len = name_length(text);
	const char *key = text + len;

	memset(spec, 0, sizeof(*spec));
	spec->option = text;
	spec->call.kind = kind;
	if (split_name(spec, text, len))
		goto bad;
	while (*key == ':') {
		size_t n = strcspn(++key, ":");

		if (parse_key(spec, key, n))
			goto bad;
		key += n;
	}
	if (check_keys(spec))
		goto bad;
	if (kind != CALL_ALLOC && !spec->call.ptr)
		spec->call.ptr = 1;
	spec->call.nests = kind == CALL_FREE;
	if (kind != CALL_FREE && !spec->call.size)
		spec->call.size = kind == CALL_REALLOC ? 2 : 1;
	return 0;
bad:
	custom_spec_deinit(spec);
	return err_set(err, EINVAL,
		       "cannot understand '%s': it is [MODULE!]NAME or MODULE!0xOFFSET, then "
		       "%s, with arguments counted from 1 to 6",
		       text,
		       kind == CALL_FREE      ? "[:ptr=ARG]"
		       : kind == CALL_REALLOC ? "[:ptr=ARG][:size=ARG][:count=ARG]"
					      : "[:size=ARG][:count=ARG][:out=ARG]");
}

void custom_spec_deinit(struct custom_spec *spec)
{
	free(spec->module);
	free(spec->name);
	spec->module = spec->name = NULL;
}

bool custom_spec_matches_module(const struct custom_spec *spec, const char *path)
{
	const char *base = strrchr(path, '/');
	size_t len;

	if (!spec->module || strcmp(spec->module, path) == 0)
		return true;
	base = base ? base + 1 : path;
	len = strlen(spec->module);
	if (strncmp(base, spec->module, len) != 0)
		return false;
	/* "libfoo", "libfoo.so" and "libfoo.so.1" all mean libfoo.so.1.2 */
	return base[len] == '\0' || base[len] == '.';
}
