// SPDX-License-Identifier: MIT
#include "proc/status.h"

#include <errno.h>
#include <stdio.h>

#include "proc/scan.h"
#include "proc/slurp.h"

#define KIB 1024ULL

/* The kernel writes a newline in a name as \n and a backslash as \\. */
static void read_name(struct scan *s, char *name, size_t size)
{
	size_t n = 0;

	for (; s->p < s->end && n + 1 < size; s->p++) {
		char c = *s->p;

		if (c == '\\' && s->p + 1 < s->end) {
			s->p++;
			c = *s->p == 'n' ? '\n' : *s->p;
		}
		name[n++] = c;
	}
	name[n] = '\0';
}

/* VmRSS:	    1716 kB */
static u64 read_kib(struct scan *s)
{
	u64 kib = 0, bytes;

	scan_u64(s, 10, &kib);
	return __builtin_mul_overflow(kib, KIB, &bytes) ? UINT64_MAX : bytes;
}

static u64 read_number(struct scan *s, unsigned base)
{
	u64 value = 0;

	scan_u64(s, base, &value);
	return value;
}

/* Uid:	1000	1000	1000	1000: real, effective, saved, file system. */
static void read_ids(struct scan *s, u32 *real, u32 *effective, u32 *saved)
{
	*real = (u32)read_number(s, 10);
	*effective = (u32)read_number(s, 10);
	*saved = (u32)read_number(s, 10);
}

/* Memory: in kB. True if the line was one of these. */
static bool read_memory_line(struct proc_status *status, struct scan *s)
{
	if (scan_word(s, "VmSize:"))
		status->vm_size = read_kib(s);
	else if (scan_word(s, "VmRSS:"))
		status->vm_rss = read_kib(s);
	else if (scan_word(s, "VmHWM:"))
		status->vm_hwm = read_kib(s);
	else if (scan_word(s, "VmSwap:"))
		status->vm_swap = read_kib(s);
	else
		return false;
	return true;
}

/* Signal and capability sets: hexadecimal. SigCgt:	0000000180000002 */
static bool read_set_line(struct proc_status *status, struct scan *s)
{
	if (scan_word(s, "SigPnd:"))
		status->sig_pending = read_number(s, 16);
	else if (scan_word(s, "ShdPnd:"))
		status->shared_pending = read_number(s, 16);
	else if (scan_word(s, "SigBlk:"))
		status->sig_blocked = read_number(s, 16);
	else if (scan_word(s, "SigIgn:"))
		status->sig_ignored = read_number(s, 16);
	else if (scan_word(s, "SigCgt:"))
		status->sig_caught = read_number(s, 16);
	else if (scan_word(s, "CapEff:"))
		status->cap_effective = read_number(s, 16);
	else if (scan_word(s, "CapPrm:"))
		status->cap_permitted = read_number(s, 16);
	else
		return false;
	return true;
}

/* Of x86_Thread_features:	shstk wrss */
static bool has_shadow_stack(struct scan *s)
{
	for (scan_blanks(s); s->p < s->end; scan_blanks(s)) {
		if (scan_word(s, "shstk"))
			return true;
		while (s->p < s->end && *s->p != ' ' && *s->p != '\t')
			s->p++;
	}
	return false;
}

/* State:	S (sleeping); Tgid:	5581; TracerPid:	0; Threads:	4; Seccomp:	2 */
static void read_identity_line(struct proc_status *status, struct scan *s)
{
	if (scan_word(s, "Name:\t")) {
		read_name(s, status->name, sizeof(status->name));
	} else if (scan_word(s, "State:")) {
		scan_blanks(s);
		status->state = s->p < s->end ? *s->p : '\0';
	} else if (scan_word(s, "Tgid:")) {
		status->tgid = (pid_t)read_number(s, 10);
	} else if (scan_word(s, "PPid:")) {
		status->ppid = (pid_t)read_number(s, 10);
	} else if (scan_word(s, "TracerPid:")) {
		status->tracer = (pid_t)read_number(s, 10);
	} else if (scan_word(s, "Uid:")) {
		read_ids(s, &status->real_uid, &status->uid, &status->saved_uid);
	} else if (scan_word(s, "Gid:")) {
		read_ids(s, &status->real_gid, &status->gid, &status->saved_gid);
	} else if (scan_word(s, "Seccomp:")) {
		status->seccomp = (u32)read_number(s, 10);
	} else if (scan_word(s, "NoNewPrivs:")) {
		status->no_new_privs = read_number(s, 10) != 0;
	} else if (scan_word(s, "Threads:")) {
		status->threads = (u32)read_number(s, 10);
	} else if (scan_word(s, "x86_Thread_features:")) {
		status->shadow_stack = has_shadow_stack(s);
	}
}

/*
 * One field a line, its name, a colon, a tab and the value, as in the samples
 * above. Fields that are not known are skipped; a name cannot fake a field,
 * since its newlines are escaped.
 */
int proc_status_parse(struct proc_status *status, const char *text, size_t len, struct err *err)
{
	struct scan s = {.p = text, .end = text + len};
	struct scan line;

	memset(status, 0, sizeof(*status));
	while (scan_line(&s, &line)) {
		if (!read_memory_line(status, &line) && !read_set_line(status, &line))
			read_identity_line(status, &line);
	}
	if (!status->state)
		return err_set(err, EINVAL, "malformed /proc/PID/status: no State");
	return 0;
}

int proc_status_read(struct proc_status *status, pid_t tid, struct err *err)
{
	char path[32], text[PROC_STATUS_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	len = slurp_path(path, text, sizeof(text));
	/* No such directory before, no such process while it is read. */
	if (len == -ENOENT || len == -ESRCH)
		return err_set(err, ESRCH, "there is no process %d", (int)tid);
	if (len < 0)
		return err_sys(err, (int)-len, "cannot read %s", path);
	return proc_status_parse(status, text, (size_t)len, err);
}
