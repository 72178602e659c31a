/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_BACKEND_H
#define MEMATTACH_UNWIND_BACKEND_H

#include "unwind/unwind.h"

/* One walk: whose, from where. */
struct walk_request {
	pid_t tid;
	const struct unwind_regs *regs;
	bool entry; /* rip is the first byte of a function: the return address is at rsp */
};

/*
 * For a request with entry: makes regs those of the caller, with rip inside the
 * call instruction, so that it is looked up as it is. 0 or -EFAULT.
 */
static inline int walk_request_return(const struct walk_request *request,
				      const struct mem_reader *memory, struct unwind_regs *regs)
{
	u64 address;

	if (mem_read_all(memory, request->regs->r[7], &address, sizeof(address)) || !address)
		return -14; /* -EFAULT */
	*regs = *request->regs;
	regs->r[7] += 8;
	regs->r[16] = address - 1;
	return 0;
}

/* What a back end of unwind/unwind.h is: the same verbs, on a state of its own. */
struct unwind_backend {
	/* NULL and err filled on failure. */
	void *(*create)(pid_t pid, const struct mem_reader *memory, struct err *err);
	void (*destroy)(void *impl); /* takes NULL */
	int (*add_module)(void *impl, const struct unwind_module *module, struct err *err);
	void (*remove_module)(void *impl, u32 id);
	void (*prepare)(void *impl, int fd); /* NULL: there is nothing to prepare */
	/* NULL where there are no rows. */
	int (*rows)(const void *impl, u32 id, struct unwind_rows *rows);
	int (*add_rows)(void *impl, u32 id, u64 start, u64 end, const struct unwind_rows *rows,
			struct err *err);
	bool (*met_agent)(const void *impl, bool call); /* NULL with add_rows */
	bool (*is_sure)(const void *impl);              /* NULL: never */
	/* NULL: not possible. */
	const struct mem_reader *(*swap_memory)(void *impl, const struct mem_reader *memory);
	/* max >= 1. Fills pcs[0] too. */
	enum unwind_end (*walk)(void *impl, const struct walk_request *request, u64 *pcs, u32 max,
				u32 *count);
};

extern const struct unwind_backend unwind_table_backend;
extern const struct unwind_backend unwind_libdw_backend;
extern const struct unwind_backend unwind_libunwind_backend;

#endif
