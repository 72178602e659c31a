/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_RECORDS_H
#define MEMATTACH_SESSION_RECORDS_H

#include "session_image.h"

/*
 * The snapshots of one image. Adding up the ledger and looking up names takes
 * time that the target must not wait for, so a snapshot in mid-run is made by a
 * forked copy of memattach, which has the ledger as it was at that instant
 * (copy on write), writes the report, and leaves the figures in a file that has
 * no name (memfd) for the reports to come.
 */
struct records;

struct records *records_create(struct err *err);
void records_destroy(struct records *records);

/*
 * Begins a snapshot in the background. *child is the process that makes it: when
 * it has ended, call records_finished. 0 or -errno with err filled.
 */
int records_fork(struct records *records, struct image *image, enum session_reason reason,
		 u32 number, u32 image_number, pid_t *child, struct err *err);

/* The process of the last records_fork has ended. Returns what it failed with, 0 if it wrote its report. */
int records_finished(struct records *records, int status, struct err *err);

/* Makes a snapshot here and now, and reports it. For when the target does not wait. */
int records_now(struct records *records, struct image *image, enum session_reason reason,
		u32 number, u32 image_number, struct err *err);

#endif
