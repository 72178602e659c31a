// SPDX-License-Identifier: MIT
/*
 * libFuzzer harness for ELF and DWARF. From nothing a fuzzer finds no ELF, so its
 * input is a list of edits to a good one: a byte that chooses the file, then for
 * each edit where (three bytes, relative to the place that the fourth chooses: the
 * file, its section headers or one section) and what (one byte). Input that begins
 * with 0xff is a file of its own.
 *
 *	make fuzz FUZZ=symbols
 */
#include <elf.h>
#include <stdio.h>

#include "tests/symbols_probe.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const char *const names[] = {
	"symbols_names",
	"symbols_lines_dwarf4",
	"symbols_lines_clang",
	"symbols_lines_clang4",
	"symbols_lines_minidebug",
	"symbols_lines_stripped",
	"symbols_lines_compressed",
	"symbols_lines_split",
	"symbols_alt.so",
};

static struct {
	u8 *bytes;
	size_t len;
} bases[ARRAY_SIZE(names)];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)argc;
	(void)argv;
	self[n > 0 ? n : 0] = '\0';
	*(strrchr(self, '/') ? strrchr(self, '/') : self) = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[5000];

		snprintf(path, sizeof(path), "%s/tests/targets/%s", self, names[i]);
		bases[i].bytes = probe_load(path, &bases[i].len);
		if (!bases[i].bytes) {
			fprintf(stderr, "cannot read %s\n", path);
			exit(1);
		}
	}
	return 0;
}

/* The offset of an edit in a good file. */
static size_t place(const u8 *bytes, size_t len, u32 where, u8 kind)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;
	size_t at;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	if (kind < 32)
		return where % len;
	if (kind < 64)
		return (ehdr.e_shoff + where % (ehdr.e_shnum * sizeof(shdr))) % len;
	at = ehdr.e_shoff + kind % ehdr.e_shnum * sizeof(shdr);
	memcpy(&shdr, bytes + at, sizeof(shdr));
	if (shdr.sh_type == SHT_NOBITS || !shdr.sh_size)
		return where % len;
	return (shdr.sh_offset + where % shdr.sh_size) % len;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const u8 *base;
	size_t len;
	u8 *bytes;

	if (!size)
		return 0;
	if (data[0] == 0xff) {
		probe_bytes(data + 1, size - 1);
		return 0;
	}
	base = bases[data[0] % ARRAY_SIZE(bases)].bytes;
	len = bases[data[0] % ARRAY_SIZE(bases)].len;
	bytes = malloc(len);
	memcpy(bytes, base, len);
	for (size_t i = 1; i + 5 <= size; i += 5) {
		u32 where = data[i] | (u32)data[i + 1] << 8 | (u32)data[i + 2] << 16;

		bytes[place(base, len, where, data[i + 3])] = data[i + 4];
	}
	probe_bytes(bytes, len);
	free(bytes);
	return 0;
}
