// SPDX-License-Identifier: MIT
/*
 * Stacks by libunwind-ptrace. It finds the ELF files by itself, through
 * /proc/PID/maps, and reads their tables with PTRACE_PEEKDATA; registers come
 * from the caller and the stack from our window, so that a thread can be walked
 * from registers that are not its own.
 *
 * libunwind hands our accessors the argument of unw_init_remote (struct
 * libunwind_unwinder), but those of libunwind-ptrace want what _UPT_create made,
 * and hand that on when they read memory for a table. Hence two address spaces:
 * ours, and theirs for the search of tables only.
 */
#include <errno.h>
#include <libunwind-ptrace.h>
#include <stdlib.h>

#include "unwind/backend.h"
#include "unwind/window.h"

/* Stack, not unwind information, is what lies less than this above rsp. Bytes. */
#define STACK_MAX (64ULL << 20)

struct libunwind_unwinder {
	unw_addr_space_t space, upt_space;
	const struct mem_reader *memory;
	void *upt; /* of thread tid */
	pid_t tid;
	struct unwind_regs regs; /* of the walk that is going on */
	struct window window;
};

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *info, int need,
			  void *arg)
{
	struct libunwind_unwinder *u = arg;

	(void)space;
	return _UPT_find_proc_info(u->upt_space, ip, info, need, u->upt);
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *arg)
{
	struct libunwind_unwinder *u = arg;

	(void)space;
	_UPT_put_unwind_info(u->upt_space, info, u->upt);
}

static int get_dyn_info_list_addr(unw_addr_space_t space, unw_word_t *list, void *arg)
{
	(void)space;
	(void)list;
	(void)arg;
	return -UNW_ENOINFO;
}

static int access_mem(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int write,
		      void *arg)
{
	struct libunwind_unwinder *u = arg;
	bool stack = address - u->regs.r[7] < STACK_MAX;

	(void)space;
	if (write)
		return -UNW_EINVAL;
	if (stack)
		return window_read_u64(&u->window, address, value) ? 0 : -UNW_EINVAL;
	return mem_read_all(u->memory, address, value, sizeof(*value)) ? -UNW_EINVAL : 0;
}

/* libunwind numbers the registers of x86-64 as DWARF does. */
static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
		      void *arg)
{
	const struct libunwind_unwinder *u = arg;

	(void)space;
	if (write || reg < 0 || reg >= UNWIND_REGISTERS)
		return -UNW_EBADREG;
	*value = u->regs.r[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write,
			void *arg)
{
	(void)space;
	(void)reg;
	(void)value;
	(void)write;
	(void)arg;
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *arg)
{
	(void)space;
	(void)cursor;
	(void)arg;
	return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t space, unw_word_t address, char *name, size_t len,
			 unw_word_t *offset, void *arg)
{
	(void)space;
	(void)address;
	(void)name;
	(void)len;
	(void)offset;
	(void)arg;
	return -UNW_ENOINFO;
}

static unw_accessors_t accessors = {
	.find_proc_info = find_proc_info,
	.put_unwind_info = put_unwind_info,
	.get_dyn_info_list_addr = get_dyn_info_list_addr,
	.access_mem = access_mem,
	.access_reg = access_reg,
	.access_fpreg = access_fpreg,
	.resume = resume,
	.get_proc_name = get_proc_name,
};

static void forget(struct libunwind_unwinder *u)
{
	if (u->upt)
		_UPT_destroy(u->upt);
	u->upt = NULL;
	unw_flush_cache(u->space, 0, 0);
}

static void destroy(void *impl)
{
	struct libunwind_unwinder *u = impl;

	if (!u)
		return;
	if (u->upt)
		_UPT_destroy(u->upt);
	if (u->space)
		unw_destroy_addr_space(u->space);
	if (u->upt_space)
		unw_destroy_addr_space(u->upt_space);
	free(u);
}

static void *create(pid_t pid, const struct mem_reader *memory, struct err *err)
{
	struct libunwind_unwinder *u = calloc(1, sizeof(*u));

	(void)pid;
	if (u) {
		u->space = unw_create_addr_space(&accessors, 0);
		u->upt_space = unw_create_addr_space(&_UPT_accessors, 0);
	}
	if (!u || !u->space || !u->upt_space) {
		err_set(err, ENOMEM, "no memory for libunwind");
		destroy(u);
		return NULL;
	}
	unw_set_caching_policy(u->space, UNW_CACHE_GLOBAL);
	u->memory = memory;
	u->window.memory = memory;
	return u;
}

/* libunwind reads the maps by itself; all it needs to know is that they changed. */
static int add_module(void *impl, const struct unwind_module *module, struct err *err)
{
	(void)module;
	(void)err;
	forget(impl);
	return 0;
}

static void remove_module(void *impl, u32 id)
{
	(void)id;
	forget(impl);
}

/*
 * libunwind says 0 of the end of a stack where it has no unwind information, too,
 * if there is no frame pointer to follow. last is the frame that has no caller.
 */
static enum unwind_end why_it_ended(unw_cursor_t *last)
{
	unw_proc_info_t info;

	/* Of an unknown function it makes up one that is a byte long. */
	if (unw_get_proc_info(last, &info) || info.end_ip - info.start_ip <= 1)
		return UNWIND_LOST;
	return UNWIND_OUTERMOST;
}

static enum unwind_end frames(unw_cursor_t *cursor, u64 *pcs, u32 max, u32 *count)
{
	unw_cursor_t last = *cursor;
	bool exact = true;

	for (;;) {
		bool trampoline = unw_is_signal_frame(cursor) > 0;
		unw_word_t pc;
		int ret;

		if (unw_get_reg(cursor, UNW_REG_IP, &pc))
			return UNWIND_LOST;
		if (pc == 0)
			return why_it_ended(&last);
		if (*count == max)
			return UNWIND_DEPTH;
		pcs[(*count)++] = exact || trampoline ? pc : pc - 1;
		exact = trampoline;
		last = *cursor;
		ret = unw_step(cursor);
		if (ret <= 0)
			return ret ? UNWIND_LOST : why_it_ended(&last);
	}
}

static enum unwind_end walk(void *impl, const struct walk_request *request, u64 *pcs, u32 max,
			    u32 *count)
{
	struct libunwind_unwinder *u = impl;
	unw_cursor_t cursor;

	u->regs = *request->regs;
	window_start(&u->window, u->regs.r[7]);
	if (request->entry) {
		pcs[(*count)++] = u->regs.r[16];
		if (walk_request_return(request, u->memory, &u->regs))
			return UNWIND_LOST;
	}
	if (u->upt && u->tid != request->tid) {
		_UPT_destroy(u->upt);
		u->upt = NULL;
	}
	if (!u->upt)
		u->upt = _UPT_create(request->tid);
	u->tid = request->tid;
	if (!u->upt || unw_init_remote(&cursor, u->space, u))
		return UNWIND_LOST;
	return frames(&cursor, pcs, max, count);
}

const struct unwind_backend unwind_libunwind_backend = {
	.create = create,
	.destroy = destroy,
	.add_module = add_module,
	.remove_module = remove_module,
	.walk = walk,
};
