/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_ALLOCATORS_H
#define MEMATTACH_PROBE_ALLOCATORS_H

#include "base/err.h"
#include "base/types.h"

/* What a call of an allocator function does, and in which arguments (from 1; 0: none) it says so. */
enum call_kind { CALL_ALLOC, CALL_FREE, CALL_REALLOC };

struct call_spec {
	enum call_kind kind;
	u8 ptr;     /* free, realloc: the block */
	u8 size;    /* alloc, realloc: bytes */
	u8 count;   /* multiplied with size */
	bool frees; /* realloc: a failure frees the block */
	bool nests; /* free: a function that calls other allocator functions, which do not count */
	u8 out;     /* alloc: where the block's address is stored; then 0 is returned for success */
	bool throws; /* alloc: a failure is an exception */
	/* alloc that throws: the name of the same function that returns NULL instead, whose last argument is more; or NULL */
	const char *nothrow;
};

/*
 * Which functions of the table a module needs. Functions with an allocator's
 * prefix (je_, mi_, ...) count only in a module that has that prefix's malloc:
 * the group is GROUP_PREFIX + the number of the prefix.
 */
enum allocator_group {
	GROUP_C,        /* malloc and its family */
	GROUP_OPERATOR, /* operator new and delete: only where they do not call malloc */
	GROUP_PREFIX,
};

#define ALLOCATOR_PREFIXES 4

/*
 * The call spec of a function of the table by its symbol name; NULL if it is
 * none. *is_malloc tells whether it is its group's malloc.
 */
const struct call_spec *allocator_find(const char *name, enum allocator_group *group,
				       bool *is_malloc);

/* Whether name is one by which a module shows that it is glibc (or a static program with glibc's malloc). */
bool allocator_is_glibc_internal(const char *name);

/*
 * A function that the user named: --alloc, --free or --realloc
 * NAME[:size=ARG][:count=ARG][:out=ARG][:ptr=ARG], where NAME may be
 * module!name or module!0xOFFSET (file address of the function in the module).
 */
struct custom_spec {
	char *module; /* NULL: any; a path, or its last part, with or without what follows ".so" */
	char *name;   /* NULL if by offset */
	u64 offset;
	struct call_spec call;
	const char *option; /* "--alloc ..." for messages, borrowed text of the argument */
	u32 found;          /* in how many places */
};

/* Parses one. On success release with custom_spec_deinit. 0 or -EINVAL, -ENOMEM with err filled. */
int custom_spec_parse(struct custom_spec *spec, enum call_kind kind, const char *text,
		      struct err *err);
void custom_spec_deinit(struct custom_spec *spec);

/* Whether the module with this path is the one that the spec names. */
bool custom_spec_matches_module(const struct custom_spec *spec, const char *path);

#endif
