/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AGENT_SERVICE_X86_64_H
#define MEMATTACH_PROBE_AGENT_SERVICE_X86_64_H

#include "attach/tracee.h"
#include "base/types.h"
#include "probe/area.h"
#include "probe/channel_map.h"

/* What the agent in the target needs of its tracer. All for a stopped thread. */

/*
 * If the thread's SIGTRAP (its registers are read, pc behind the int3) is a
 * question of the agent's, answers it and returns true: the thread can be resumed.
 */
bool agent_service_question(const struct areas *areas, const struct tracee *tracee,
			    struct thread *thread);

/*
 * A signal is about to be delivered. If the thread is just writing a record, makes
 * that void, and the thread begins anew when the handler has returned.
 */
void agent_service_signal(const struct areas *areas, struct channel_map *channel,
			  struct thread *thread);

/* The same for all threads, which are stopped: then all that has a place in the ring is complete. */
void agent_service_stopped(const struct areas *areas, struct channel_map *channel,
			   struct tracee *tracee);

/*
 * A SIGSEGV or SIGBUS. If the agent has read a stack that is none, sends it on its
 * way without that word and returns true: the signal is not to be delivered.
 */
bool agent_service_fault(const struct areas *areas, struct thread *thread);

#endif
