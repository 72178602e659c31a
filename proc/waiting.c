// SPDX-License-Identifier: MIT
#include "proc/waiting.h"

#include <errno.h>
#include <stdio.h>

#include "proc/scan.h"
#include "proc/slurp.h"

#define ARGUMENTS 6

/*
 *	58 0x0 0x7ffd2a1c3e50 0x40 0xffffffff 0x0 0x8 0x7ffd2a1c3e08 0x7f2b1c0de4b6
 *	number, six arguments                         stack pointer  program counter
 *
 * "running" for a thread that runs; "-1 SP PC" for one that waits outside of a call.
 */
int proc_waiting_parse(struct proc_waiting *w, const char *text, size_t len)
{
	struct scan s = {.p = text, .end = text + len};
	u64 number, values[ARGUMENTS + 2];
	size_t n = 0, want;
	bool none;

	if (scan_word(&s, "running"))
		return -EAGAIN;
	none = scan_word(&s, "-");
	if (!scan_u64(&s, 10, &number))
		return -EINVAL;
	want = none ? 2 : ARGUMENTS + 2;
	for (; n < want; n++) {
		scan_blanks(&s);
		if (!scan_word(&s, "0x") || !scan_u64(&s, 16, &values[n]))
			return -EINVAL;
	}
	*w = (struct proc_waiting){
		.number = none ? -1 : (s64)number,
		.argument = none ? 0 : values[0],
		.sp = values[want - 2],
		.pc = values[want - 1],
	};
	return 0;
}

int proc_waiting_read(struct proc_waiting *w, pid_t tid)
{
	char path[32], text[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)tid);
	len = slurp_path(path, text, sizeof(text));
	return len < 0 ? (int)len : proc_waiting_parse(w, text, (size_t)len);
}
