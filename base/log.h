/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_LOG_H
#define MEMATTACH_BASE_LOG_H

#include "base/types.h"

/*
 * Progress and diagnostics for the person at the terminal, always to stderr.
 * A failure is not logged: it is a value (base/err.h) and travels up.
 */
enum log_level {
	LOG_QUIET,   /* -q: nothing */
	LOG_WARN,    /* what makes a report less exact or less complete */
	LOG_INFO,    /* what is being done; the default on a terminal */
	LOG_VERBOSE, /* -v: modules, probes, what was tried */
};

struct log {
	enum log_level level;
};

/*
 * Prints "memattach: " and one line to stderr if log's level is at least level.
 * Control characters, which may come from the target, are printed as '?'.
 */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_warn(log, ...)    log_line(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...)    log_line(log, LOG_INFO, __VA_ARGS__)
#define log_verbose(log, ...) log_line(log, LOG_VERBOSE, __VA_ARGS__)

#endif
