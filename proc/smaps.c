// SPDX-License-Identifier: MIT
#include "proc/smaps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "proc/scan.h"

#define KIB 1024ULL

/*
 * An anonymous mapping that holds a stack pointer is a thread's stack, unless it
 * is bigger than stacks are: then the stack was cut out of a heap (coroutines),
 * and what else is there is no stack. The usual ulimit is 8 MiB.
 */
#define STACK_MAPPING_MAX (64ULL << 20)

void smaps_init(struct smaps_parser *parser, const u64 *stack_pointers, size_t n)
{
	memset(parser, 0, sizeof(*parser));
	parser->stack_pointers = stack_pointers;
	parser->n_stack_pointers = n;
}

static bool holds_stack_pointer(const struct smaps_parser *parser, u64 start, u64 end)
{
	size_t low = 0, high = parser->n_stack_pointers;

	if (end <= start || end - start > STACK_MAPPING_MAX)
		return false;
	/* The first that is at least start. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (parser->stack_pointers[middle] < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < parser->n_stack_pointers && parser->stack_pointers[low] < end;
}

static u64 *kind_of(struct smaps_parser *parser, struct scan name, u64 start, u64 end, u64 inode,
		    bool shared)
{
	struct smaps_totals *totals = &parser->totals;

	if (shared)
		return &totals->shared;
	if (scan_word(&name, "[heap]"))
		return &totals->heap;
	if (scan_word(&name, "[stack"))
		return &totals->stack;
	/* [vdso] and [vvar] are code and data that the kernel provides, like a library. */
	if (inode != 0 || scan_word(&name, "[v"))
		return &totals->file;
	return holds_stack_pointer(parser, start, end) ? &totals->stack : &totals->anonymous;
}

/*
 *	55d745a24000-55d745a26000 r--p 00000000 fe:00 247134                     /usr/bin/cat
 *	start        end          perms offset  dev   inode                      name
 *
 * False if the line is none of these.
 */
static bool read_mapping(struct smaps_parser *parser, struct scan s)
{
	u64 start, end, inode, ignored;
	bool shared;

	if (!scan_u64(&s, 16, &start) || !scan_word(&s, "-") || !scan_u64(&s, 16, &end))
		return false;
	scan_blanks(&s);
	if (s.end - s.p < 4)
		return false;
	shared = s.p[3] == 's';
	s.p += 4;
	if (!scan_u64(&s, 16, &ignored) || !scan_u64(&s, 16, &ignored) || !scan_word(&s, ":") ||
	    !scan_u64(&s, 16, &ignored) || !scan_u64(&s, 10, &inode))
		return false;
	scan_blanks(&s);
	parser->totals.mappings++;
	/* All mappings in one, of smaps_rollup: of no kind. */
	if (scan_word(&s, "[rollup]"))
		parser->kind = NULL;
	else
		parser->kind = kind_of(parser, s, start, end, inode, shared);
	return true;
}

static void add_kib(u64 *total, u64 kib)
{
	u64 bytes;

	if (__builtin_mul_overflow(kib, KIB, &bytes) ||
	    __builtin_add_overflow(*total, bytes, total))
		*total = UINT64_MAX;
}

/* Rss:                   8 kB */
static void read_figure(struct smaps_parser *parser, struct scan s)
{
	struct smaps_totals *totals = &parser->totals;
	u64 kib = 0;

	if (scan_word(&s, "Rss:") && scan_u64(&s, 10, &kib)) {
		add_kib(&totals->rss, kib);
		if (parser->kind)
			add_kib(parser->kind, kib);
	} else if (scan_word(&s, "Pss:") && scan_u64(&s, 10, &kib)) {
		add_kib(&totals->pss, kib);
	} else if (scan_word(&s, "Swap:") && scan_u64(&s, 10, &kib)) {
		add_kib(&totals->swap, kib);
	}
}

static void read_line(struct smaps_parser *parser)
{
	struct scan s = {.p = parser->line, .end = parser->line + parser->len};

	/* Addresses are in lower case, the names of figures begin with a capital. */
	if (s.p < s.end && *s.p >= 'A' && *s.p <= 'Z')
		read_figure(parser, s);
	else if (!read_mapping(parser, s))
		parser->kind = NULL;
	parser->len = 0;
}

void smaps_feed(struct smaps_parser *parser, const char *text, size_t len)
{
	struct scan s = {.p = text, .end = text + len};
	const char *newline;
	size_t n, room;

	while (s.p < s.end) {
		newline = memchr(s.p, '\n', (size_t)(s.end - s.p));
		n = (size_t)((newline ? newline : s.end) - s.p);
		room = sizeof(parser->line) - parser->len;
		memcpy(parser->line + parser->len, s.p, n < room ? n : room);
		parser->len += n < room ? n : room;
		s.p += n;
		if (newline) {
			read_line(parser);
			s.p++;
		}
	}
}

void smaps_finish(struct smaps_parser *parser)
{
	if (parser->len)
		read_line(parser);
}

int smaps_read(struct smaps_totals *totals, pid_t pid, const char *name, const u64 *stack_pointers,
	       size_t n, struct err *err)
{
	_cleanup_close_ int fd = -1;
	struct smaps_parser parser;
	char path[48], text[8192];
	ssize_t len;

	smaps_init(&parser, stack_pointers, n);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno == ENOENT ? ESRCH : errno, "cannot open %s", path);
	for (;;) {
		len = read(fd, text, sizeof(text));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return err_sys(err, errno, "cannot read %s", path);
		if (len == 0)
			break;
		smaps_feed(&parser, text, (size_t)len);
	}
	smaps_finish(&parser);
	/* What has no address space has an empty file. */
	if (parser.totals.mappings == 0)
		return err_set(err, ESRCH, "process %d is gone", (int)pid);
	*totals = parser.totals;
	return 0;
}
