/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_SCAN_H
#define MEMATTACH_PROC_SCAN_H

#include <string.h>

#include "base/types.h"

/*
 * Reads numbers and lines from text that has a length and no NUL, as it comes
 * out of /proc. Nothing here reads at or past end.
 */
struct scan {
	const char *p, *end;
};

static inline void scan_blanks(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
}

/* The value of c as a digit, 99 when it is none in any base up to 16. */
static inline unsigned scan_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 99;
}

/*
 * A number in base 8, 10 or 16 after blanks: true and *value; false, and the scan
 * behind the blanks, when there is none. One too big for 64 bits is cut to UINT64_MAX.
 */
static inline bool scan_u64(struct scan *s, unsigned base, u64 *value)
{
	bool any = false;
	u64 v = 0;

	scan_blanks(s);
	for (; s->p < s->end && scan_digit(*s->p) < base; s->p++) {
		any = true;
		if (__builtin_mul_overflow(v, (u64)base, &v) ||
		    __builtin_add_overflow(v, (u64)scan_digit(*s->p), &v)) {
			while (s->p < s->end && scan_digit(*s->p) < base)
				s->p++;
			*value = UINT64_MAX;
			return true;
		}
	}
	if (any)
		*value = v;
	return any;
}

/* The next line without its newline; false at the end of the text. */
static inline bool scan_line(struct scan *s, struct scan *line)
{
	const char *newline;

	if (s->p >= s->end)
		return false;
	newline = memchr(s->p, '\n', (size_t)(s->end - s->p));
	line->p = s->p;
	line->end = newline ? newline : s->end;
	s->p = newline ? newline + 1 : s->end;
	return true;
}

/* Skips word if it is what comes next. */
static inline bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
		return false;
	s->p += len;
	return true;
}

/* Skips up to and with the next c; false, and the scan at its end, when there is none. */
static inline bool scan_past(struct scan *s, char c)
{
	const char *at = s->p < s->end ? memchr(s->p, c, (size_t)(s->end - s->p)) : NULL;

	s->p = at ? at + 1 : s->end;
	return at != NULL;
}

#endif
