// SPDX-License-Identifier: MIT
#include "unwind/stack_begin.h"

/* How far above the frame of the function that calls main to look. Bytes. */
#define LOOK_MAX 512U

/* More arguments than this are not looked at. */
#define ARGC_MAX 4096U

static bool is_argc(struct window *w, u64 at)
{
	u64 argc, last = at, arg;

	if (!window_read_u64(w, at, &argc) || argc < 1 || argc > ARGC_MAX)
		return false;
	for (u64 i = 1; i <= argc; i++) {
		/* The strings lie above the array, which they do not overlap. */
		if (!window_read_u64(w, at + 8 * i, &arg) || arg <= last || arg < at + 8 * argc)
			return false;
		/* ... and are no bigger than execve(2) allows (MAX_ARG_STRLEN), in all 6 MB. */
		if (arg - at > (8U << 20))
			return false;
		last = arg;
	}
	return window_read_u64(w, at + 8 * (argc + 1), &arg) && arg == 0;
}

bool stack_begins_above(struct window *w, u64 sp, u64 *argc)
{
	if (sp > ~0ULL - (1U << 20))
		return false;
	for (u64 at = (sp + 15) & ~15ULL; at < sp + LOOK_MAX; at += 16) {
		if (is_argc(w, at)) {
			*argc = at;
			return true;
		}
	}
	return false;
}
