/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_LIBDW_UNWINDER_H
#define MEMATTACH_UNWIND_LIBDW_UNWINDER_H

#include "unwind/unwind.h"

/* The libdw back end, as the table back end uses it for single frames. */
struct libdw_unwinder;

struct libdw_unwinder *libdw_unwinder_create(pid_t pid, const struct mem_reader *memory,
					     struct err *err);
void libdw_unwinder_destroy(struct libdw_unwinder *u);
int libdw_unwinder_add_module(struct libdw_unwinder *u, const struct unwind_module *module,
			      struct err *err);
void libdw_unwinder_remove_module(struct libdw_unwinder *u, u32 id);

/* Registers that a walk may begin with: all; those that calls leave alone; those that rows keep. */
enum libdw_known { LIBDW_ALL, LIBDW_KEPT, LIBDW_RBP_RSP_RIP };

struct libdw_frame {
	u64 pc, sp, bp;
	bool exact; /* pc is no return address */
};

/* Told of each frame from the innermost on. False: enough. */
typedef bool (*libdw_visit_fn)(void *ctx, const struct libdw_frame *frame);

/*
 * Walks from regs. UNWIND_OUTERMOST or UNWIND_LOST when the walk came to its
 * end, UNWIND_DEPTH when visit ended it.
 */
enum unwind_end libdw_unwinder_frames(struct libdw_unwinder *u, pid_t tid,
				      const struct unwind_regs *regs, enum libdw_known known,
				      libdw_visit_fn visit, void *ctx);

#endif
