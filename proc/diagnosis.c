// SPDX-License-Identifier: MIT
/*
 * Rules that turn figures into findings. Each is a function that looks at the
 * input, and, if what it looks for is there, adds one sentence or two: what was
 * seen, with its numbers, and what follows from it. The table at the end has
 * them in order of urgency: what kills the process first, then what makes the
 * figures themselves doubtful, then what costs time, then where the memory is,
 * then what is harmless. If none speaks, one sentence says that.
 *
 * Where the ledger's figures are estimates no rule speaks that would be silent with
 * live bytes two standard errors from the estimate: a finding is not to be chance.
 *
 * Rates need time: in less than MIN_SECONDS none is computed, since a single
 * burst would be taken for a habit.
 */
#include "proc/diagnosis.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

#define MIN_SECONDS 1.0

/* From here the next burst of allocations can meet the limit; the kernel reclaims hard before. */
#define LIMIT_NEAR 0.90
/* A limit that the growth seen reaches within so long is worth a word before it is near. */
#define LIMIT_SOON_SECONDS 3600.0
/* Less growth than this, as a share of the limit, is noise: no forecast is made from it. */
#define LIMIT_GROWTH_MIN 0.01

/* A disk read costs 0.1 to 10 ms: at ten a second the process notices, fewer are warming up. */
#define MAJOR_FAULTS_PER_SECOND 10.0
/* Starting a program of many libraries takes some hundred once: below this nothing is said. */
#define MAJOR_FAULTS_MIN 100
/* Kernels swap out a few idle pages of anybody: less than this is no finding. */
#define SWAP_MIN (16 * MIB)

/* Growth below this is what a heap does while it warms up. */
#define GROWTH_MIN       (1 * MIB)
#define GROWTH_MIN_SHARE 0.05 /* of the RSS at attach */
/* Growth is the heap's if live blocks make up at least half of it, and something else's ... */
#define GROWTH_LIVE_SHARE 0.50
/* ... if they make up less than a quarter, and it is big enough to look for. */
#define GROWTH_OTHER_SHARE 0.25
#define GROWTH_OTHER_MIN   (16 * MIB)
/* Live bytes that have come down from their peak are no leak: those of a leak only rise. */
#define LEAK_PEAK_SHARE 0.90
/* "Few frees": more than half of all blocks were not freed. */
#define LEAK_FREED_SHARE 0.50

/* Each minor fault costs about a microsecond: at this rate 1 % of a CPU and more. */
#define MINOR_FAULTS_PER_SECOND 10000.0
/* Allocations that are freed at once cost a lookup each: at this rate they show in a CPU profile. */
#define TEMPORARY_SHARE      0.30
#define TEMPORARY_PER_SECOND 10000.0

/* Below this, where the memory is does not matter. */
#define KINDS_MIN (16 * MIB)
/* Most of it. */
#define FILE_SHARE     0.50
#define HEAP_LIVE_LOW  0.50
#define HEAP_KEPT_PEAK 0.80 /* the peak was about what is resident: freed since, and kept */

/* People take fright at a big VSZ: only a big one, and one far above RSS, needs the word. */
#define VSZ_MIN   (4 * GIB)
#define VSZ_RATIO 4

static int add(struct diagnosis *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int add(struct diagnosis *d, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (d->n >= DIAGNOSIS_MAX)
		return 0;
	va_start(ap, fmt);
	n = vasprintf(&d->text[d->n], fmt, ap);
	va_end(ap);
	if (n < 0) {
		d->text[d->n] = NULL;
		return -ENOMEM;
	}
	d->n++;
	return 0;
}

static u64 growth(u64 now, u64 before)
{
	return now > before ? now - before : 0;
}

/* Before a figure that may be an estimate. */
static const char *about(const struct diagnosis_input *in)
{
	return in->sampled ? "about " : "";
}

/* The least and the most that live bytes may well be. */
static u64 live_at_least(const struct diagnosis_input *in)
{
	return growth(in->live_bytes, 2 * in->live_bytes_error);
}

static u64 live_at_most(const struct diagnosis_input *in)
{
	return in->live_bytes + 2 * in->live_bytes_error;
}

static double share(u64 part, u64 whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static double percent(u64 part, u64 whole)
{
	return 100 * share(part, whole);
}

/* 0 when too little time has passed to speak of a rate. */
static double rate(const struct diagnosis_input *in, u64 amount)
{
	return in->seconds >= MIN_SECONDS ? (double)amount / in->seconds : 0;
}

/* What counts against the limit and cannot be given up: others in the cgroup included. */
static u64 charged(const struct proc_usage *usage)
{
	u64 used = growth(usage->cgroup_usage, usage->cgroup_cache);

	return used > usage->rss ? used : usage->rss;
}

static int near_limit(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 limit = in->now.cgroup_limit, used = charged(&in->now);
	u64 grown = growth(used, charged(&in->at_attach));
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX], e[UNITS_MAX], when[128] = "";
	double per_second = rate(in, grown), left = 0;
	bool is_near, is_soon;

	if (limit == 0)
		return 0;
	is_near = share(used, limit) >= LIMIT_NEAR;
	/* Counted from the first instruction, the start itself would be the growth. */
	if (per_second > 0 && share(grown, limit) >= LIMIT_GROWTH_MIN && !in->whole_life) {
		left = (double)growth(limit, used) / per_second;
		snprintf(when, sizeof(when),
			 " It grows by %s a second: the limit is reached in %s.",
			 units_bytes(c, (u64)per_second), units_seconds(e, left));
	}
	is_soon = when[0] && left <= LIMIT_SOON_SECONDS;
	if (!is_near && !is_soon)
		return 0;
	return add(d, "%s of the %s that its cgroup allows are used (%.0f %%)%s%s",
		   units_bytes(a, used), units_bytes(b, limit), percent(used, limit),
		   is_near ? ": the kernel is about to kill it for want of memory (OOM)." : ".",
		   when);
}

static int lost_events(struct diagnosis *d, const struct diagnosis_input *in)
{
	char a[UNITS_MAX];

	if (in->lost_events == 0)
		return 0;
	if (in->sampled)
		return add(
			d,
			"%s records of sampled allocations or frees were lost: the estimates are "
			"off by what these stand for.",
			units_count(a, in->lost_events));
	return add(d,
		   "%s allocator events were lost: live bytes and blocks may be off by as many "
		   "allocations or frees.",
		   units_count(a, in->lost_events));
}

static bool reads_disk(const struct diagnosis_input *in, u64 *faults)
{
	*faults = growth(in->now.major_faults, in->at_attach.major_faults);
	return *faults >= MAJOR_FAULTS_MIN && rate(in, *faults) >= MAJOR_FAULTS_PER_SECOND;
}

static int disk_and_swap(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 swap = in->now.swap, grown = growth(swap, in->at_attach.swap), faults;
	bool reads = reads_disk(in, &faults);
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];

	if (in->swap_out_delta > grown)
		grown = in->swap_out_delta;
	units_count(a, faults);
	units_bytes(b, swap);
	units_bytes(c, grown);
	if (reads && (swap >= SWAP_MIN || grown > 0 || in->swap_in > 0))
		return add(
			d,
			"The process has %s in swap (%s more than at attach) and read from disk %s "
			"times in %.1f s to satisfy page faults: it is thrashing. Give it more "
			"memory, or make it need less.",
			b, c, a, in->seconds);
	if (reads)
		return add(
			d,
			"The process read from disk %s times to satisfy page faults (major faults) "
			"in %.1f s: its memory does not fit; look at swap and at file mappings.",
			a, in->seconds);
	if (grown >= SWAP_MIN)
		return add(
			d,
			"%s of the process were swapped out since attach (%s now): the machine or "
			"its cgroup is short of memory.",
			c, b);
	if (swap >= SWAP_MIN)
		return add(d,
			   "%s of the process are in swap, but it hardly reads them back: they are "
			   "not in use, and not counted in RSS.",
			   b);
	return 0;
}

/* Of the blocks allocated since attach; the frees of older ones are counted elsewhere. */
static double freed_share(const struct diagnosis_input *in)
{
	return share(in->total_frees, in->total_allocations);
}

static int growing(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 grown = growth(in->now.rss, in->at_attach.rss);
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];

	if (grown < GROWTH_MIN || in->seconds < MIN_SECONDS ||
	    share(grown, in->at_attach.rss ? in->at_attach.rss : 1) < GROWTH_MIN_SHARE)
		return 0;
	/* A program that has just begun grows by nature: only one that frees little is suspect. */
	if (share(live_at_least(in), grown) >= GROWTH_LIVE_SHARE &&
	    share(in->live_bytes, in->peak_bytes) >= LEAK_PEAK_SHARE &&
	    (!in->whole_life || freed_share(in) < LEAK_FREED_SHARE))
		return add(
			d,
			"RSS grew by %s in %.1f s, and %s%s of heap blocks allocated since are live "
			"(%s%s allocations, %.0f %% of them freed): if that goes on it is a leak; "
			"the sites with most live bytes are where.",
			units_bytes(a, grown), in->seconds, about(in),
			units_bytes(b, in->live_bytes), about(in),
			units_count(c, in->total_allocations), 100 * freed_share(in));
	if (grown >= GROWTH_OTHER_MIN && share(live_at_most(in), grown) < GROWTH_OTHER_SHARE)
		return add(
			d,
			"RSS grew by %s in %.1f s, but only %s%s of heap blocks allocated since are "
			"live: what grows is something else (mapped files, stacks, memory from "
			"mmap, freed memory that the allocator keeps).",
			units_bytes(a, grown), in->seconds, about(in),
			units_bytes(b, in->live_bytes));
	return 0;
}

static int churn(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 faults = growth(in->now.minor_faults, in->at_attach.minor_faults);
	char a[UNITS_MAX], b[UNITS_MAX];
	int rc = 0;

	if (rate(in, faults) >= MINOR_FAULTS_PER_SECOND)
		rc = add(
			d,
			"%s minor page faults a second: memory is given back to the kernel and taken "
			"again all the time (churn); keep buffers, or raise the allocator's trim and "
			"mmap thresholds.",
			units_count(a, (u64)rate(in, faults)));
	if (rc == 0 && share(in->temporary, in->total_allocations) > TEMPORARY_SHARE &&
	    rate(in, in->temporary) >= TEMPORARY_PER_SECOND)
		rc = add(
			d,
			"%s%s allocations a second are temporary, freed by the very next allocator call "
			"of their thread (%.0f %% of %s): reuse a buffer there (--sort temporary).",
			in->sampled ? "About " : "", units_count(a, (u64)rate(in, in->temporary)),
			percent(in->temporary, in->total_allocations),
			units_count(b, in->total_allocations));
	return rc;
}

static int mostly_file(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 other = in->now.file_rss + in->now.shared_rss;
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];

	if (in->now.estimated || in->now.rss < KINDS_MIN || share(other, in->now.rss) < FILE_SHARE)
		return 0;
	return add(d,
		   "Of %s resident %s are mapped files and %s shared memory: the heap is not what "
		   "makes this process big.",
		   units_bytes(a, in->now.rss), units_bytes(b, in->now.file_rss),
		   units_bytes(c, in->now.shared_rss));
}

static int resident_not_live(struct diagnosis *d, const struct diagnosis_input *in)
{
	u64 heap = in->now.heap_rss + in->now.anonymous_rss;
	u64 rest = growth(heap, in->live_bytes);
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];

	if (in->now.estimated || rest < KINDS_MIN || share(live_at_most(in), heap) >= HEAP_LIVE_LOW)
		return 0;
	units_bytes(a, heap);
	units_bytes(b, in->live_bytes);
	if (!in->whole_life)
		return add(
			d,
			"Of %s resident heap and anonymous memory %s%s are blocks %s since attach: "
			"the other %s were allocated before attach, or are free but kept by the "
			"allocator.",
			a, about(in), b, in->sampled ? "allocated" : "seen", units_bytes(c, rest));
	if (share(in->peak_bytes, heap) >= HEAP_KEPT_PEAK)
		return add(
			d,
			"Of %s resident heap and anonymous memory only %s%s are live, after a peak of "
			"%s%s: the allocator keeps what was freed (retention; malloc_trim gives it "
			"back).",
			a, about(in), b, about(in), units_bytes(c, in->peak_bytes));
	return add(d,
		   "Of %s resident heap and anonymous memory only %s%s are live: %s are lost to "
		   "fragmentation, kept by the allocator, or mapped without it.",
		   a, about(in), b, units_bytes(c, rest));
}

static int big_vsz(struct diagnosis *d, const struct diagnosis_input *in)
{
	char a[UNITS_MAX], b[UNITS_MAX];

	if (in->now.vsz <= VSZ_MIN || in->now.vsz / VSZ_RATIO <= in->now.rss)
		return 0;
	return add(
		d,
		"VSZ is %s and only %s of it resident: reserved address space costs nothing, this "
		"is harmless.",
		units_bytes(a, in->now.vsz), units_bytes(b, in->now.rss));
}

static int nothing(struct diagnosis *d, const struct diagnosis_input *in)
{
	char a[UNITS_MAX], b[UNITS_MAX];

	return add(
		d,
		"Nothing remarkable: %s resident, %s%s of live heap blocks%s, no sign of a leak, of "
		"paging or of churn.",
		units_bytes(a, in->now.rss), about(in), units_bytes(b, in->live_bytes),
		in->whole_life ? "" : " from since attach");
}

int diagnose(struct diagnosis *d, const struct diagnosis_input *in)
{
	static int (*const rules[])(struct diagnosis *, const struct diagnosis_input *) = {
		near_limit, lost_events, disk_and_swap,     growing,
		churn,      mostly_file, resident_not_live, big_vsz,
	};
	int rc = 0;

	memset(d, 0, sizeof(*d));
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(rules); i++)
		rc = rules[i](d, in);
	if (rc == 0 && d->n == 0)
		rc = nothing(d, in);
	if (rc != 0)
		diagnosis_deinit(d);
	return rc;
}

void diagnosis_deinit(struct diagnosis *d)
{
	for (u32 i = 0; i < d->n; i++)
		free(d->text[i]);
	memset(d, 0, sizeof(*d));
}
