// SPDX-License-Identifier: MIT
#include "base/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Whether this is the first one, which is kept. */
static bool keep(struct err *err, int code, const char *fmt, va_list ap)
{
	if (!err || err->code)
		return false;
	err->code = code;
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	return true;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep(err, code, fmt, ap);
	va_end(ap);
	return -code;
}

int err_sys(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;
	bool kept;

	va_start(ap, fmt);
	kept = keep(err, code, fmt, ap);
	va_end(ap);
	if (kept) {
		size_t len = strlen(err->msg);

		snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror(code));
	}
	return -code;
}

void err_reset(struct err *err)
{
	err->code = 0;
	err->msg[0] = '\0';
}
