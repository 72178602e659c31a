/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_TRACEE_H
#define MEMATTACH_ATTACH_TRACEE_H

#include "attach/event.h"
#include "attach/thread.h"
#include "base/err.h"
#include "base/types.h"
#include "proc/mem.h"

/*
 * A process under ptrace: all threads that share its memory, seized, never
 * PTRACE_ATTACHed. Every call must come from the thread that made the tracee.
 * If memattach ends without tracee_detach the kernel lets all threads go.
 */
struct tracee;

/* What happened, for the session to act on. */
struct tracee_event {
	enum trace_event kind;
	struct thread *thread; /* NULL for newborn and EVENT_STRANGER */
	int signal;    /* EVENT_SIGNAL, EVENT_TRAP: which; EVENT_GROUP_STOP: the stop signal */
	int status;    /* the wait status; for EVENT_GONE how it ended */
	u64 message;   /* PTRACE_GETEVENTMSG of CLONE, FORK, VFORK, EXEC */
	pid_t newborn; /* a process that does not share memory was forked off and stands in
				  its first stop: release it with tracee_release; else 0 */
};

/*
 * Seizes every thread of pid, repeating over /proc/PID/task until a pass finds
 * none that is new. No thread is stopped. NULL with err filled (which of the
 * reasons of proc/check_target.h) on failure; then nothing is seized.
 */
struct tracee *tracee_seize(pid_t pid, struct err *err);

/*
 * Starts argv[0], looked up in PATH, as a child and seizes it before exec: its
 * first event is EVENT_EXEC. On failure NULL, err filled, err->code ENOENT for a
 * command not found, ENOEXEC or EACCES and so on for one that cannot run.
 */
struct tracee *tracee_launch(char *const argv[], struct err *err);

/* Frees what is ours. Threads that are still traced are let go when memattach exits. */
void tracee_destroy(struct tracee *tracee);

pid_t tracee_pid(const struct tracee *tracee);
const struct proc_mem *tracee_mem(const struct tracee *tracee);
struct threads *tracee_threads(const struct tracee *tracee);

/*
 * Waits for the next event. Returns 0; -EINTR when a signal for memattach came
 * instead; -ECHILD when no thread is left. A new thread is in the table when its
 * EVENT_STOP comes. After EVENT_GONE the thread is to be given to tracee_forget.
 */
int tracee_next(struct tracee *tracee, struct tracee_event *event);

/* Reads the registers of a stopped thread into thread->regs, once per stop. 0 or -errno. */
int tracee_get_regs(struct thread *thread);

/* Writes all of thread->regs back. 0 or -errno. */
int tracee_set_regs(struct thread *thread);

/* Changes only the pc, in thread->regs and in the thread. One system call. 0 or -errno. */
int tracee_set_pc(struct thread *thread, u64 pc);

/*
 * Lets a stopped thread run, with signal sig (0: none); a thread of a stopped
 * group goes on listening instead. -ESRCH if the thread is gone: its EVENT_GONE follows.
 */
int tracee_resume(struct tracee *tracee, struct thread *thread, int sig);

/*
 * Stops every running thread. What they report meanwhile is kept for
 * tracee_next. A thread that waits in the kernel for its vfork child, or is in an
 * uninterruptible wait for longer than disks need, is left: it will stop before it runs
 * any code of the target. One that gets no CPU is waited for for a second.
 * tracee_resume_all undoes it for those without a kept event.
 */
int tracee_stop_all(struct tracee *tracee, struct err *err);
void tracee_resume_all(struct tracee *tracee);

/*
 * tracee_stop_all, and undone when it has been undone as often as done: except, if
 * not NULL, is a thread that had stood still before, and goes on doing so.
 */
int tracee_hold(struct tracee *tracee, struct err *err);
void tracee_unhold(struct tracee *tracee, struct thread *except);

/* One instruction of a stopped thread, the others standing still; signals that arrive are kept. 0 or -errno. */
int tracee_step(struct tracee *tracee, struct thread *thread);

/* Sets the ptrace options of a stopped thread to ours and extra ones (PTRACE_O_*). 0 or -errno. */
int tracee_options(pid_t tid, u64 extra);

/*
 * Stops one thread, any one that remote calls can be made in, preferring the
 * main thread. NULL if none stops within a tenth of a second. Resume it with
 * tracee_resume_one, which also undoes an interrupted system call.
 */
struct thread *tracee_stop_one(struct tracee *tracee);
void tracee_resume_one(struct tracee *tracee, struct thread *thread);

/* Takes a forked process that came up while all were stopped, in its first stop; 0 if there is none. */
pid_t tracee_take_newborn(struct tracee *tracee);

/* Drops the threads other than survivor, which exec has ended. */
void tracee_exec_done(struct tracee *tracee, struct thread *survivor, struct err *err);

/* Forgets a thread that is gone. */
void tracee_forget(struct tracee *tracee, struct thread *thread);

/* Lets go of one stopped thread (a vfork child after its exec). */
void tracee_detach_thread(struct tracee *tracee, struct thread *thread, int sig);

/* Lets go of a forked process that stands in its first stop. */
int tracee_release(pid_t newborn);

/*
 * Lets go of all threads, after tracee_stop_all: interrupted system calls are
 * made again, signals that were about to be delivered are. A stopped group stays
 * stopped.
 */
void tracee_detach(struct tracee *tracee);

/*
 * After tracee_detach: lets those go that could not be stopped then, as far as
 * they come to a stop within a second or so.
 */
void tracee_detach_late(struct tracee *tracee);

/*
 * In a stop for a signal: makes an interrupted call return EINTR after all when
 * the signal has a handler, or run again when the target ignores it. 0 or -errno.
 */
int tracee_signal_fixup(struct tracee *tracee, struct thread *thread, int sig);

/*
 * Forgets the kept stop for a signal: it will not be delivered, even if we are
 * killed before the thread is resumed.
 */
void tracee_drop_signal(struct thread *thread);

#endif
