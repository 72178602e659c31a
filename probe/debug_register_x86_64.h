/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_DEBUG_REGISTER_X86_64_H
#define MEMATTACH_PROBE_DEBUG_REGISTER_X86_64_H

#include "attach/thread.h"
#include "probe/calls.h"

/*
 * Watches the return of a call with one of the thread's debug registers, so that
 * no code is written to: the one with the call's position in thread->calls. The
 * thread stops with pc at call->ret. 0 or -errno.
 */
int debug_register_set(struct thread *thread, const struct call *call);

/* Ends that. The thread must be stopped; a thread that is gone is no matter. */
void debug_register_clear(struct thread *thread, const struct call *call);

/* Turns all debug registers of a stopped thread off, if any is on. */
void debug_registers_reset(struct thread *thread);

#endif
