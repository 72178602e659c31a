/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_DEMANGLE_H
#define MEMATTACH_SYMBOLS_DEMANGLE_H

#include "base/types.h"

/*
 * Writes what a C++ or Rust symbol of len bytes stands for, with parameters, to
 * out and returns its length, without the NUL; 0 if it is no mangled name, or a
 * hostile one: longer than 4096 bytes, or as long as size or longer when
 * demangled. By libiberty.
 */
size_t demangle(const char *name, size_t len, char *out, size_t size);

/* Whether a name looks mangled: begins with _Z or _R. */
bool demangle_applies(const char *name);

#endif
