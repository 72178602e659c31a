// SPDX-License-Identifier: MIT
#include "probe/leftovers_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/remote_x86_64.h"

/* So much behind the code must be the same in the file and in memory, or it is another file. */
#define SAME_BEHIND 23

bool leftovers_entry_busy(struct tracee *tracee, u64 entry)
{
	struct threads *threads = tracee_threads(tracee);

	if (!remote_code_at(tracee_mem(tracee), entry))
		return false;
	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);

		if (thread->state == THREAD_STOPPED && tracee_get_regs(thread) == 0 &&
		    regs_pc(&thread->regs) - entry <= REMOTE_CODE_SIZE)
			return true;
	}
	return false;
}

/* What the program's file holds at this offset. */
static int read_program(pid_t pid, u64 offset, u8 *bytes, size_t n)
{
	struct stat st;
	char path[32];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    pread(fd, bytes, n, (off_t)offset) != (ssize_t)n)
		ret = -EIO;
	close(fd);
	return ret;
}

int leftovers_entry_restore(const struct tracee *tracee, u64 entry, const struct maps *maps)
{
	const struct proc_mem *mem = tracee_mem(tracee);
	u8 file[REMOTE_CODE_SIZE + SAME_BEHIND], now[REMOTE_CODE_SIZE + SAME_BEHIND];
	const struct map *map = maps_find(maps, entry);
	int ret;

	if (!remote_code_at(mem, entry))
		return 0;
	if (!map || !map->inode || !map->exec || map->shared ||
	    proc_mem_read(mem, entry, now, sizeof(now)) != (ssize_t)sizeof(now))
		return -EFAULT;
	ret = read_program(tracee_pid(tracee), map->offset + (entry - map->start), file,
			   sizeof(file));
	if (ret)
		return ret;
	if (memcmp(file + REMOTE_CODE_SIZE, now + REMOTE_CODE_SIZE, SAME_BEHIND) != 0)
		return -EILSEQ;
	return proc_mem_write(mem, entry, file, REMOTE_CODE_SIZE);
}
