// SPDX-License-Identifier: MIT
/*
 * /proc/PID/maps, one line per mapping:
 *
 *	7f2c4a028000-7f2c4a1bd000 r-xp 00028000 fe:00 1835034    /usr/lib/libc.so.6
 *	start        end          perms offset  dev   inode      path
 *
 * The kernel writes a newline in a path as \012, and nothing else is escaped: a
 * file whose name holds the four characters \012 looks the same. It appends
 * " (deleted)" to an unlinked file's name, and a living file's name may end
 * so, too. The text alone cannot tell; where it matters maps_read asks the
 * file system (resolve).
 */
#include "proc/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/vec.h"
#include "proc/target_file.h"

#define DELETED       " (deleted)"
#define NEWLINE       "\\012"
#define MAPS_TEXT_MAX (1UL << 30)

/* What most mappings have for a path; never freed. */
static char no_path[1];

struct cursor {
	const char *p, *end;
};

static bool eat(struct cursor *c, char ch)
{
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static int digit_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return 16;
}

/* At least one digit of base (10 or 16), no overflow. */
static bool eat_number(struct cursor *c, u64 base, u64 *value)
{
	const char *first = c->p;
	u64 digit;

	*value = 0;
	while (c->p < c->end && (digit = (u64)digit_value(*c->p)) < base) {
		if (__builtin_mul_overflow(*value, base, value) ||
		    __builtin_add_overflow(*value, digit, value))
			return false;
		c->p++;
	}
	return c->p > first;
}

/* One of two characters; *flag tells whether it is the first. */
static bool eat_flag(struct cursor *c, char yes, char no, bool *flag)
{
	*flag = eat(c, yes);
	return *flag || eat(c, no);
}

static bool eat_fields(struct cursor *c, struct map *m)
{
	u64 dev_major, dev_minor;

	if (!eat_number(c, 16, &m->start) || !eat(c, '-') || !eat_number(c, 16, &m->end) ||
	    !eat(c, ' ') || m->start >= m->end)
		return false;
	if (!eat_flag(c, 'r', '-', &m->read) || !eat_flag(c, 'w', '-', &m->write) ||
	    !eat_flag(c, 'x', '-', &m->exec) || !eat_flag(c, 's', 'p', &m->shared) || !eat(c, ' '))
		return false;
	if (!eat_number(c, 16, &m->offset) || !eat(c, ' ') || !eat_number(c, 16, &dev_major) ||
	    !eat(c, ':') || !eat_number(c, 16, &dev_minor) || !eat(c, ' ') ||
	    !eat_number(c, 10, &m->inode))
		return false;
	if (dev_major > UINT_MAX || dev_minor > UINT_MAX)
		return false;
	m->dev = makedev((unsigned int)dev_major, (unsigned int)dev_minor);
	return c->p == c->end || *c->p == ' ';
}

/* A malloc'ed copy of the path in the text, with newlines as such; NULL when out of memory. */
static char *unescape(const char *text, size_t len)
{
	char *path = malloc(len + 1);
	size_t n = 0;

	if (!path)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (len - i >= strlen(NEWLINE) && !memcmp(text + i, NEWLINE, strlen(NEWLINE))) {
			path[n++] = '\n';
			i += strlen(NEWLINE) - 1;
		} else {
			path[n++] = text[i];
		}
	}
	path[n] = '\0';
	return path;
}

static bool ends_in_deleted(const char *path)
{
	size_t len = strlen(path);
	size_t tail = strlen(DELETED);

	return len > tail && !strcmp(path + len - tail, DELETED);
}

static void strip_deleted(struct map *m)
{
	m->deleted = ends_in_deleted(m->path);
	if (m->deleted)
		m->path[strlen(m->path) - strlen(DELETED)] = '\0';
}

static void map_deinit(struct map *m)
{
	if (m->path != no_path)
		free(m->path);
}

/*
 * The text comes from several reads, and mappings may be merged and split in
 * between; then one begins below the end of the one before. Keeps what is new
 * of it, so that the table is sorted and disjoint whatever the text. False if
 * nothing is.
 */
static bool clip(const struct maps *maps, struct map *m)
{
	u64 floor = maps->n ? maps->items[maps->n - 1].end : 0;

	if (m->end <= floor)
		return false;
	if (m->start < floor) {
		m->offset += floor - m->start;
		m->start = floor;
	}
	return true;
}

/* One line, without its newline. */
static int parse_line(struct maps *maps, const char *line, size_t len)
{
	struct cursor c = {line, line + len};
	struct map m = {.path = no_path};

	if (memchr(line, '\0', len) || !eat_fields(&c, &m))
		return -EINVAL;
	while (eat(&c, ' '))
		;
	if (!clip(maps, &m))
		return 0;
	if (vec_reserve((void **)&maps->items, &maps->cap, maps->n + 1, sizeof(*maps->items)))
		return -ENOMEM;
	if (c.p < c.end) {
		m.path = unescape(c.p, (size_t)(c.end - c.p));
		if (!m.path)
			return -ENOMEM;
		strip_deleted(&m);
	}
	maps->items[maps->n++] = m;
	return 0;
}

int maps_parse(struct maps *maps, const char *text, size_t len, struct err *err)
{
	size_t lines = 0;

	*maps = (struct maps){0};
	while (len) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;
		int rc = parse_line(maps, text, n);

		lines++;
		if (rc) {
			maps_deinit(maps);
			return rc == -ENOMEM
				       ? err_sys(err, ENOMEM, "cannot hold the memory map")
				       : err_set(err, EINVAL,
						 "line %zu of the memory map is malformed", lines);
		}
		text += newline ? n + 1 : n;
		len -= newline ? n + 1 : n;
	}
	return 0;
}

void maps_deinit(struct maps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		map_deinit(&maps->items[i]);
	free(maps->items);
	*maps = (struct maps){0};
}

/* The whole file through one descriptor: a malloc'ed buffer, or -errno. */
static int read_text(int fd, char **text, size_t *len)
{
	_cleanup_free_ char *buf = NULL;
	size_t cap = 0;
	size_t n = 0;

	for (;;) {
		ssize_t got;

		if (vec_reserve((void **)&buf, &cap, n + 65536, 1))
			return -ENOMEM;
		got = read(fd, buf + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		n += (size_t)got;
		if (n > MAPS_TEXT_MAX)
			return -EFBIG;
	}
	*text = buf;
	*len = n;
	buf = NULL;
	return 0;
}

/* The exact name of a mapped file, which /proc/PID/map_files gives to the privileged; or NULL. */
static char *exact_name(pid_t pid, const struct map *m)
{
	char link[80];
	char name[PATH_MAX + 1];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid, m->start,
		 m->end);
	n = readlink(link, name, sizeof(name) - 1);
	if (n <= 0 || (size_t)n >= sizeof(name) - 1)
		return NULL;
	name[n] = '\0';
	return strdup(name);
}

/* Whether a file of this very name exists and is the one that is mapped. */
static bool is_alive(int root_fd, const struct map *m, const char *path)
{
	struct stat st;

	/* The device may differ where a file system has several (overlayfs, btrfs). */
	if (!target_file_stat(root_fd, path, &st) && st.st_ino == m->inode)
		return true;
	/* A name in maps is seen from the root of who reads it, unless that cannot see it. */
	return !stat(path, &st) && st.st_ino == m->inode && st.st_dev == m->dev;
}

/* Settles what the text left open: a name with \012 in it, a name that ends in " (deleted)". */
static int resolve(struct map *m, pid_t pid, int root_fd)
{
	bool escaped = strchr(m->path, '\n');
	char *full;

	if (!m->inode || (!escaped && !m->deleted))
		return 0;
	full = escaped ? exact_name(pid, m) : NULL;
	if (!full && asprintf(&full, "%s%s", m->path, m->deleted ? DELETED : "") < 0)
		return -ENOMEM;
	map_deinit(m);
	m->path = full;
	m->deleted = false;
	if (ends_in_deleted(full) && !is_alive(root_fd, m, full))
		strip_deleted(m);
	return 0;
}

static int resolve_all(struct maps *maps, pid_t pid)
{
	_cleanup_close_ int root_fd = target_root_open(pid);

	for (size_t i = 0; i < maps->n; i++) {
		int rc = resolve(&maps->items[i], pid, root_fd);

		if (rc)
			return rc;
	}
	return 0;
}

int maps_read(struct maps *maps, pid_t pid, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	char path[32];
	size_t len = 0;
	int rc;

	*maps = (struct maps){0};
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open %s", path);
	rc = read_text(fd, &text, &len);
	if (rc)
		return err_sys(err, -rc, "cannot read %s", path);
	rc = maps_parse(maps, text, len, err);
	if (rc)
		return rc;
	rc = resolve_all(maps, pid);
	if (rc) {
		maps_deinit(maps);
		return err_sys(err, -rc, "cannot hold the memory map of process %d", (int)pid);
	}
	return 0;
}

const struct map *maps_find(const struct maps *maps, u64 addr)
{
	size_t low = 0;
	size_t high = maps->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps->items[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < maps->n && maps->items[low].start <= addr ? &maps->items[low] : NULL;
}
