// SPDX-License-Identifier: MIT
#include "proc/stack_pointers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/guard.h"
#include "proc/scan.h"
#include "proc/slurp.h"
#include "proc/tasks.h"

/*
 *	232 0x4 0x7ffd2a1c3e50 0x40 0xffffffff 0x0 0x8 0x7ffd2a1c3e08 0x7f2b1c0de4b6
 *	number, six arguments                          stack pointer  program counter
 *
 * "running" for a thread that runs; "-1 SP PC" for one that waits outside of a call.
 */
bool stack_pointer_parse(const char *text, size_t len, u64 *pointer)
{
	struct scan s = {.p = text, .end = text + len};
	u64 value, before = 0;
	int n = 0;

	while (n < 16 && scan_past(&s, 'x') && scan_u64(&s, 16, &value)) {
		if (n > 0)
			*pointer = before;
		before = value;
		n++;
	}
	return n >= 2;
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

int stack_pointers_read(pid_t pid, u64 **pointers, size_t *n)
{
	_cleanup_free_ pid_t *tids = NULL;
	char path[64], text[256];
	size_t n_tids;
	ssize_t len;

	*pointers = NULL;
	*n = 0;
	if (proc_tasks(pid, &tids, &n_tids, NULL) != 0)
		return 0;
	if (n_tids > STACK_POINTERS_MAX)
		n_tids = STACK_POINTERS_MAX;
	*pointers = calloc(n_tids, sizeof(**pointers));
	if (!*pointers)
		return -ENOMEM;
	for (size_t i = 0; i < n_tids; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", (int)pid, (int)tids[i]);
		len = slurp_path(path, text, sizeof(text));
		if (len > 0 && stack_pointer_parse(text, (size_t)len, &(*pointers)[*n]))
			(*n)++;
	}
	qsort(*pointers, *n, sizeof(**pointers), compare);
	return 0;
}
