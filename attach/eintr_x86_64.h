/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_ATTACH_EINTR_X86_64_H
#define MEMATTACH_ATTACH_EINTR_X86_64_H

#include "attach/thread.h"

/*
 * A ptrace-stop makes a few blocking system calls return EINTR although no
 * handler ran (signal(7), "Interruption of system calls and library functions
 * by stop signals"). These functions make the thread issue the call again.
 */

/*
 * To be called in a stop that we caused (or for a signal that the target
 * ignores) with thread->regs valid: if the thread is coming out of such a call
 * with -EINTR, changes regs so that it is made again, remembers that in
 * thread->restarted_pc and returns true: the caller writes the registers back.
 */
bool eintr_undo(struct thread *thread);

/*
 * To be called when a signal is about to be delivered, regs valid: if the call
 * was set to run again and has not been, and the signal has a handler, the call
 * must return EINTR after all. Changes regs and returns true if so.
 */
bool eintr_redo(struct thread *thread);

/* Whether the thread is inside a call that eintr_undo could restart, or one with a restart block. */
bool eintr_call_is_fragile(u64 number);

#endif
