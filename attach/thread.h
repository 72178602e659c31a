/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_THREAD_H
#define MEMATTACH_ATTACH_THREAD_H

#include "attach/event.h"
#include "attach/regs_x86_64.h"
#include "base/types.h"

enum thread_state {
	THREAD_RUNNING,   /* or asleep: not in a stop that we have seen */
	THREAD_STOPPED,   /* in a ptrace-stop: requests work */
	THREAD_LISTENING, /* in a group stop, after PTRACE_LISTEN: requests do not work */
};

/* One traced thread that shares the target's memory. */
struct thread {
	pid_t tid;
	u32 index; /* a small number, given again after the thread has ended */
	enum thread_state state;
	bool own_process;   /* a vfork or CLONE_VM child: the leader of a process of its own */
	bool unborn;        /* told of by its parent; its first stop is still to come */
	bool exiting;       /* has passed EVENT_EXIT */
	bool in_vfork;      /* waits in the kernel for its vfork child and cannot be stopped */
	bool stuck;         /* stayed in an uninterruptible wait while all others were stopped */
	bool interrupted;   /* PTRACE_INTERRUPT was sent and its EVENT_STOP is still to come */
	bool trap_due;      /* its int3 has been executed, and that stop is still to come */
	bool group_stopped; /* resume means PTRACE_LISTEN */
	bool has_status;    /* a stop that was waited for, but not yet handled */
	bool noted;         /* tracee_note has seen that stop already */
	int status;
	bool regs_valid; /* regs holds the registers of the present stop */
	struct thread_regs regs;
	u64 restarted_pc; /* attach/eintr_x86_64.h: a system call was set to run again from here; 0: none */
	bool trapped;      /* has run into a breakpoint of ours */
	u64 mask_at_start; /* its signal mask when it was first seen */
	u32 number;        /* the session's: what it is called in the books */
	void *calls;       /* probe/: the allocator calls under way */
};

/* The threads, by tid. */
struct threads;

struct threads *threads_create(void);
void threads_destroy(struct threads *threads);

/* Adds a thread (state RUNNING). NULL when out of memory. Pointers stay valid until threads_remove. */
struct thread *threads_add(struct threads *threads, pid_t tid);
struct thread *threads_find(const struct threads *threads, pid_t tid);
void threads_remove(struct threads *threads, struct thread *thread);

/* The thread at position i, i < threads_count; positions change with add and remove. */
struct thread *threads_at(const struct threads *threads, u32 i);
u32 threads_count(const struct threads *threads);

#endif
