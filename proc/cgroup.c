// SPDX-License-Identifier: MIT
/*
 * Which memory limit holds for a process? It is in a cgroup, each cgroup has
 * those above it, and the lowest limit on the way up is the one that counts.
 *
 *	/proc/PID/cgroup       which cgroup: "0::/a/b" (v2), "4:memory:/a/b" (v1)
 *	/proc/self/mountinfo   where its tree is mounted, and from which cgroup on
 *	DIR/memory.max, memory.current                      (v2)
 *	DIR/memory.limit_in_bytes, memory.usage_in_bytes    (v1)
 *	DIR/memory.stat        the page cache in it
 *
 * Where both versions are mounted, memory belongs to the v1 hierarchy if a line
 * of /proc/PID/cgroup names it. The files below DIR are the machine's, but the
 * path comes from the target's surroundings: it never leads out of the mount.
 */
#include "proc/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "proc/scan.h"
#include "proc/slurp.h"

/* v1 says "no limit" with the greatest multiple of a page; no machine has an exbibyte. */
#define NO_LIMIT (1ULL << 60)

/* Enough for a machine with thousands of mounts. */
#define TEXT_MAX (1U << 20)

static bool copy_text(char *to, size_t size, const char *from, const char *end)
{
	size_t len = (size_t)(end - from);

	if (len >= size || memchr(from, '\0', len))
		return false;
	memcpy(to, from, len);
	to[len] = '\0';
	return true;
}

/* Is word one of the list, which has commas between and ends at end? */
static bool list_has(const char *list, const char *end, const char *word)
{
	size_t len = strlen(word);

	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		const char *stop = comma ? comma : end;

		if ((size_t)(stop - list) == len && memcmp(list, word, len) == 0)
			return true;
		list = comma ? comma + 1 : end;
	}
	return false;
}

/*
 *	4:memory:/system.slice/redis.service
 *	0::/user.slice/user-1000.slice
 *	hierarchy:controllers:path
 */
int cgroup_parse_path(struct cgroup_place *place, const char *text, size_t len)
{
	struct scan s = {.p = text, .end = text + len};
	struct scan line;
	int rc = -ENOENT;
	u64 hierarchy;

	while (scan_line(&s, &line)) {
		const char *controllers;
		bool v1;

		if (!scan_u64(&line, 10, &hierarchy) || !scan_word(&line, ":"))
			continue;
		controllers = line.p;
		if (!scan_past(&line, ':'))
			continue;
		v1 = list_has(controllers, line.p - 1, "memory");
		if (!v1 && hierarchy != 0)
			continue;
		if (!copy_text(place->path, sizeof(place->path), line.p, line.end))
			continue;
		place->v1 = v1;
		rc = 0;
		if (v1)
			break;
	}
	return rc;
}

/* A field of mountinfo, up to the next blank, with \040 and the like undone. */
static bool read_field(struct scan *s, char *field, size_t size)
{
	size_t n = 0;

	scan_blanks(s);
	while (s->p < s->end && *s->p != ' ') {
		char c = *s->p++;

		if (c == '\\' && s->end - s->p >= 3) {
			unsigned code = scan_digit(s->p[0]) << 6 | scan_digit(s->p[1]) << 3 |
					scan_digit(s->p[2]);

			c = (char)code;
			s->p += 3;
		}
		if (n + 1 >= size || c == '\0')
			return false;
		field[n++] = c;
	}
	field[n] = '\0';
	return n > 0;
}

/*
 *	35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
 *	id parent dev root mount-point options [tags] - type source super-options
 */
static bool read_mount(struct cgroup_place *place, struct scan line)
{
	char ignored[PATH_MAX], type[32];

	for (int i = 0; i < 3; i++) {
		if (!read_field(&line, ignored, sizeof(ignored)))
			return false;
	}
	if (!read_field(&line, place->mount_root, sizeof(place->mount_root)) ||
	    !read_field(&line, place->mount_dir, sizeof(place->mount_dir)))
		return false;
	do {
		if (!read_field(&line, ignored, sizeof(ignored)))
			return false;
	} while (strcmp(ignored, "-") != 0);
	if (!read_field(&line, type, sizeof(type)))
		return false;
	if (!place->v1)
		return strcmp(type, "cgroup2") == 0;
	if (strcmp(type, "cgroup") != 0 || !read_field(&line, ignored, sizeof(ignored)))
		return false;
	scan_blanks(&line);
	return list_has(line.p, line.end, "memory");
}

int cgroup_parse_mount(struct cgroup_place *place, const char *text, size_t len)
{
	struct scan s = {.p = text, .end = text + len};
	struct scan line;

	while (scan_line(&s, &line)) {
		if (read_mount(place, line))
			return 0;
	}
	return -ENOENT;
}

static bool has_dotdot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "/..")); p += 3) {
		if (p[3] == '/' || p[3] == '\0')
			return true;
	}
	return false;
}

int cgroup_directory(const struct cgroup_place *place, char *dir, size_t size)
{
	const char *path = place->path;
	size_t root = strlen(place->mount_root);
	int n;

	if (has_dotdot(path) || path[0] != '/')
		return -ENOENT;
	/* In a container the mount often begins at the container's own cgroup. */
	if (strcmp(place->mount_root, "/") != 0) {
		if (strncmp(path, place->mount_root, root) != 0 ||
		    (path[root] != '/' && path[root] != '\0'))
			return -ENOENT;
		path += root;
	}
	while (path[0] == '/' && (path[1] == '/' || path[1] == '\0'))
		path++;
	n = snprintf(dir, size, "%s%s", place->mount_dir, path);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* A file with one number; false for "max", and when there is none. */
static bool read_number(const char *dir, const char *name, u64 *value)
{
	_cleanup_free_ char *path = NULL;
	char text[64];
	struct scan s;
	ssize_t len;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return false;
	}
	len = slurp_path(path, text, sizeof(text));
	s = (struct scan){.p = text, .end = text + (len > 0 ? len : 0)};
	return scan_u64(&s, 10, value);
}

/* A line of memory.stat: inactive_file 1732608; in v1 total_ counts the cgroups below, too. */
static u64 read_cache(const char *dir, bool v1)
{
	_cleanup_free_ char *path = NULL;
	struct scan s, line;
	char text[16384];
	u64 bytes = 0;
	ssize_t len;

	if (asprintf(&path, "%s/memory.stat", dir) < 0) {
		path = NULL;
		return 0;
	}
	len = slurp_path(path, text, sizeof(text));
	s = (struct scan){.p = text, .end = text + (len > 0 ? len : 0)};
	while (scan_line(&s, &line)) {
		if (scan_word(&line, v1 ? "total_inactive_file " : "inactive_file "))
			scan_u64(&line, 10, &bytes);
	}
	return bytes;
}

void cgroup_read_limits(struct cgroup_memory *memory, const char *mount_dir, const char *dir,
			bool v1)
{
	size_t top = strlen(mount_dir);
	char here[2 * PATH_MAX];
	u64 limit, usage;
	char *slash;

	memset(memory, 0, sizeof(*memory));
	if (strlen(dir) >= sizeof(here) || strncmp(dir, mount_dir, top) != 0)
		return;
	strcpy(here, dir);
	for (;;) {
		if (read_number(here, v1 ? "memory.limit_in_bytes" : "memory.max", &limit) &&
		    limit > 0 && limit < NO_LIMIT && (!memory->limit || limit < memory->limit)) {
			usage = 0;
			read_number(here, v1 ? "memory.usage_in_bytes" : "memory.current", &usage);
			memory->limit = limit;
			memory->usage = usage;
			memory->cache = read_cache(here, v1);
		}
		slash = strrchr(here, '/');
		if (!slash || (size_t)(slash - here) < top)
			break;
		*slash = '\0';
	}
	if (memory->cache > memory->usage)
		memory->cache = memory->usage;
}

void cgroup_read(struct cgroup_memory *memory, pid_t pid)
{
	_cleanup_free_ struct cgroup_place *place = calloc(1, sizeof(*place));
	_cleanup_free_ char *text = malloc(TEXT_MAX);
	char path[40], dir[2 * PATH_MAX];
	ssize_t len;

	memset(memory, 0, sizeof(*memory));
	if (!place || !text)
		return;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	len = slurp_path(path, text, TEXT_MAX);
	if (len <= 0 || cgroup_parse_path(place, text, (size_t)len) != 0)
		return;
	len = slurp_path("/proc/self/mountinfo", text, TEXT_MAX);
	if (len <= 0 || cgroup_parse_mount(place, text, (size_t)len) != 0)
		return;
	if (cgroup_directory(place, dir, sizeof(dir)) == 0)
		cgroup_read_limits(memory, place->mount_dir, dir, place->v1);
}
