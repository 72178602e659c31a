// SPDX-License-Identifier: MIT
/* The unwinder of unwind/unwind.h: hands every call to the back end that was chosen. */
#include "unwind/unwind.h"

#include <errno.h>
#include <stdlib.h>

#include "unwind/backend.h"

struct unwinder {
	const struct unwind_backend *ops;
	void *impl;
};

static const struct unwind_backend *const backends[] = {
	[UNWIND_TABLE] = &unwind_table_backend,
	[UNWIND_LIBDW] = &unwind_libdw_backend,
	[UNWIND_LIBUNWIND] = &unwind_libunwind_backend,
};

struct unwinder *unwinder_create(enum unwind_kind kind, pid_t pid, const struct mem_reader *memory,
				 struct err *err)
{
	struct unwinder *u = calloc(1, sizeof(*u));

	if (!u) {
		err_set(err, ENOMEM, "no memory for an unwinder");
		return NULL;
	}
	u->ops = backends[kind];
	u->impl = u->ops->create(pid, memory, err);
	if (!u->impl) {
		free(u);
		return NULL;
	}
	return u;
}

void unwinder_destroy(struct unwinder *u)
{
	if (!u)
		return;
	u->ops->destroy(u->impl);
	free(u);
}

int unwinder_add_module(struct unwinder *u, const struct unwind_module *module, struct err *err)
{
	return u->ops->add_module(u->impl, module, err);
}

void unwinder_remove_module(struct unwinder *u, u32 id)
{
	u->ops->remove_module(u->impl, id);
}

void unwinder_prepare(struct unwinder *u, int fd)
{
	if (u->ops->prepare)
		u->ops->prepare(u->impl, fd);
}

int unwinder_rows(const struct unwinder *u, u32 id, struct unwind_rows *rows)
{
	return u->ops->rows ? u->ops->rows(u->impl, id, rows) : -ENOENT;
}

int unwinder_add_rows(struct unwinder *u, u32 id, u64 start, u64 end,
		      const struct unwind_rows *rows, struct err *err)
{
	return u->ops->add_rows ? u->ops->add_rows(u->impl, id, start, end, rows, err) : 0;
}

bool unwinder_met_agent(const struct unwinder *u)
{
	return u->ops->met_agent && u->ops->met_agent(u->impl, false);
}

bool unwinder_in_agent_call(const struct unwinder *u)
{
	return u->ops->met_agent && u->ops->met_agent(u->impl, true);
}

bool unwinder_is_sure(const struct unwinder *u)
{
	return u->ops->is_sure && u->ops->is_sure(u->impl);
}

const struct mem_reader *unwinder_swap_memory(struct unwinder *u, const struct mem_reader *memory)
{
	return u->ops->swap_memory ? u->ops->swap_memory(u->impl, memory) : NULL;
}

static enum unwind_end walk(struct unwinder *u, const struct walk_request *request, u64 *pcs,
			    u32 max, u32 *count)
{
	*count = 0;
	return max ? u->ops->walk(u->impl, request, pcs, max, count) : UNWIND_DEPTH;
}

enum unwind_end unwinder_walk(struct unwinder *u, pid_t tid, const struct unwind_regs *regs,
			      u64 *pcs, u32 max, u32 *count)
{
	struct walk_request request = {.tid = tid, .regs = regs, .entry = false};

	return walk(u, &request, pcs, max, count);
}

enum unwind_end unwinder_walk_entry(struct unwinder *u, pid_t tid, const struct unwind_regs *regs,
				    u64 *pcs, u32 max, u32 *count)
{
	struct walk_request request = {.tid = tid, .regs = regs, .entry = true};

	return walk(u, &request, pcs, max, count);
}
