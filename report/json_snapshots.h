/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_JSON_SNAPSHOTS_H
#define MEMATTACH_REPORT_JSON_SNAPSHOTS_H

#include "report/capture.h"
#include "report/json_in.h"

/*
 * Reads "snapshots" of a capture file into capture, whose stacks are there
 * already. What was read before a failure stays in capture, to be destroyed with it.
 */
void json_read_snapshots(struct json_in *in, struct capture *capture, json_t *root);

#endif
