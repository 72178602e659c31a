// SPDX-License-Identifier: MIT
#include "report/blame.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report/names.h"

static bool starts_with(const char *s, size_t n, const char *prefix)
{
	return n >= strlen(prefix) && strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool starts_with_any(struct span s, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (starts_with(s.s, s.n, prefixes[i]))
			return true;
	return false;
}

static bool is_one_of(struct span s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s.n == strlen(words[i]) && memcmp(s.s, words[i], s.n) == 0)
			return true;
	return false;
}

/* Is word in s, whatever the case? */
static bool contains(struct span s, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= s.n; i++)
		if (strncasecmp(s.s + i, word, len) == 0)
			return true;
	return false;
}

/* The allocators' own entry points and insides, by the names that they have in their sources. */
static bool is_allocator_name(struct span name)
{
	static const char *const exact[] = {
		"malloc",          "calloc",
		"realloc",         "reallocarray",
		"memalign",        "aligned_alloc",
		"posix_memalign",  "valloc",
		"pvalloc",         "operator new",
		"operator new[]",  "__libc_malloc",
		"__libc_calloc",   "__libc_realloc",
		"__libc_memalign", "__malloc",
		"__calloc",        "__realloc",
		"_int_malloc",     "_int_realloc",
		"_int_memalign",   "_mid_memalign",
		"sysmalloc",       "tcache_init",
		"mallocx",         "rallocx",
		"__rust_alloc",    "__rust_realloc",
		"__rdl_alloc",     "__rust_alloc_zeroed",
		"__rdl_realloc",   "__rdl_alloc_zeroed",
	};
	static const char *const prefixes[] = {
		"je_",       "_rjem_",      "mi_malloc",  "mi_calloc",    "mi_realloc",
		"mi_zalloc", "mi_new",      "mi_heap_",   "_mi_heap_",    "_mi_malloc",
		"_mi_page_", "mi_aligned",  "tc_malloc",  "tc_calloc",    "tc_realloc",
		"tc_new",    "tc_memalign", "tcmalloc::", "__GI___libc_",
	};

	return is_one_of(name, exact, ARRAY_SIZE(exact)) ||
	       starts_with_any(name, prefixes, ARRAY_SIZE(prefixes));
}

/* "libc.so.6" begins with "libc.so"; "libcurl.so.4" with none of these. */
static bool module_is(const char *path, const char *const *prefixes, size_t n)
{
	const char *base = names_base(path);

	return starts_with_any((struct span){base, strlen(base)}, prefixes, n);
}

static bool is_runtime_module(const char *path)
{
	static const char *const prefixes[] = {
		"libc.so",       "libc-2.",   "ld-linux", "ld-2.",     "ld-musl",
		"libc.musl",     "libstdc++", "libc++",   "libgcc_s.", "libpthread.",
		"libpthread-2.", "libasan.",  "libdl.so",
	};

	return module_is(path, prefixes, ARRAY_SIZE(prefixes));
}

static bool is_allocator_module(const char *path)
{
	static const char *const prefixes[] = {"libjemalloc", "libtcmalloc", "libmimalloc"};

	return module_is(path, prefixes, ARRAY_SIZE(prefixes));
}

/* Headers of the C++ library, sources of Rust's: they are compiled into every module. */
static bool is_library_file(const char *file)
{
	return file && (strstr(file, "/include/c++/") || strstr(file, "/rustc/") ||
			strstr(file, "/rustlib/src/") || strstr(file, "/library/alloc/src/") ||
			strstr(file, "/library/core/src/") || strstr(file, "/library/std/src/"));
}

static bool is_library_name(struct span name)
{
	static const char *const prefixes[] = {
		"std::",          "__gnu_cxx::",      "<std::",       "<alloc::",       "<core::",
		"alloc::alloc::", "alloc::raw_vec::", "alloc::vec::", "alloc::string::"};
	/* xmalloc, g_malloc0, CRYPTO_zalloc, ngx_palloc, PyMem_RawMalloc, xstrdup ... */
	static const char *const words[] = {"malloc", "calloc", "realloc", "zalloc",
					    "palloc", "strdup", "strndup", "memdup"};
	struct span last = names_last(name);

	if (starts_with_any(name, prefixes, ARRAY_SIZE(prefixes)))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (contains(last, words[i]))
			return true;
	return false;
}

enum blame_class blame_classify(const struct capture_frame *frame)
{
	struct span name = {"", 0};

	if (frame->function)
		name = names_qualified(frame->function);
	if (is_allocator_name(name) || (frame->module && is_allocator_module(frame->module)))
		return BLAME_ALLOCATOR;
	if (is_library_name(name) || is_library_file(frame->file) ||
	    (frame->module && is_runtime_module(frame->module)))
		return BLAME_LIBRARY;
	return BLAME_USER;
}

u8 *blame_classify_all(const struct capture *capture)
{
	u8 *classes = malloc(capture->frames_n ? capture->frames_n : 1);

	for (size_t i = 0; classes && i < capture->frames_n; i++)
		classes[i] = (u8)blame_classify(&capture->frames[i]);
	return classes;
}

struct blame blame_stack(const u8 *classes, const struct capture_stack *stack)
{
	struct blame blame = {BLAME_NONE, BLAME_NONE};

	for (u32 i = 0; i < stack->n; i++) {
		enum blame_class class = classes[stack->frames[i]];

		if (class == BLAME_USER) {
			blame.guilty = i;
			break;
		}
		if (class == BLAME_LIBRARY && blame.guilty == BLAME_NONE)
			blame.guilty = i;
	}
	if (blame.guilty == BLAME_NONE && stack->n)
		blame.guilty = stack->n - 1;
	if (blame.guilty != BLAME_NONE && blame.guilty > 0 &&
	    classes[stack->frames[blame.guilty - 1]] == BLAME_LIBRARY)
		blame.via = blame.guilty - 1;
	return blame;
}
