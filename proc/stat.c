// SPDX-License-Identifier: MIT
#include "proc/stat.h"

#include <errno.h>
#include <stdio.h>

#include "proc/scan.h"
#include "proc/slurp.h"

/* The fields, counted from 1 as in proc(5). */
enum {
	FIELD_PPID = 4,
	FIELD_FLAGS = 9,
	FIELD_MINFLT = 10,
	FIELD_MAJFLT = 12,
	FIELD_STARTTIME = 22,
};

/*
 *	5582 (cat) R 5578 5578 3228 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 144988 ...
 *	pid  comm  state ppid ...        flags   minflt . majflt           starttime
 *
 * The name may hold blanks and parentheses, but nothing after it does: it ends
 * at the last ')'.
 */
int proc_stat_parse(struct proc_stat *stat, const char *text, size_t len, struct err *err)
{
	const char *paren = len ? memrchr(text, ')', len) : NULL;
	struct scan s = {.p = paren ? paren + 1 : NULL, .end = text + len};
	u64 value = 0;
	int field;

	memset(stat, 0, sizeof(*stat));
	if (!paren || !scan_word(&s, " ") || s.p == s.end)
		return err_set(err, EINVAL, "malformed /proc/PID/stat");
	stat->state = *s.p++;
	for (field = FIELD_PPID; field <= FIELD_STARTTIME; field++) {
		scan_blanks(&s);
		scan_word(&s, "-");
		if (!scan_u64(&s, 10, &value))
			return err_set(err, EINVAL, "malformed /proc/PID/stat");
		switch (field) {
		case FIELD_FLAGS:
			stat->flags = value;
			break;
		case FIELD_MINFLT:
			stat->minor_faults = value;
			break;
		case FIELD_MAJFLT:
			stat->major_faults = value;
			break;
		case FIELD_STARTTIME:
			stat->start_time = value;
			break;
		}
	}
	return 0;
}

int proc_stat_read(struct proc_stat *stat, pid_t pid, struct err *err)
{
	char path[32], text[2048];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	len = slurp_path(path, text, sizeof(text));
	/* No such directory before, no such process while it is read. */
	if (len == -ENOENT || len == -ESRCH)
		return err_set(err, ESRCH, "there is no process %d", (int)pid);
	if (len < 0)
		return err_sys(err, (int)-len, "cannot read %s", path);
	return proc_stat_parse(stat, text, (size_t)len, err);
}
