/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_RING_READER_H
#define MEMATTACH_PROBE_RING_READER_H

#include "agent/channel.h"
#include "base/err.h"
#include "base/types.h"
#include "probe/probes.h"

/*
 * Reads the ring of a channel and makes heap events of its records. The target
 * may write there what it likes: every record is copied, and then checked. Not
 * for two threads at a time.
 */
struct ring_reader;

/* channel and what host points to are borrowed. NULL with err filled when out of memory. */
struct ring_reader *ring_reader_create(struct channel *channel, const struct probe_host *host,
				       struct err *err);
void ring_reader_destroy(struct ring_reader *reader);

/*
 * Applies the records that are complete, at most max of them. Returns how many.
 * Stops in front of one that a thread is still writing.
 */
u32 ring_reader_read(struct ring_reader *reader, u32 max);

/*
 * Applies all records for which a place had been taken when it was called, and
 * waits a little for those that are still being written: a thread may have been
 * stopped there. Whether it got through.
 */
bool ring_reader_drain(struct ring_reader *reader);

/* How many records wait to be read, from any thread; at most what the ring holds. */
u32 ring_reader_waiting(const struct ring_reader *reader);

/* Whether there are many records behind one that is not complete. */
bool ring_reader_is_behind(const struct ring_reader *reader);

/*
 * Passes over the record that it stops at: nobody will complete it. One that has been
 * completed meanwhile is read.
 */
void ring_reader_skip(struct ring_reader *reader);

/*
 * Applies all records, when every thread of the target has died, and none is still being
 * written. One that is not complete is no loss: its call had not returned, and for
 * the program it never happened.
 */
void ring_reader_finish_dead(struct ring_reader *reader);

/*
 * A free that a thread (its number in the channel) has made through a breakpoint, and the
 * last one that it has made through a jump, unless it has made another call since; 0: none.
 * A function may end in a jump to another one, which frees the same block.
 */
void ring_reader_note_free(struct ring_reader *reader, u32 thread, u64 address);
u64 ring_reader_last_free(const struct ring_reader *reader, u32 thread);

/* Shows the agent that somebody reads. To be called at least ten times a second, from any thread. */
void ring_reader_beat(struct ring_reader *reader);

/*
 * Modules have gone, and hashes of stacks will be others: those from before may be
 * forgotten when there are many.
 */
void ring_reader_forget_stacks(struct ring_reader *reader);

/* How many records have been read so far. */
u64 ring_reader_records(const struct ring_reader *reader);

/* The records that the agent had to give up so far, and the first reason, NULL if there is none. */
u64 ring_reader_lost(const struct ring_reader *reader, const char **why);

#endif
