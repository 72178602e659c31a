/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_H
#define MEMATTACH_SESSION_H

#include "base/err.h"
#include "base/log.h"
#include "base/types.h"
#include "ledger/ledger.h"
#include "ledger/stacks.h"
#include "ledger/timeline.h"
#include "probe/allocators.h"
#include "proc/diagnosis.h"
#include "proc/identity.h"
#include "proc/usage.h"
#include "symbols/modules.h"
#include "unwind/unwind.h"

/*
 * One profiling run: get hold of a process, record what it allocates, hand out
 * snapshots, let go. Whatever happens in between, it ends in a clean detach.
 */
enum session_reason {
	SESSION_SIGNAL,   /* SIGUSR1 */
	SESSION_INTERVAL, /* --interval */
	SESSION_EXIT,     /* the target ended */
	SESSION_DETACH,   /* a signal, or --duration: the target goes on without us */
	SESSION_EXEC,     /* the target's image ended, another one follows */
};

/* The figures of one snapshot. */
struct session_record {
	u32 number; /* from 1 */
	enum session_reason reason;
	u32 now; /* ms since attach */
	struct ledger_totals totals;
	u64 lost_events;
	bool usage_known; /* false: the process was gone before it could be asked */
	struct proc_usage usage;
	struct diagnosis diagnosis;
	struct ledger_site *sites;
	size_t sites_n;
};

/* What a report can be made from. Everything is borrowed for the call. */
struct session_view {
	pid_t pid;
	const struct proc_identity *identity;
	double start_time; /* seconds since the epoch */
	bool whole_life;   /* recorded from the first instruction */
	u32 image;         /* 0; n: the n-th image that ended with an exec */
	const struct modules *modules;
	const struct stacks *stacks;
	const struct timeline *timeline;
	const char *const *allocators; /* paths of the modules whose functions are probed */
	size_t allocators_n;
	struct session_record *records; /* oldest first; the last is the one to report */
	size_t records_n;
};

/* How calls are noticed (--probe). */
enum session_probe {
	SESSION_PROBE_AUTO, /* jumps where they are safe, traps elsewhere */
	SESSION_PROBE_JUMP, /* jumps; what they are not safe for gets a trap all the same, and is named */
	SESSION_PROBE_TRAP, /* breakpoints only */
};

struct session_config {
	pid_t pid; /* 0: start command */
	char *const *command;
	double interval, duration; /* seconds; 0: none */
	u32 proc_interval_ms;
	u32 depth;
	u64 sample; /* mean bytes between samples; 0: every allocation is recorded */
	enum session_probe probe;
	enum unwind_kind unwind;
	struct custom_spec *customs; /* found is counted */
	size_t customs_n;
	struct log log;
	/*
	 * Writes a report. For a snapshot in mid-run it is called in a forked copy
	 * of memattach, so that the target never waits for it.
	 */
	int (*report)(void *ctx, const struct session_view *view, struct err *err);
	void *ctx;
};

struct session_result {
	bool command_failed; /* the command could not be run; err.code says why */
	bool target_ended;
	int status; /* wait status of the target, if it ended */
};

/*
 * Runs until the target ends or a signal or the duration ends the run. 0 or
 * -errno with err filled: then the target has been let go, too. A failed report
 * in mid-run is said on stderr, and the run goes on, but it fails in the end.
 */
int session_run(const struct session_config *config, struct session_result *result,
		struct err *err);

#endif
