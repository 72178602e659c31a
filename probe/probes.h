/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_PROBES_H
#define MEMATTACH_PROBE_PROBES_H

#include "attach/tracee.h"
#include "base/err.h"
#include "base/log.h"
#include "base/types.h"
#include "probe/allocators.h"
#include "unwind/unwind.h"

/*
 * Trap probes: from a stop at a breakpoint to what it means for the heap.
 *
 * Only the outermost allocator call of a thread counts. It is opened by the
 * breakpoint on the function's first byte, with the stack walked there, and
 * closed by the one at its return address, when thread and stack pointer match.
 */
struct probes;

enum heap_event_kind {
	HEAP_ALLOC,         /* size bytes at address */
	HEAP_FAILED,        /* an allocation of size bytes returned NULL */
	HEAP_FREE,          /* the block at address is about to be freed */
	HEAP_REALLOC_BEGIN, /* the block at address is about to be resized: take it off the books */
	HEAP_REALLOC_DONE, /* it was: it is gone, and if address is not 0, size bytes are at address */
	HEAP_REALLOC_FAILED, /* it was not: put it back; the call failed */
	HEAP_REALLOC_LOST,   /* nobody saw the call return (longjmp): put it back */
};

/* One cache line: they are made and read by the million. */
struct heap_event {
	enum heap_event_kind kind;
	u32 thread;  /* index of attach/thread.h */
	u64 address; /* ALLOC, FREE, REALLOC_BEGIN (old), REALLOC_DONE (new) */
	u64 size;
	u64 sp;     /* FREE by a trap: at its entry, pointing to the return address */
	u64 caller; /* FREE by a jump: the return address; else 0 */
	u32 stack;  /* id given by the host: ALLOC, FAILED, REALLOC_DONE */
	bool again; /* FREE: of the block that this thread freed last, maybe one function calling another */
	bool next; /* FREE, with sampling: the thread has allocated nothing since its last sample */
	bool settled; /* FREE, REALLOC_DONE, with sampling: the agent's filter is seen to; no probes_block_gone */
	const char *stack_lost; /* why that is not the call's own stack; NULL: it is */
	void *realloc; /* REALLOC_*: 64 bytes for the host, kept from BEGIN to the end of the call */
};

_Static_assert(sizeof(struct heap_event) == 64, "a cache line");

#define REALLOC_SCRATCH 64

/* What probes need of the session. */
struct probe_host {
	void *ctx;
	/* Whether a breakpoint may be planted at address: code of a mapped module, whose id goes to *module. */
	bool (*is_code)(void *ctx, u64 address, u32 *module);
	/* An id for a call stack; pcs as from unwinder_walk, without the allocator itself. 0 or -errno. */
	int (*stack)(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u32 *id);
	/* The same for one that the agent has walked; the walk ended at stack pointer sp. */
	int (*arrived_stack)(void *ctx, const u64 *pcs, u32 n, enum unwind_end end, u64 sp,
			     u32 *id);
	/* n events have happened, in this order. */
	void (*events)(void *ctx, const struct heap_event *events, u32 n);
	/* Around calls of stack, events, rendezvous and lost that are made for a breakpoint. */
	void (*enter)(void *ctx);
	void (*leave)(void *ctx);
	/* With sampling: whether a block at address is on the books, and all that are. Between enter and leave. */
	bool (*has)(void *ctx, u64 address);
	void (*each_block)(void *ctx, void (*visit)(void *arg, u64 address), void *arg);
	/* Events come now, all at about the same time. */
	void (*batch)(void *ctx);
	/* Calls visit for each mapped module until it returns non-zero; returns that. */
	int (*each_module)(void *ctx, int (*visit)(void *arg, u32 id, u64 start, u64 end),
			   void *arg);
	/* The dynamic linker has begun or finished a change of the list of modules, in thread. */
	void (*rendezvous)(void *ctx, struct thread *thread);
	/* An event was lost: why. */
	void (*lost)(void *ctx, const char *why);
};

enum probes_mode {
	PROBES_AUTO, /* jumps where they are safe, else breakpoints */
	PROBES_JUMP, /* the same, with a warning where it is a breakpoint */
	PROBES_TRAP, /* breakpoints */
};

struct probes_config {
	u32 depth;  /* the most frames of a stack */
	u64 sample; /* mean bytes between samples, 0: every allocation is recorded */
	enum probes_mode mode;
	struct log log;
};

/* An allocator function. */
struct probe_function {
	u64 address, size; /* size 0: unknown */
	u32 module;
	bool custom;              /* one that the user named */
	bool may_throw;           /* it may be left by an exception, as far as is known */
	bool entered;             /* another function begins in its first bytes */
	u64 next;                 /* where the next function begins, 0: unknown */
	u64 nothrow;              /* the form of an operator new that returns NULL; 0: none */
	u64 text_start, text_end; /* the executable mapping that it is in */
	const char *name;         /* for messages; borrowed */
	struct call_spec spec;
};

/* unwinder is borrowed. NULL with err filled on failure. */
struct probes *probes_create(struct tracee *tracee, struct unwinder *unwinder,
			     const struct probes_config *config, const struct probe_host *host,
			     struct err *err);
void probes_destroy(struct probes *probes);

/*
 * Where the program starts, code that it will not run again: system calls are
 * injected there. *unfinished, if not NULL, holds where an area is being mapped
 * until it has its header.
 */
void probes_set_entry(struct probes *probes, u64 entry, u64 *unfinished);

/* Makes ready a probe of an allocator function. 0; -errno with err filled. */
int probes_add(struct probes *probes, const struct probe_function *function, struct err *err);

/* Likewise a breakpoint on the dynamic linker's r_brk. */
int probes_add_rendezvous(struct probes *probes, u64 address, u32 module, struct err *err);

/* Plants what was made ready, in one go. 0 or -errno with err filled. */
int probes_plant(struct probes *probes, struct err *err);

/* A module was unmapped: its breakpoints went with it. */
void probes_forget_module(struct probes *probes, u32 module);

/* How many allocator functions and call sites have breakpoints. */
u32 probes_count(const struct probes *probes);

/*
 * Maps the memory for displaced instructions near address ahead of need. Failure is no
 * error: breakpoints are then stepped over.
 */
void probes_prepare(struct probes *probes, u64 address, struct err *err);

enum probe_verdict {
	PROBE_RESUME,  /* ours, done: resume the thread with 0 */
	PROBE_FOREIGN, /* a SIGTRAP of the target's own: resume with it */
	PROBE_LATER,   /* another stop of this thread is queued: do not resume it */
};

/* Handles an EVENT_TRAP of thread. */
enum probe_verdict probes_trap(struct probes *probes, struct thread *thread);

/*
 * A signal is about to be delivered to thread: if it stands in displaced code,
 * moves it back to the target's own, so that a handler sees a true pc.
 */
void probes_signal(struct probes *probes, struct thread *thread);

/* All threads have been stopped: what they have recorded so far can be read to its end. */
void probes_stopped(struct probes *probes);

/* Whether the agent that protects the target has to be put back, and doing so. */
bool probes_agent_is_lost(const struct probes *probes);
void probes_restore_agent(struct probes *probes, struct err *err);

/* The thread has ended: what it had under way is closed. */
void probes_thread_gone(struct probes *probes, struct thread *thread);

/*
 * Makes jumps of breakpoints where that is wanted and safe. All threads are stopped for
 * a moment, for what has to be done in the target, and run while it is prepared, but for
 * thread, which stands still and goes on doing so; NULL: none does. Failure is no error:
 * breakpoints stay, and it is said. -ENOMEM with err filled.
 */
int probes_improve(struct probes *probes, struct thread *thread, struct err *err);

/* Whether probes_improve has something to do. */
bool probes_can_improve(const struct probes *probes);

/* What the agent has recorded; NULL as long as there are no jumps. */
struct ring_reader *probes_reader(const struct probes *probes);

/*
 * A module is there, or will be gone: what the agent has to know to walk stacks.
 * With all threads stopped, or before there are jumps; then probes_publish.
 */
int probes_module_added(struct probes *probes, u32 id, u64 start, u64 end, struct err *err);
void probes_publish(struct probes *probes);

/* With sampling: a recorded block is off the books for good, by an event that is not settled. */
void probes_block_gone(const struct probes *probes, u64 address);

/* A number for a thread, the same for what it does at breakpoints and what the agent records of it. */
u32 probes_thread_number(const struct probes *probes, struct thread *thread);

/*
 * A SIGSEGV or SIGBUS of thread. True: it was the agent, reading a stack that is
 * none; resume the thread without the signal.
 */
bool probes_fault(struct probes *probes, struct thread *thread);

/* The thread is about to end: EVENT_EXIT. */
void probes_thread_exits(struct probes *probes, struct thread *thread);

/*
 * The thread has forked, and stands in the stop for that, EVENT_FORK: what its child
 * may need in probes_clean_child, which may come later.
 */
void probes_forks(struct probes *probes, struct thread *thread, pid_t child);

/*
 * Takes all that is ours out of a forked child, which stands in its first stop. If it
 * was forked within a call that the agent has made, or in a signal handler that has
 * interrupted the agent, areas stay in it, without effect. 0 or -errno.
 */
int probes_clean_child(const struct probes *probes, pid_t child, struct err *err);

/*
 * Takes everything out of the target again: breakpoints, threads in displaced
 * code, areas. All threads must be stopped (tracee_stop_all), and stay so. The
 * first failure is reported, the rest is done all the same. -EAGAIN, without a
 * message, when every thread is about to get a signal, or one is in the agent's code
 * or in a function that it has called: let them run and try again.
 */
int probes_remove(struct probes *probes, struct err *err);

/* exec: the old address space is gone with everything in it. */
void probes_exec(struct probes *probes);

#endif
