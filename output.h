/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_OUTPUT_H
#define MEMATTACH_OUTPUT_H

#include "base/err.h"
#include "options.h"
#include "report/capture.h"
#include "session.h"

/* From a session's figures to the files of -o, or to standard output or error. */

/* Whether a name of -o has a suffix that says which format is wanted. 0 or -EINVAL. */
int output_check_name(const char *name, struct err *err);

/* session_config.report, with the struct options as ctx. */
int output_report(void *ctx, const struct session_view *view, struct err *err);

/* Writes the snapshot at index of a capture to all -o files, or as text to fallback. 0 or -errno. */
int output_write(const struct options *options, const struct capture *capture, size_t index,
		 u32 image, FILE *fallback, struct err *err);

#endif
