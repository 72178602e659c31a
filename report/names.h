/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_NAMES_H
#define MEMATTACH_REPORT_NAMES_H

#include "report/capture.h"

/*
 * What a person needs of a demangled name. A span is a part of a string that
 * is not copied.
 */
struct span {
	const char *s;
	size_t n;
};

/*
 * The qualified name in a demangled function, without return type, parameters
 * and qualifiers: "ns::Class<T>::method" of "void ns::Class<T>::method(int) const".
 * A C name is itself.
 */
struct span names_qualified(const char *function);

/* The last component of that, without template arguments: "method". */
struct span names_last(struct span qualified);

/*
 * A name for a narrow column, into out (size bytes, always NUL-terminated, cut at
 * the end if need be): qualified, with the arguments of templates left out:
 * "ns::Class<>::method".
 */
void names_compact(const char *function, char *out, size_t size);

/* The part behind the last '/' of a path (all of it if there is none, "" for NULL). */
const char *names_base(const char *path);

/* The last two components of a path: "src/server.c"; all of it if it has no more. */
const char *names_tail(const char *path);

#endif
