// SPDX-License-Identifier: MIT
#include "symbols/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "proc/target_file.h"
#include "symbols/crc32.h"

#define DEBUG_DIR "/usr/lib/debug"
#define CRC_MAX   (1ULL << 31)

/* What a file has to prove: the build-id, or, if that is empty, the CRC. */
struct proof {
	u8 build_id[MODULE_BUILD_ID_MAX];
	size_t build_id_len;
	u32 crc;
	bool has_crc;
};

static bool has_crc(const struct elf_file *elf, u32 crc)
{
	u32 found;

	return elf->size <= CRC_MAX && !crc32_of_file(elf->fd, &found) && found == crc;
}

static bool proves(const struct elf_file *elf, const struct proof *proof)
{
	u8 id[MODULE_BUILD_ID_MAX];
	size_t len = elf_file_build_id(elf, id, sizeof(id));

	if (len && proof->build_id_len)
		return len == proof->build_id_len && !memcmp(id, proof->build_id, len);
	return proof->has_crc && has_crc(elf, proof->crc);
}

/* Takes fd. */
static int try_fd(struct debug_file *debug, int fd, const char *path, const struct proof *proof)
{
	_cleanup_close_ int guard = fd;

	if (guard < 0 || elf_file_open(&debug->elf, guard))
		return -ENOENT;
	debug->path = proves(&debug->elf, proof) ? strdup(path) : NULL;
	if (debug->path)
		return 0;
	elf_file_close(&debug->elf);
	return -ENOENT;
}

/* path in the target's root, or in ours if on_host. */
static int try_path(struct debug_file *debug, int root_fd, bool on_host, const char *path,
		    const struct proof *proof)
{
	_cleanup_close_ int host = -1;

	if (on_host) {
		host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		root_fd = host;
	}
	debug->on_host = on_host;
	return root_fd < 0 ? -ENOENT : try_fd(debug, target_file_open(root_fd, path), path, proof);
}

static int try_both(struct debug_file *debug, int root_fd, const char *path,
		    const struct proof *proof)
{
	if (!try_path(debug, root_fd, false, path, proof))
		return 0;
	return try_path(debug, root_fd, true, path, proof);
}

static int try_build_id(struct debug_file *debug, int root_fd, const struct proof *proof)
{
	char path[sizeof(DEBUG_DIR "/.build-id//.debug") + 2 * MODULE_BUILD_ID_MAX];
	size_t n;

	if (proof->build_id_len < 2)
		return -ENOENT;
	n = (size_t)sprintf(path, DEBUG_DIR "/.build-id/%02x/", proof->build_id[0]);
	for (size_t i = 1; i < proof->build_id_len; i++)
		n += (size_t)sprintf(path + n, "%02x", proof->build_id[i]);
	strcpy(path + n, ".debug");
	return try_both(debug, root_fd, path, proof);
}

/*
 * .gnu_debuglink: a file name, its NUL, padding to 4 bytes, the CRC. False if
 * it is broken or names a file in another directory.
 */
static bool read_link(const struct elf_file *own, const char **name, u32 *crc)
{
	const Elf_Data *data;
	GElf_Shdr shdr;
	size_t at;

	data = elf_file_data(elf_file_section(own, ".gnu_debuglink", &shdr));
	if (!data || data->d_size < sizeof(*crc))
		return false;
	*name = data->d_buf;
	at = (strnlen(*name, data->d_size) + 4) & ~3UL;
	if (at > data->d_size - sizeof(*crc) || !**name || strchr(*name, '/'))
		return false;
	memcpy(crc, (const u8 *)data->d_buf + at, sizeof(*crc));
	return true;
}

static int try_link(struct debug_file *debug, const struct module *module, const char *name,
		    const struct proof *proof)
{
	static const char *const places[] = {"%.*s/%s", "%.*s/.debug/%s", DEBUG_DIR "%.*s/%s"};
	const char *slash = strrchr(module->path, '/');
	int rc = -ENOENT;

	if (module->path[0] != '/')
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(places) && rc; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, places[i], (int)(slash - module->path), module->path, name) <
		    0) {
			path = NULL;
			return -ENOENT;
		}
		rc = try_both(debug, module->root_fd, path, proof);
	}
	return rc;
}

int debug_file_open(struct debug_file *debug, const struct module *module,
		    const struct elf_file *own)
{
	struct proof proof = {.build_id_len = module->build_id_len};
	const char *name;

	*debug = (struct debug_file){.elf.fd = -1};
	memcpy(proof.build_id, module->build_id, module->build_id_len);
	if (!try_build_id(debug, module->root_fd, &proof))
		return 0;
	proof.has_crc = read_link(own, &name, &proof.crc);
	return proof.has_crc ? try_link(debug, module, name, &proof) : -ENOENT;
}

/* The alt file's name, relative to the file that names it, made a path of the same root. */
static char *alt_path(const char *of, const char *name)
{
	const char *slash = strrchr(of, '/');
	char *path;

	if (name[0] == '/' || !slash)
		return strdup(name);
	return asprintf(&path, "%.*s/%s", (int)(slash - of), of, name) < 0 ? NULL : path;
}

int debug_file_open_alt(struct debug_file *alt, const struct module *module,
			const struct debug_file *of)
{
	_cleanup_free_ char *path = NULL;
	struct proof proof = {0};
	const Elf_Data *data;
	const char *name;
	GElf_Shdr shdr;
	size_t len;

	*alt = (struct debug_file){.elf.fd = -1};
	/* A file name, its NUL, the build-id. */
	data = elf_file_data(elf_file_section(&of->elf, ".gnu_debugaltlink", &shdr));
	if (!data)
		return -ENOENT;
	name = data->d_buf;
	len = strnlen(name, data->d_size);
	if (len == data->d_size || data->d_size - len - 1 > sizeof(proof.build_id) ||
	    data->d_size - len - 1 < 2)
		return -ENOENT;
	proof.build_id_len = data->d_size - len - 1;
	memcpy(proof.build_id, name + len + 1, proof.build_id_len);
	if (!try_build_id(alt, module->root_fd, &proof))
		return 0;
	path = alt_path(of->path, name);
	if (!path)
		return -ENOENT;
	return try_path(alt, module->root_fd, of->on_host, path, &proof);
}

void debug_file_close(struct debug_file *debug)
{
	elf_file_close(&debug->elf);
	free(debug->path);
	debug->path = NULL;
}
