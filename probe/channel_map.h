/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_CHANNEL_MAP_H
#define MEMATTACH_PROBE_CHANNEL_MAP_H

#include "agent/channel.h"
#include "attach/inject.h"
#include "base/err.h"
#include "base/types.h"
#include "proc/maps.h"

/*
 * The channel (agent/channel.h) as memory: a memfd that the target makes, maps
 * and closes again, and that we take from it meanwhile (pidfd_getfd); its size is sealed. We touch each of its
 * pages first, so that our memory cgroup pays for them and not the target's. A
 * forked child does not inherit the mapping.
 */
struct channel_map {
	struct channel *ours; /* NULL: there is none */
	size_t size;
	u64 theirs;                     /* its address in the target */
	s64 fd;                         /* what its descriptor there was, while it had one */
	struct channel_thread *threads; /* CHANNEL_THREADS of them, on our side */
	u8 *filter;                     /* CHANNEL_FILTER, likewise */
};

/* By this it is known among the mappings and descriptors of the target: "/memfd:" CHANNEL_NAME. */
#define CHANNEL_NAME "memattach-channel"

struct channel_settings {
	u32 depth;
	u64 sample;
};

/*
 * Makes it, with all threads of the target stopped for what has to be done there, and
 * lays it out: all is empty. 0 or -errno with err filled; then the target is as it was.
 */
int channel_map_create(struct channel_map *map, struct inject_place *place,
		       const struct channel_settings *settings, struct err *err);

/* Takes it out of the target, with all threads stopped. 0 or -errno. Nobody may use it any more. */
int channel_map_remove(struct channel_map *map, const struct inject_place *place, struct err *err);

/*
 * In a forked child, which stands in its first stop: closes the descriptor, if it was
 * forked while its parent had that. 0 or -errno.
 */
int channel_map_clean_child(const struct channel_map *map, const struct inject_place *place,
			    struct err *err);

/* The entry of the thread with this thread pointer (fs base); NULL: it has none. */
struct channel_thread *channel_map_thread(const struct channel_map *map, u64 key);

/* The number of a thread's memos (channel_thread.memo, from the target); CHANNEL_MEMOS: they are none. */
u64 channel_map_memo(const struct channel_map *map, u64 memo);

/*
 * What the agent may be at work with in a thread that has just forked and stands in the
 * stop for that: to be there in the child, too, which has a copy of its stack.
 */
struct channel_work {
	u64 offset, size; /* in the channel */
	void *memos;      /* a copy of what is there; NULL: it is at work with nothing */
};

/* work has been initialized, to zeros before its first use. 0 or -ENOMEM. */
int channel_map_keep_work(const struct channel_map *map, u64 key, struct channel_work *work);
void channel_work_deinit(struct channel_work *work);

/*
 * Gives a forked child, which does not inherit the mapping, private memory in its place,
 * for the rest of a call that the agent was just recording. work may be NULL. 0 or -errno.
 */
int channel_map_for_child(const struct channel_map *map, const struct inject_place *place,
			  const struct channel_work *work, struct err *err);

/* Frees our side. */
void channel_map_deinit(struct channel_map *map);

/* Whether a mapping of the target is a channel of some memattach. */
bool channel_is_map(const struct map *map);

#endif
