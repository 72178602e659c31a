/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_CAPTURE_H
#define MEMATTACH_REPORT_CAPTURE_H

#include "base/err.h"
#include "base/types.h"
#include "ledger/ledger.h"
#include "ledger/timeline.h"

/*
 * Everything that one run has found out, with names instead of addresses: the
 * one thing that every output format is written from, and that a capture file
 * holds (FORMATS.md, "Capture"). All strings and arrays in it are malloc'ed and
 * owned by it. Times are seconds since attach, sizes bytes.
 */
struct capture_frame {
	char *module;   /* path as the target sees it; NULL if no module is known */
	char *build_id; /* lower-case hex; NULL if none */
	u64 address;    /* looked up: return address - 1 */
	u64 offset;     /* the same in the module's file: address - bias; 0 without a module */
	char *function, *file; /* NULL if unknown */
	u32 line;              /* 0 if unknown */
	bool inlined;          /* into the frame that follows in the stack */
};

enum capture_cut { CAPTURE_WHOLE, CAPTURE_CUT_DEPTH, CAPTURE_CUT_LOST };

struct capture_stack {
	u32 *frames; /* indices into frames, leaf first */
	u32 n;
	enum capture_cut cut; /* does it reach the outermost frame? */
};

struct capture_site {
	u32 stack; /* index into stacks */
	u64 live_bytes, live_blocks, peak_bytes;
	u64 total_bytes, total_allocations, total_frees, temporary, largest;
	double oldest_age, median_age; /* seconds */
	/* standard errors if the snapshot is estimated, else 0 */
	u64 live_bytes_error, live_blocks_error, total_bytes_error, total_allocations_error;
};

/* The process at a snapshot; the fields of proc/usage.h, bytes. */
struct capture_process {
	u64 rss, pss, vsz, swap, hwm, minor_faults, major_faults, threads;
	u64 heap_rss, anonymous_rss, stack_rss, file_rss, shared_rss;
	u64 cgroup_limit, cgroup_usage;
	bool known; /* false: the process was gone before it could be asked */
};

enum capture_reason {
	CAPTURE_SIGNAL,
	CAPTURE_INTERVAL,
	CAPTURE_EXIT,
	CAPTURE_DETACH,
	CAPTURE_EXEC,
	CAPTURE_USER,
};

struct capture_snapshot {
	u32 number; /* from 1 */
	enum capture_reason reason;
	double time;
	struct ledger_totals totals; /* peak_time in ms, as in the ledger */
	u64 lost_events;
	bool estimated; /* sampled: figures are estimates, totals and sites have their errors */
	struct capture_process process;
	char **diagnosis; /* sentences */
	u32 diagnosis_n;
	struct capture_site *sites;
	size_t sites_n;
};

struct capture {
	char *version; /* of the memattach that recorded it */
	struct {
		pid_t pid;
		char *exe;
		char **command;
		size_t command_n;
		char *host;
		double start_time; /* seconds since the epoch, when recording began */
	} target;
	struct {
		char *probe; /* "trap" */
		u64 sample_bytes;
		u32 depth;
		char *unwind;      /* "table", "libdw", "libunwind" */
		char **allocators; /* the modules whose allocator was probed */
		size_t allocators_n;
		bool whole_life; /* recorded from the first instruction: nothing was allocated before */
	} settings;
	struct capture_frame *frames;
	size_t frames_n, frames_cap;
	struct capture_stack *stacks;
	size_t stacks_n, stacks_cap;
	struct timeline_point *timeline; /* time in ms, as in the ledger */
	size_t timeline_n;
	struct capture_snapshot *snapshots;
	size_t snapshots_n, snapshots_cap;
};

struct capture *capture_create(struct err *err);
void capture_destroy(struct capture *capture);

/* Frees what a frame, a snapshot holds, not the struct itself, which is then all zero. */
void capture_frame_deinit(struct capture_frame *frame);
void capture_snapshot_deinit(struct capture_snapshot *snapshot);

/* The JSON word for a reason, as "signal"; and back, -1 if it is none. */
const char *capture_reason_name(enum capture_reason reason);
int capture_reason_parse(const char *word);

#endif
