// SPDX-License-Identifier: MIT
/*
 * A channel is known by its name, among the mappings
 *
 *	7f0e5a000000-7f0e5c3d5000 rw-s 00000000 00:01 2051   /memfd:memattach-channel (deleted)
 *
 * and, if memattach was killed before the target had closed it, among the
 * descriptors in /proc/PID/fd.
 */
#include "probe/leftovers_find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/abi.h"
#include "base/vec.h"
#include "probe/channel_map.h"

#define FD_NAME "/memfd:" CHANNEL_NAME

/* What a memattach of another version has left is not ours to judge: *foreign. */
static bool is_area(const struct proc_mem *mem, u64 start, pid_t owner, u64 unfinished,
		    bool *foreign)
{
	struct agent_header header;

	if (proc_mem_read(mem, start, &header, sizeof(header)) != (ssize_t)sizeof(header))
		return false;
	*foreign =
		*foreign || (header.magic[0] == AGENT_MAGIC_0 && header.magic[1] != AGENT_MAGIC_1);
	if (header.magic[0] != AGENT_MAGIC_0 || header.magic[1] != AGENT_MAGIC_1)
		return start == unfinished && !header.magic[0] && !header.magic[1];
	return !owner || header.owner == (u64)owner;
}

/* The last page of an area may be a mapping of its own: writable. */
static int find_areas(struct traces *traces, const struct map *map, const struct proc_mem *mem,
		      pid_t owner, u64 unfinished, bool *foreign)
{
	u64 start = (map->start + AGENT_AREA_SIZE - 1) & ~(AGENT_AREA_SIZE - 1);

	for (; start < map->end && map->end - start >= AGENT_CONTROL; start += AGENT_AREA_SIZE) {
		if (!is_area(mem, start, owner, unfinished, foreign))
			continue;
		if (vec_reserve((void **)&traces->areas, &traces->areas_cap, traces->areas_n + 1,
				sizeof(u64)))
			return -ENOMEM;
		traces->areas[traces->areas_n++] = start;
	}
	return 0;
}

static int add_channel(struct traces *traces, const struct map *map)
{
	if (vec_reserve((void **)&traces->channels, &traces->channels_cap, traces->channels_n + 1,
			sizeof(*traces->channels)))
		return -ENOMEM;
	traces->channels[traces->channels_n++] = (struct address_range){map->start, map->end};
	return 0;
}

static int find_in_maps(struct traces *traces, const struct maps *maps, const struct proc_mem *mem,
			pid_t owner, u64 unfinished)
{
	bool foreign = false;
	int ret = 0;

	for (size_t i = 0; i < maps->n && !ret; i++) {
		const struct map *map = &maps->items[i];

		if (channel_is_map(map))
			ret = add_channel(traces, map);
		else if (!map->inode && !map->shared && !map->write && map->exec)
			ret = find_areas(traces, map, mem, owner, unfinished, &foreign);
	}
	if (foreign)
		traces->channels_n = 0;
	return ret;
}

/* One entry of /proc/PID/fd: a number, and a link. */
static int look_at_fd(struct traces *traces, int dir, const char *name)
{
	char to[sizeof(FD_NAME) + 16];
	ssize_t n = readlinkat(dir, name, to, sizeof(to) - 1);
	char *end;
	long fd;

	to[n > 0 ? n : 0] = '\0';
	if (strncmp(to, FD_NAME, sizeof(FD_NAME) - 1) != 0 ||
	    (to[sizeof(FD_NAME) - 1] && to[sizeof(FD_NAME) - 1] != ' '))
		return 0;
	fd = strtol(name, &end, 10);
	if (*end || fd < 0 || fd > INT_MAX)
		return 0;
	if (vec_reserve((void **)&traces->fds, &traces->fds_cap, traces->fds_n + 1, sizeof(int)))
		return -ENOMEM;
	traces->fds[traces->fds_n++] = (int)fd;
	return 0;
}

static int find_fds(struct traces *traces, pid_t pid)
{
	struct dirent *entry;
	char path[32];
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret = look_at_fd(traces, dirfd(dir), entry->d_name);
	closedir(dir);
	return ret;
}

int traces_find(struct traces *traces, const struct maps *maps, const struct proc_mem *mem,
		pid_t owner, u64 unfinished)
{
	int ret;

	*traces = (struct traces){0};
	ret = find_in_maps(traces, maps, mem, owner, unfinished);
	return ret ? ret : find_fds(traces, mem->pid);
}

void traces_deinit(struct traces *traces)
{
	free(traces->areas);
	free(traces->channels);
	free(traces->fds);
	*traces = (struct traces){0};
}

bool traces_any(const struct traces *traces)
{
	return traces->areas_n || traces->channels_n || traces->fds_n;
}
