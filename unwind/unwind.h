/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_UNWIND_H
#define MEMATTACH_UNWIND_UNWIND_H

#include "base/err.h"
#include "base/reader.h"
#include "base/types.h"

/*
 * Call stacks of a stopped thread of another process, by one of three back ends:
 * compact tables (the default, see unwind/table.h and unwind/walk.h), libdw (the
 * reference, and what the tables ask for the few rows they cannot hold), and
 * libunwind-ptrace.
 */
enum unwind_kind { UNWIND_TABLE, UNWIND_LIBDW, UNWIND_LIBUNWIND };

#define UNWIND_MAX_DEPTH     256
#define UNWIND_DEFAULT_DEPTH 64

/* DWARF numbers of the x86-64 registers: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8-15, 16 rip. */
#define UNWIND_REGISTERS 17

struct unwind_regs {
	u64 r[UNWIND_REGISTERS];
};

/* What an unwinder has to know of a mapped ELF module. */
struct unwind_module {
	u32 id;
	u64 start, end; /* addresses in the process */
	u64 bias;
	int fd; /* the ELF file; borrowed, stays open until the module is removed; may be -1 */
	const char *path; /* for messages and for libdw; borrowed likewise */
};

enum unwind_end {
	UNWIND_OUTERMOST, /* the stack is whole */
	UNWIND_DEPTH,     /* cut: more than max frames */
	UNWIND_LOST,      /* cut: no way to go on */
};

struct unwinder;

/*
 * An unwinder for process pid. memory reads the target and is borrowed. NULL and
 * err filled on failure.
 */
struct unwinder *unwinder_create(enum unwind_kind kind, pid_t pid, const struct mem_reader *memory,
				 struct err *err);
void unwinder_destroy(struct unwinder *unwinder);

/*
 * Tells of a module that was mapped; reads its unwind information (slow: call it
 * before threads are stopped where possible). A module without any, or with
 * broken one, is no error. 0 or -ENOMEM.
 */
int unwinder_add_module(struct unwinder *unwinder, const struct unwind_module *module,
			struct err *err);
void unwinder_remove_module(struct unwinder *unwinder, u32 id);

/*
 * A module with this ELF file will be added soon: does what is slow about that now.
 * What is prepared for more than some dozens of modules at a time is done again.
 */
void unwinder_prepare(struct unwinder *unwinder, int fd);

struct unwind_row;

/* The compiled unwind information of a module: rows of unwind/table.h. */
struct unwind_rows {
	const struct unwind_row *rows; /* borrowed, until the module is removed */
	size_t n;
	u64 base; /* the address in the process that the rows' offset 0 is at */
};

/*
 * That of a module that was added, for those who walk by themselves. 0; -ENOENT: there
 * is no such module, or the back end is not UNWIND_TABLE, which alone has rows.
 */
int unwinder_rows(const struct unwinder *unwinder, u32 id, struct unwind_rows *rows);

/*
 * Tells the table back end of code at [start, end) that no file has, with its rows
 * (borrowed until it is removed, by its id). The other back ends do not use it.
 * 0 or -ENOMEM.
 */
int unwinder_add_rows(struct unwinder *unwinder, u32 id, u64 start, u64 end,
		      const struct unwind_rows *rows, struct err *err);

/* Whether the last walk came by code of the agent (unwinder_add_rows), which it leaves out. */
bool unwinder_met_agent(const struct unwinder *unwinder);

/* Whether it did so before it came to a signal frame: a function that the agent has called is under way. */
bool unwinder_in_agent_call(const struct unwinder *unwinder);

/*
 * Whether each frame of the last walk was found by unwind information; where there is
 * none, frame pointers may lead past frames, and an outermost frame need not be one.
 */
bool unwinder_is_sure(const struct unwinder *unwinder);

/*
 * From now on the table back end reads this memory, which may be of another process with
 * the same modules: a forked child. Returns what it has read so far, to be put back;
 * NULL: the back end cannot do that, and nothing has changed.
 */
const struct mem_reader *unwinder_swap_memory(struct unwinder *unwinder,
					      const struct mem_reader *memory);

/*
 * Walks the stack of thread tid, which is in a ptrace-stop (libunwind and libdw
 * need that; table only needs its memory to hold still), from regs, which may
 * differ from the thread's own (as on the first byte of a function, where a
 * breakpoint has moved rip). pcs[0] is regs' rip itself; pcs[i] for i > 0 is the
 * address to look up: the return address minus 1, or the exact address where
 * frame i-1 is a signal trampoline (and that of the trampoline itself, which is
 * entered, not returned into). At most max frames; *count says how many.
 */
enum unwind_end unwinder_walk(struct unwinder *unwinder, pid_t tid, const struct unwind_regs *regs,
			      u64 *pcs, u32 max, u32 *count);

/*
 * As unwinder_walk, for a thread that stands on the first byte of a function
 * (with or without a breakpoint there): the return address is at rsp, whatever
 * is known of that function. Right even where the function has no unwind
 * information, as all of musl's, and a little faster.
 */
enum unwind_end unwinder_walk_entry(struct unwinder *unwinder, pid_t tid,
				    const struct unwind_regs *regs, u64 *pcs, u32 max, u32 *count);

#endif
