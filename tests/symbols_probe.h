/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_SYMBOLS_PROBE_H
#define MEMATTACH_TESTS_SYMBOLS_PROBE_H

/*
 * Reads a file, whatever is in it, with all that symbols/ has: what the tests with
 * broken files and the fuzzer share. That it comes back is the test.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbols/elf_headers.h"
#include "symbols/elf_symbols.h"
#include "symbols/module_layout.h"
#include "symbols/module_symbols.h"
#include "symbols/string_pool.h"

static inline int probe_visit(void *ctx, const struct elf_symbol *symbol)
{
	u64 *sum = ctx;

	/* Every byte of every name is read, for the sanitizers. */
	*sum += symbol->address + symbol->size + strlen(symbol->name);
	return 0;
}

static inline void probe_frames(struct module_symbols *symbols, u64 address, u64 *sum)
{
	struct symbol_frame *frames;
	int n = module_symbols_find(symbols, address, &frames);

	if (n < 0)
		return;
	for (int i = 0; i < n; i++) {
		*sum += frames[i].function ? strlen(frames[i].function) : 0;
		*sum += frames[i].file ? strlen(frames[i].file) : 0;
		*sum += frames[i].line + frames[i].inlined;
	}
	free(frames);
}

/* Where a mapping of the file's text would put it. */
static inline void probe_layout(int fd)
{
	char path[] = "/x";
	struct map items[] = {
		{.start = 0x400000, .end = 0x401000, .inode = 1, .path = path},
		{.start = 0x401000,
		 .end = 0x402000,
		 .offset = 0x1000,
		 .inode = 1,
		 .exec = true,
		 .path = path},
		{.start = 0x402000, .end = 0x404000, .offset = 0x2000, .inode = 1, .path = path},
	};
	struct maps maps = {.items = items, .n = ARRAY_SIZE(items)};
	struct module_layout layout;
	struct elf_headers headers;
	u8 id[MODULE_BUILD_ID_MAX];

	if (elf_headers_read(&headers, fd))
		return;
	elf_headers_build_id(&headers, fd, id, sizeof(id));
	module_layout_find(&maps, 1, 0x1000, &headers, &layout);
	if (layout.start > items[1].start || layout.end < items[1].start ||
	    layout.text_end > layout.end || layout.text_start < layout.start)
		abort();
	elf_headers_deinit(&headers);
}

/* root_fd is where debug files may be found; -1: nowhere. Returns something that depends on all. */
static inline u64 probe_file(int fd, const char *path, int root_fd)
{
	struct module module = {.id = 1,
				.mapped = true,
				.end = 1 << 30,
				.path = (char *)path,
				.fd = fd,
				.root_fd = root_fd};
	struct string_pool *pool = string_pool_create();
	struct module_symbols *symbols;
	u64 sum = 0;

	probe_layout(fd);
	elf_symbols_visit(&module, probe_visit, &sum);
	sum += elf_symbol_address(&module, "main");
	symbols = pool ? module_symbols_create(&module, pool) : NULL;
	if (symbols) {
		for (u64 address = 0x1000; address < 0x3000; address += 23)
			probe_frames(symbols, address, &sum);
		for (u64 address = 0x401000; address < 0x403000; address += 23)
			probe_frames(symbols, address, &sum);
	}
	module_symbols_destroy(symbols);
	string_pool_destroy(pool);
	return sum;
}

/* The same for bytes in memory. */
static inline u64 probe_bytes(const void *bytes, size_t len)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	u64 sum;

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	sum = probe_file(fd, "/nonexistent/probe", -1);
	close(fd);
	return sum;
}

/* A whole file, malloc'ed; NULL if it cannot be read. */
static inline u8 *probe_load(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	u8 *bytes = NULL;

	*len = 0;
	if (fd >= 0 && fstat(fd, &st) == 0) {
		*len = (size_t)st.st_size;
		bytes = malloc(*len);
		if (bytes && read(fd, bytes, *len) != (ssize_t)*len) {
			free(bytes);
			bytes = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return bytes;
}

#endif
