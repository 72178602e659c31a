// SPDX-License-Identifier: MIT
/*
 * A mangled name can refer to parts of itself again and again, so that 200 bytes
 * stand for gigabytes. Hence libiberty's callback form: its text comes in pieces,
 * its work space is on the stack, and so one can leave it with a longjmp once
 * there was too much (a Rust name in punycode may then lose a small buffer).
 */
#include "symbols/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <string.h>

#define NAME_MAX_MANGLED 4096

struct sink {
	char *out;
	size_t n, size;
	jmp_buf too_long;
};

static void append(const char *text, size_t len, void *opaque)
{
	struct sink *sink = opaque;

	if (len >= sink->size - sink->n)
		longjmp(sink->too_long, 1);
	memcpy(sink->out + sink->n, text, len);
	sink->n += len;
}

bool demangle_applies(const char *name)
{
	return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* Rust first: its old scheme is C++'s with a hash at the end. */
static bool run(const char *name, struct sink *sink)
{
	const int options = DMGL_PARAMS | DMGL_ANSI;

	if (rust_demangle_callback(name, options, append, sink))
		return true;
	sink->n = 0;
	return cplus_demangle_v3_callback(name, options, append, sink);
}

size_t demangle(const char *name, size_t len, char *out, size_t size)
{
	char copy[NAME_MAX_MANGLED + 1];
	struct sink sink = {.out = out, .size = size};

	if (len > NAME_MAX_MANGLED || len < 3 || !size || !demangle_applies(name))
		return 0;
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (setjmp(sink.too_long))
		return 0;
	if (!run(copy, &sink))
		return 0;
	out[sink.n] = '\0';
	return sink.n;
}
