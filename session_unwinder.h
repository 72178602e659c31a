/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_UNWINDER_H
#define MEMATTACH_SESSION_UNWINDER_H

#include "proc/mem.h"
#include "symbols/modules.h"
#include "unwind/unwind.h"

/*
 * An unwinder for a process that no image (session_image.h) is kept of: one that is
 * only to be left clean (probe/leftovers.h).
 */
struct session_unwinder {
	pid_t pid; /* whose stacks */
	struct proc_mem mem;
	struct mem_reader reader;
	struct modules *modules;
	struct unwinder *unwinder;
};

/*
 * Makes it, for the modules that are mapped now. ctx is a struct session_unwinder in
 * which only pid is set. NULL on failure.
 */
struct unwinder *session_unwinder_make(void *ctx);

/* A module as the unwinder wants it; it points to the module's own path. */
struct unwind_module session_unwind_module(const struct module *module);

/* Frees it, whether it was made or not. */
void session_unwinder_free(struct session_unwinder *walks);

#endif
