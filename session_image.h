/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_IMAGE_H
#define MEMATTACH_SESSION_IMAGE_H

#include "attach/tracee.h"
#include "probe/probes.h"
#include "proc/sampler.h"
#include "session.h"
#include "session_consumer.h"
#include "symbols/r_debug.h"

/*
 * One program image of the target, from attach or exec to its end: its modules,
 * the probes in them, and the books kept of it.
 */
struct image {
	const struct session_config *config;
	pid_t pid;
	bool whole_life;
	u64 start_ns;
	double start_time;
	struct proc_identity identity;
	struct modules *modules;
	struct unwinder *unwinder;
	struct ledger *ledger;
	struct stacks *stacks;
	struct timeline *timeline;
	struct proc_sampler sampler;
	bool sampling;
	struct proc_usage usage_at_start;
	struct proc_usage last_usage; /* read while the memory was still there */
	bool last_usage_known;
	struct proc_mem
		memory; /* of our own, since there is none of a tracee before it is seized */
	struct mem_reader reader;
	struct r_debug_info r_debug;
	bool loaded; /* the dynamic linker has said once that all modules are there */
	/* Module ids up to this one have been looked through for allocators. */
	struct probe_function *candidates; /* own their names */
	size_t candidates_n, candidates_cap;
	u32 scanned;
	/* Modules that are about to be added, and have no allocators. */
	struct barren_module {
		u64 start, inode, dev;
	} * barren;
	size_t barren_n, barren_cap;
	u32 *known; /* for each module id: was it mapped when we last looked */
	size_t known_cap;
	const char **allocators;
	size_t allocators_n, allocators_cap;
	struct tracee *tracee; /* NULL until image_plant */
	struct probes *probes;
	u64 libc_low, libc_high; /* where glibc's malloc has its code; 0, 0: there is none */
	struct consumer consumer;
	size_t books_max; /* bytes that ledger and stacks may have */
	bool full;        /* they have them: nothing is added */
	u32 looked;       /* batches since that was looked at */
	u32 event_time;   /* ms, of the events that are being applied */
	bool throws;      /* some module can throw exceptions */
	u64 lost_events;
	u64 lost_in_ring;
	const char *lost_why;
	bool out_of_memory;
};

/*
 * Reads what there is to know of pid's present image before any thread is
 * stopped: modules, unwind tables, allocator functions. whole_life: it has not
 * run yet. NULL with err filled on failure.
 */
struct image *image_create(const struct session_config *config, pid_t pid, bool whole_life,
			   struct err *err);
void image_destroy(struct image *image);

/*
 * Looks at the mappings again: new modules are read, those that are gone are
 * forgotten with their breakpoints. 0 or -errno.
 */
int image_update(struct image *image, struct err *err);

/*
 * Before image_update with all threads stopped: does what is slow about it, for the modules
 * that have come, while they run. But no module may come or go between the two.
 */
void image_prepare(struct image *image);

/*
 * Plants the breakpoints of all allocators known so far, in a seized process.
 * unfinished is the guardian's note of areas that are being mapped, or NULL.
 * The target may run meanwhile. 0 or -errno with err filled.
 */
int image_plant(struct image *image, struct tracee *tracee, u64 *unfinished, struct err *err);

/*
 * Whether there is anything to record, and every --alloc and so on was found: 0, or
 * -ENOENT with err saying where it was looked for.
 */
int image_check(const struct image *image, struct err *err);

/*
 * Makes jumps of breakpoints, in a stopped thread or with none (NULL), and sees to it that what they
 * record is read. 0 or -errno with err filled: the run cannot go on.
 */
int image_improve(struct image *image, struct thread *thread, struct err *err);

/* Ends the reading, when nothing is recorded any more; all that was is in the books then. */
void image_finish(struct image *image);

/* Takes note of what the agent had to give up. */
void image_note_losses(struct image *image);

/* Whether the process has exec'ed another image since. */
bool image_is_gone(const struct image *image);

/* Milliseconds since the image's start. */
u32 image_now(const struct image *image);

/* Adds a sample to the timeline. */
void image_sample(struct image *image);

/* What probes call: the books. (session_events.c) */
extern const struct probe_host image_host;

#endif
