// SPDX-License-Identifier: MIT
/*
 * The table of modules. One pass over the sorted mappings of an update: every
 * executable private file mapping that no module found so far covers begins a
 * new one; module_layout says how far it reaches. So the modules of an update
 * are disjoint and in order, whatever the files claim, and `at` is a binary
 * search.
 *
 *	files    one entry per file (dev, inode, path), with its descriptor
 *	modules  one entry per file and bias, by id; never removed
 *	index    what is mapped now, by address
 *
 * A module that comes back (the same file, unchanged, at the same bias) is the
 * old entry again, so that a loop of dlopen and dlclose does not use up the ids.
 * An open descriptor pins the inode, so "the same inode" can be trusted as long
 * as it is open; otherwise size, time and build-id are compared, too.
 */
#include "symbols/modules.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/frame.h"
#include "base/guard.h"
#include "base/hash.h"
#include "base/vec.h"
#include "proc/mem.h"
#include "proc/target_file.h"
#include "symbols/module_file.h"
#include "symbols/module_layout.h"

#define BUCKETS           4096
#define UNMAPPED_OPEN_MAX 512

struct entry {
	struct module module;
	u32 file;         /* index in files */
	u32 next;         /* id of the next one in its hash chain, 0: none */
	u32 next_of_file; /* id of the next one of the same file */
	u64 seen;         /* the update that last saw it mapped */
	bool is_image;    /* see module_layout.h; the others have no descriptor */
};

struct modules {
	pid_t pid;
	int root_fd;
	char *root; /* the target's root as seen from ours, "" if that is "/" */
	struct stat exe;
	bool has_exe;
	bool has_main;
	u64 update; /* counts the calls of modules_update */

	struct entry **entries; /* id - 1 */
	size_t n, cap;
	u32 buckets[BUCKETS]; /* of ids, by file and bias */

	struct module_file **files;
	u32 *file_modules; /* per file: the id of its first module */
	size_t n_files, files_cap, file_modules_cap;
	u32 file_buckets[BUCKETS]; /* of index + 1 */
	size_t open, open_unmapped, open_max;

	u32 *index; /* ids by address */
	size_t n_index, index_cap;
};

/* The root of the target as we see it, without a final "/", so "" for the usual case. */
static char *read_root(pid_t pid)
{
	char link[32];
	char root[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/root", (int)pid);
	n = readlink(link, root, sizeof(root) - 1);
	if (n <= 1 || root[0] != '/')
		n = 0;
	root[n] = '\0';
	return strdup(root);
}

/* Leaves a quarter of the descriptors to the rest of the program. */
static size_t open_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	return (size_t)(limit.rlim_cur > FRAME_MODULE_MAX ? FRAME_MODULE_MAX : limit.rlim_cur) / 4 *
	       3;
}

struct modules *modules_create(pid_t pid, struct err *err)
{
	struct modules *modules = calloc(1, sizeof(*modules));
	char exe[32];

	if (!modules)
		goto fail;
	modules->root_fd = -1;
	modules->root = read_root(pid);
	if (!modules->root)
		goto fail;
	modules->pid = pid;
	modules->root_fd = target_root_open(pid);
	if (modules->root_fd < 0)
		modules->root_fd = -1;
	modules->open_max = open_limit();
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	modules->has_exe = stat(exe, &modules->exe) == 0;
	return modules;
fail:
	modules_destroy(modules);
	err_sys(err, ENOMEM, "cannot make a table of modules");
	return NULL;
}

void modules_destroy(struct modules *modules)
{
	if (!modules)
		return;
	for (size_t i = 0; i < modules->n; i++) {
		free(modules->entries[i]->module.path);
		free(modules->entries[i]);
	}
	for (size_t i = 0; i < modules->n_files; i++)
		module_file_destroy(modules->files[i]);
	if (modules->root_fd >= 0)
		close(modules->root_fd);
	free(modules->root);
	free(modules->entries);
	free(modules->files);
	free(modules->file_modules);
	free(modules->index);
	free(modules);
}

static size_t file_bucket(const struct map *m)
{
	return hash_u64(m->inode ^ hash_u64(m->dev)) % BUCKETS;
}

static size_t entry_bucket(u32 file, u64 bias)
{
	return hash_u64(bias ^ hash_u64(file)) % BUCKETS;
}

/* Tells the modules of a file that its descriptor has changed. */
static void spread_fd(struct modules *modules, u32 file)
{
	struct module_file *f = modules->files[file];

	struct entry *entry;

	for (u32 id = modules->file_modules[file]; id; id = entry->next_of_file) {
		entry = modules->entries[id - 1];
		entry->module.fd = entry->is_image ? f->fd : -1;
	}
}

static void close_file(struct modules *modules, u32 file)
{
	module_file_close(modules->files[file]);
	modules->open--;
	if (!modules->files[file]->mapped)
		modules->open_unmapped--;
	spread_fd(modules, file);
}

/* Closes the unmapped file that was mapped longest ago. False if there is none. */
static bool evict(struct modules *modules)
{
	size_t oldest = modules->n_files;

	if (!modules->open_unmapped)
		return false;
	for (size_t i = 0; i < modules->n_files; i++) {
		struct module_file *f = modules->files[i];

		/* One that was opened just now is about to be mapped. */
		if (f->fd < 0 || f->mapped || f->attempt == modules->update)
			continue;
		if (oldest == modules->n_files || f->last_use < modules->files[oldest]->last_use)
			oldest = i;
	}
	if (oldest == modules->n_files)
		return false;
	close_file(modules, (u32)oldest);
	return true;
}

/* Counts the descriptor that an unmapped file got, or closes it if there are too many. */
static void account_fd(struct modules *modules, struct module_file *file)
{
	if (file->fd < 0)
		return;
	if (modules->open >= modules->open_max && !evict(modules)) {
		module_file_close(file);
		return;
	}
	modules->open++;
	modules->open_unmapped++;
}

static u32 find_file(const struct modules *modules, const struct map *m)
{
	u32 next = modules->file_buckets[file_bucket(m)];

	while (next) {
		struct module_file *f = modules->files[next - 1];

		if (f->inode == m->inode && f->dev == m->dev && !strcmp(f->path, m->path))
			break;
		next = f->next;
	}
	return next;
}

static int insert_file(struct modules *modules, struct module_file *file, const struct map *m,
		       u32 *index)
{
	u32 *bucket = &modules->file_buckets[file_bucket(m)];

	if (vec_reserve((void **)&modules->files, &modules->files_cap, modules->n_files + 1,
			sizeof(*modules->files)) ||
	    vec_reserve((void **)&modules->file_modules, &modules->file_modules_cap,
			modules->n_files + 1, sizeof(*modules->file_modules)))
		return -ENOMEM;
	account_fd(modules, file);
	file->next = *bucket;
	modules->files[modules->n_files] = file;
	modules->file_modules[modules->n_files] = 0;
	*index = (u32)modules->n_files++;
	*bucket = *index + 1;
	return 0;
}

/* The old entry of a file that was opened again and is the same: takes over its descriptor. */
static void reopened(struct modules *modules, u32 index, struct module_file *now)
{
	struct module_file *file = modules->files[index];

	if (file->fd < 0 && now->fd >= 0) {
		file->fd = now->fd;
		now->fd = -1;
		account_fd(modules, file);
		spread_fd(modules, index);
	}
}

/*
 * The file of mapping m in *index, opened if need be. 0, -ENOMEM, or -ENOSPC if
 * it is new and there are no ids left for its modules.
 */
static int get_file(struct modules *modules, const struct map *m, const struct proc_mem *mem,
		    u32 *index)
{
	struct module_source source = {.mem = mem, .root_fd = modules->root_fd};
	u32 found = find_file(modules, m);
	struct module_file *file = found ? modules->files[found - 1] : NULL;
	struct module_file *now;
	int rc;

	*index = found - 1;
	if (file && (file->mapped || file->attempt == modules->update ||
		     (file->fd >= 0 && m->inode && module_file_unchanged(file))))
		return 0;
	now = module_file_create(m);
	if (!now)
		return -ENOMEM;
	rc = module_file_open(now, m, &source);
	now->attempt = modules->update;
	if (!rc && file && module_file_same(file, now)) {
		file->attempt = modules->update;
		reopened(modules, found - 1, now);
	} else if (!rc) {
		rc = modules->n < FRAME_MODULE_MAX ? insert_file(modules, now, m, index) : -ENOSPC;
		if (!rc)
			return 0;
	}
	module_file_destroy(now);
	return rc;
}

static u32 find_entry(const struct modules *modules, u32 file, u64 bias)
{
	u32 id = modules->buckets[entry_bucket(file, bias)];

	while (id && (modules->entries[id - 1]->file != file ||
		      modules->entries[id - 1]->module.bias != bias))
		id = modules->entries[id - 1]->next;
	return id;
}

/* The path as the target sees it: a chroot'ed one does not see what its root lies in. */
static const char *inside_root(const struct modules *modules, const char *path)
{
	size_t len = strlen(modules->root);

	return len && !strncmp(path, modules->root, len) && path[len] == '/' ? path + len : path;
}

/* Whether this is /proc/PID/exe; by the descriptor, as maps and stat may disagree on the device. */
static bool is_main(const struct modules *modules, const struct module_file *file)
{
	if (!modules->has_exe || modules->has_main || !file->inode)
		return false;
	if (file->fd < 0)
		return file->inode == modules->exe.st_ino && file->dev == modules->exe.st_dev;
	return file->st.st_dev == modules->exe.st_dev && file->st.st_ino == modules->exe.st_ino;
}

/* A new entry without the fields that an update sets; NULL when out of memory. */
static struct entry *add_entry(struct modules *modules, u32 index, u64 bias, const struct map *m)
{
	struct module_file *file = modules->files[index];
	u32 *bucket = &modules->buckets[entry_bucket(index, bias)];
	struct entry *entry;

	if (vec_reserve((void **)&modules->entries, &modules->cap, modules->n + 1,
			sizeof(*modules->entries)))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->module = (struct module){.id = (u32)modules->n + 1,
					.is_main = is_main(modules, file),
					.is_vdso = !m->inode,
					.bias = bias,
					.inode = m->inode,
					.dev = m->dev,
					.path = strdup(inside_root(modules, m->path)),
					.fd = -1,
					.build_id_len = file->build_id_len,
					.root_fd = modules->root_fd};
	if (!entry->module.path) {
		free(entry);
		return NULL;
	}
	memcpy(entry->module.build_id, file->build_id, file->build_id_len);
	modules->has_main |= entry->module.is_main;
	entry->file = index;
	entry->next = *bucket;
	entry->next_of_file = modules->file_modules[index];
	modules->entries[modules->n++] = entry;
	*bucket = entry->module.id;
	modules->file_modules[index] = entry->module.id;
	return entry;
}

/* The counts of a file of which one more or one less module is mapped. */
static void count_mapped(struct modules *modules, struct module_file *file, bool mapped)
{
	if (!file->mapped && file->fd >= 0)
		modules->open_unmapped--;
	file->mapped += mapped ? 1 : (u32)-1;
	if (!file->mapped && file->fd >= 0)
		modules->open_unmapped++;
}

static void set_layout(struct entry *entry, const struct module_layout *layout, int fd,
		       const struct map *m)
{
	struct module *module = &entry->module;

	module->start = layout->start;
	module->end = layout->end;
	module->text_start = layout->text_start;
	module->text_end = layout->text_end;
	module->deleted = m->deleted;
	module->fd = layout->is_image ? fd : -1;
	entry->is_image = layout->is_image;
}

/* Notes the module that executable mapping i begins; *end is where it ends. 0 or -ENOMEM. */
static int note_module(struct modules *modules, const struct maps *maps, size_t i,
		       const struct proc_mem *mem, u64 floor, u64 *end, bool *changed)
{
	const struct map *m = &maps->items[i];
	struct module_layout layout;
	struct module_file *file;
	struct entry *entry;
	u32 index, id;
	int rc;

	rc = get_file(modules, m, mem, &index);
	if (rc)
		return rc == -ENOSPC ? 0 : rc;
	file = modules->files[index];
	module_layout_find(maps, i, floor, file->is_elf ? &file->headers : NULL, &layout);
	id = find_entry(modules, index, layout.bias);
	if (!id && modules->n == FRAME_MODULE_MAX)
		return 0;
	entry = id ? modules->entries[id - 1] : add_entry(modules, index, layout.bias, m);
	if (!entry || vec_reserve((void **)&modules->index, &modules->index_cap,
				  modules->n_index + 1, sizeof(*modules->index)))
		return -ENOMEM;
	/* A hostile file may claim two places for one bias: the first one counts. */
	if (entry->seen == modules->update)
		return 0;
	if (!entry->module.mapped) {
		entry->module.mapped = true;
		count_mapped(modules, file, true);
		*changed = true;
	}
	entry->seen = file->last_use = modules->update;
	set_layout(entry, &layout, file->fd, m);
	modules->index[modules->n_index++] = entry->module.id;
	*end = layout.end;
	return 0;
}

static bool may_be_text(const struct map *m)
{
	return m->exec && !m->shared && (m->inode || !strcmp(m->path, "[vdso]"));
}

static void forget_unseen(struct modules *modules, bool *changed)
{
	for (size_t i = 0; i < modules->n; i++) {
		struct entry *entry = modules->entries[i];

		if (!entry->module.mapped || entry->seen == modules->update)
			continue;
		entry->module.mapped = false;
		count_mapped(modules, modules->files[entry->file], false);
		*changed = true;
	}
	while (modules->open_unmapped > UNMAPPED_OPEN_MAX && evict(modules))
		;
}

int modules_update(struct modules *modules, const struct maps *maps, bool *changed, struct err *err)
{
	struct proc_mem mem;
	bool any = false;
	u64 floor = 0;
	int rc = 0;

	/* Without it the vdso and files with an odd device number are read by process_vm_readv. */
	proc_mem_open(&mem, modules->pid, NULL);
	modules->update++;
	modules->n_index = 0;
	for (size_t i = 0; i < maps->n && !rc; i++) {
		if (may_be_text(&maps->items[i]) && maps->items[i].start >= floor)
			rc = note_module(modules, maps, i, &mem, floor, &floor, &any);
	}
	proc_mem_close(&mem);
	if (rc)
		return err_sys(err, -rc, "cannot hold the modules of process %d",
			       (int)modules->pid);
	forget_unseen(modules, &any);
	if (changed)
		*changed = any;
	return 0;
}

u32 modules_count(const struct modules *modules)
{
	return (u32)modules->n;
}

const struct module *modules_get(const struct modules *modules, u32 id)
{
	return id && id <= modules->n ? &modules->entries[id - 1]->module : NULL;
}

const struct module *modules_at(const struct modules *modules, u64 address)
{
	size_t low = 0;
	size_t high = modules->n_index;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (modules_get(modules, modules->index[mid])->end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == modules->n_index)
		return NULL;
	low = modules->index[low];
	return modules_get(modules, (u32)low)->start <= address ? modules_get(modules, (u32)low)
								: NULL;
}
