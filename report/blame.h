/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_BLAME_H
#define MEMATTACH_REPORT_BLAME_H

#include "report/capture.h"

/*
 * Which frame of a stack to look at. Every stack ends in the allocator, and
 * often passes through code that only allocates for its caller: operator new,
 * std::vector, strdup, xmalloc, fopen. The guilty frame is the first, from the
 * leaf, that is none of these.
 */
enum blame_class {
	BLAME_USER,
	BLAME_LIBRARY,   /* allocates for its caller, or is part of the language's run time */
	BLAME_ALLOCATOR, /* malloc, operator new and their insides */
};

enum blame_class blame_classify(const struct capture_frame *frame);

/* The class of every frame of the capture, one byte each, malloc'ed; NULL when out of memory. */
u8 *blame_classify_all(const struct capture *capture);

#define BLAME_NONE UINT32_MAX

struct blame {
	u32 guilty; /* position in the stack; BLAME_NONE if the stack has no frames */
	u32 via;    /* the library function that it called; BLAME_NONE if that is just malloc */
};

/*
 * classes is what blame_classify_all has made. If no frame is the user's: the
 * first that is not the allocator, else the outermost.
 */
struct blame blame_stack(const u8 *classes, const struct capture_stack *stack);

#endif
