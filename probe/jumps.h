/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_JUMPS_H
#define MEMATTACH_PROBE_JUMPS_H

#include "attach/tracee.h"
#include "base/err.h"
#include "base/log.h"
#include "probe/area.h"
#include "probe/breakpoints.h"
#include "probe/channel_map.h"
#include "probe/jump_plan.h"
#include "probe/probes.h"
#include "probe/ring_reader.h"
#include "probe/tables.h"

/*
 * Turns breakpoints on functions into jumps, as the kernel does with kprobes: each
 * is a breakpoint first, and a jump where that is proven to be safe. What the jump
 * leads to is in agent/.
 *
 * All that is written before the first jump leaves the target as it is. A jump
 * itself is written with all threads stopped and none of them, now or when it
 * returns, in the bytes that it covers; and in one piece, so that nobody ever sees
 * half of it, even if memattach is killed.
 */
struct jumps;

struct jumps *jumps_create(struct tracee *tracee, struct areas *areas,
			   struct breakpoints *breakpoints, const struct probes_config *config,
			   const struct probe_host *host, struct err *err);
void jumps_destroy(struct jumps *jumps);

/*
 * Maps the channel, if it is not there, by system calls in the stopped thread. 0 or
 * -errno with err filled: then there will be no jumps.
 */
int jumps_open(struct jumps *jumps, struct thread *thread, struct err *err);
bool jumps_is_open(const struct jumps *jumps);

/*
 * The function at function->address, on which there is a breakpoint, is to become
 * a jump if it can. Says with -v why it cannot. thread is a stopped one. 0 or -ENOMEM.
 */
int jumps_consider(struct jumps *jumps, const struct jump_plan *plan,
		   const struct probe_function *function, struct thread *thread);

/* Whether there are some that jumps_patch would patch. */
bool jumps_waiting(const struct jumps *jumps);

/*
 * Patches those that wait, with all threads stopped; what a thread is just
 * executing waits for the next time. Then takes breakpoints at return addresses
 * out that nobody needs any more. 0 or -errno with err filled.
 */
int jumps_patch(struct jumps *jumps, struct err *err);

/* The functions of a module are gone. */
void jumps_forget_module(struct jumps *jumps, u32 module);

/* From now on calls are passed on: nothing is recorded. 0 or -errno. */
int jumps_switch_off(struct jumps *jumps);

/* Takes the channel out, in a stopped thread, when nobody is in the agent. 0 or -errno. */
int jumps_close(struct jumps *jumps, struct thread *thread, struct err *err);

/* exec: all is gone. */
void jumps_forget(struct jumps *jumps);

struct channel_map *jumps_channel(struct jumps *jumps);
struct ring_reader *jumps_reader(const struct jumps *jumps); /* NULL: no channel yet */
struct tables *jumps_tables(const struct jumps *jumps);      /* NULL: no channel yet */

#endif
