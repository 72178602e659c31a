/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_SYMBOLIZER_H
#define MEMATTACH_SYMBOLS_SYMBOLIZER_H

#include "base/err.h"
#include "base/types.h"
#include "symbols/modules.h"

/*
 * From an address to names: function (demangled), source file and line, and the
 * functions inlined there. The debug information is in the module itself, in
 * .gnu_debugdata, or in a file found by build-id or by debuglink, on the host or
 * in the target's root; libdw reads it. (Not libdwfl: that maps debug files, and a
 * target that truncates one would kill us with a SIGBUS.) Everything is looked up
 * once and cached. Reading DWARF is slow, so this is for report time, never between
 * a stop and a resume.
 */
struct symbolizer;

/* What one address means at one inlining level. Strings are owned by the symbolizer. */
struct symbol_frame {
	const char *function; /* demangled; NULL if unknown */
	const char *file;     /* NULL if unknown */
	u32 line;             /* 0 if unknown */
	bool inlined;         /* inlined into the next one */
};

/* modules is borrowed and must outlive the symbolizer. */
struct symbolizer *symbolizer_create(const struct modules *modules, struct err *err);
void symbolizer_destroy(struct symbolizer *symbolizer);

/*
 * The frames at a frame value of base/frame.h, innermost inlined function first,
 * the real function last; always at least one. *frames is owned by the
 * symbolizer and valid until it is destroyed. Returns 0 or -ENOMEM.
 */
int symbolizer_lookup(struct symbolizer *symbolizer, u64 frame, const struct symbol_frame **frames,
		      size_t *count, struct err *err);

#endif
