// SPDX-License-Identifier: MIT
/*
 * Opening the file behind a mapping. /proc/PID/map_files/START-END is the file
 * itself, even if it was deleted, replaced or lies in another mount namespace,
 * but needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. Else by name: in the
 * target's root, then in ours (a name in maps is printed as seen from our root, if
 * we share the namespace: for a chroot'ed target that is what differs).
 *
 * A name may by now mean another file, so what was opened has to be the mapped
 * one: same device and inode. On overlayfs and btrfs maps and stat disagree on
 * these; then what the memory holds has to be what the file holds.
 */
#include "symbols/module_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/guard.h"
#include "proc/target_file.h"

#define VDSO        "[vdso]"
#define VDSO_MAX    (256 * 1024)
#define COMPARE_MAX 4096

struct module_file *module_file_create(const struct map *m)
{
	struct module_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->path = strdup(m->path);
	if (!file->path) {
		free(file);
		return NULL;
	}
	file->dev = m->dev;
	file->inode = m->inode;
	file->fd = -1;
	return file;
}

void module_file_destroy(struct module_file *file)
{
	if (!file)
		return;
	module_file_close(file);
	elf_headers_deinit(&file->headers);
	free(file->path);
	free(file);
}

void module_file_close(struct module_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* Whether the memory at the start of the mapping is what the file has there. */
static bool same_content(int fd, const struct map *m, const struct proc_mem *mem)
{
	size_t len = m->end - m->start < COMPARE_MAX ? m->end - m->start : COMPARE_MAX;
	u8 in_memory[COMPARE_MAX], in_file[COMPARE_MAX];
	ssize_t n;

	/* Only the last page of a file is short. */
	n = pread(fd, in_file, len, (off_t)m->offset);
	if (n < 64)
		return false;
	return proc_mem_read(mem, m->start, in_memory, (size_t)n) == n &&
	       !memcmp(in_memory, in_file, (size_t)n);
}

static bool is_mapped_one(int fd, const struct map *m, const struct proc_mem *mem, bool exact)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if (st.st_ino == m->inode && (exact || st.st_dev == m->dev))
		return true;
	/* The name of a deleted file leads to another one, which may look similar. */
	return (exact || !m->deleted) && same_content(fd, m, mem);
}

/* fd if it is the mapped file, else closes it: -1. */
static int checked(int fd, const struct map *m, const struct proc_mem *mem, bool exact)
{
	if (fd < 0 || is_mapped_one(fd, m, mem, exact))
		return fd < 0 ? -1 : fd;
	close(fd);
	return -1;
}

static int open_mapped(const struct map *m, const struct module_source *source)
{
	char link[80];
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
		 (int)source->mem->pid, m->start, m->end);
	fd = checked(regular_file_open(link), m, source->mem, true);
	if (fd < 0 && m->path[0] == '/')
		fd = checked(target_file_open(source->root_fd, m->path), m, source->mem, false);
	if (fd < 0 && m->path[0] == '/')
		fd = checked(regular_file_open(m->path), m, source->mem, false);
	return fd;
}

/* The vdso is in no file: a memfd with a copy, or -1. */
static int copy_vdso(const struct map *m, const struct proc_mem *mem)
{
	size_t len = m->end - m->start < VDSO_MAX ? m->end - m->start : VDSO_MAX;
	_cleanup_free_ u8 *buf = malloc(len);
	ssize_t n;
	int fd;

	if (!buf)
		return -1;
	n = proc_mem_read(mem, m->start, buf, len);
	if (n <= 0)
		return -1;
	fd = memfd_create("memattach-vdso", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, buf, (size_t)n) != n) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int module_file_open(struct module_file *file, const struct map *m,
		     const struct module_source *source)
{
	int rc;

	module_file_close(file);
	elf_headers_deinit(&file->headers);
	file->is_elf = false;
	file->build_id_len = 0;
	file->fd = m->inode ? open_mapped(m, source) : copy_vdso(m, source->mem);
	if (file->fd < 0)
		return 0;
	if (fstat(file->fd, &file->st) < 0) {
		module_file_close(file);
		return 0;
	}
	rc = elf_headers_read(&file->headers, file->fd);
	if (rc) {
		module_file_close(file);
		return rc == -ENOMEM ? rc : 0;
	}
	file->is_elf = true;
	file->build_id_len = elf_headers_build_id(&file->headers, file->fd, file->build_id,
						  sizeof(file->build_id));
	return 0;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool module_file_same(const struct module_file *before, const struct module_file *now)
{
	return before->is_elf == now->is_elf && before->build_id_len == now->build_id_len &&
	       !memcmp(before->build_id, now->build_id, now->build_id_len) &&
	       (!now->inode || same_stat(&before->st, &now->st));
}

bool module_file_unchanged(const struct module_file *file)
{
	struct stat st;

	return fstat(file->fd, &st) == 0 && same_stat(&st, &file->st);
}
