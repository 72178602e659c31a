/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_BUILDER_H
#define MEMATTACH_REPORT_BUILDER_H

#include "base/err.h"
#include "base/types.h"
#include "ledger/ledger.h"
#include "ledger/stacks.h"
#include "ledger/timeline.h"
#include "report/capture.h"
#include "symbols/modules.h"

/*
 * Turns ledger data into a capture. Frames and stacks are added once and shared
 * by all snapshots of the run; a second snapshot only symbolizes what is new.
 */
struct builder;

/* All are borrowed and must outlive the builder, which adds to capture. */
struct builder *builder_create(struct capture *capture, const struct stacks *stacks,
			       const struct modules *modules, struct err *err);
void builder_destroy(struct builder *builder);

/*
 * Appends a snapshot with the totals and sites of ledger at now (ms). The
 * caller fills in process, lost_events and diagnosis of *snapshot, which stays
 * valid until the next call. Only stacks that are in a site are symbolized.
 * 0 or -errno; then the capture is as before.
 */
int builder_snapshot(struct builder *builder, const struct ledger *ledger, u32 now,
		     enum capture_reason reason, struct capture_snapshot **snapshot,
		     struct err *err);

/*
 * The same from figures that were taken from a ledger earlier (ledger_totals,
 * ledger_sites at now); sites is put into another order.
 */
int builder_add(struct builder *builder, const struct ledger_totals *totals,
		struct ledger_site *sites, size_t n, u32 now, enum capture_reason reason,
		struct capture_snapshot **snapshot, struct err *err);

/* Replaces the capture's timeline. 0 or -ENOMEM. */
int builder_timeline(struct builder *builder, const struct timeline *timeline, struct err *err);

#endif
