/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_OPTIONS_H
#define MEMATTACH_OPTIONS_H

#include "base/err.h"
#include "base/types.h"
#include "report/text.h"
#include "session.h"

enum options_mode { MODE_RECORD, MODE_REPORT, MODE_HELP, MODE_VERSION };

enum options_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct options {
	enum options_mode mode;
	struct session_config session; /* report and ctx are left to the caller; owns customs */
	const char **outputs;          /* the texts of -o, borrowed from argv; the array is owned */
	size_t outputs_n;
	struct text_options text; /* color and width are left to the caller */
	enum options_color color;
	const char *capture; /* MODE_REPORT: the file to read */
	u32 snapshot;        /* MODE_REPORT: number, 0: the last */
};

/*
 * Reads the command line. 0; -EINVAL with err filled for wrong usage; -ENOMEM.
 * Release with options_deinit in any case.
 */
int options_parse(struct options *options, int argc, char **argv, struct err *err);
void options_deinit(struct options *options);

/* The text of --help. */
extern const char options_help[];

#endif
