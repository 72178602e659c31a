// SPDX-License-Identifier: MIT
/* Files that a hostile target could have: they may yield nothing, but no crash, hang or flood. */
#include "tests/suites.h"
#include "tests/symbols_probe.h"
#include "tests/symbols_view.h"

#include <elf.h>

#include "symbols/demangle.h"
#include "symbols/line_header.h"
#include "symbols/note.h"

static const char *const bases[] = {
	"targets/symbols_names",
	"targets/symbols_lines_dwarf4",
	"targets/symbols_lines_clang",
	"targets/symbols_lines_compressed",
	"targets/symbols_lines_musl_static",
	"targets/symbols_lines_minidebug",
	"targets/symbols_lines_stripped",
	"targets/symbols_lines_split",
};

static u8 *load_base(const char *name, size_t *len)
{
	char *path = build_path(name);
	u8 *bytes = probe_load(path, len);

	ck_assert_msg(bytes != NULL, "cannot read %s", path);
	free(path);
	return bytes;
}

/* xorshift64 (Marsaglia): the same mutations in every run. */
static u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

START_TEST(truncated_at_every_512_bytes)
{
	size_t len;
	u8 *bytes = load_base(bases[_i], &len);

	for (size_t n = 0; n < len; n += 512)
		probe_bytes(bytes, n);
	free(bytes);
}
END_TEST

/* A place to break: anywhere, or, more telling, in the headers or a section that matters. */
static size_t choose_place(const u8 *bytes, size_t len, u64 *random)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;
	u64 r = next_random(random);
	size_t at;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	switch (r % 4) {
	case 0:
		return (r >> 8) % len;
	case 1:
		return (r >> 8) % 1024;
	case 2:
		at = ehdr.e_shoff + (r >> 8) % (ehdr.e_shnum * sizeof(shdr));
		return at < len ? at : 0;
	default:
		at = ehdr.e_shoff + (r >> 8) % ehdr.e_shnum * sizeof(shdr);
		memcpy(&shdr, bytes + at, sizeof(shdr));
		if (shdr.sh_type == SHT_NOBITS || !shdr.sh_size)
			return (r >> 24) % len;
		return shdr.sh_offset + (r >> 24) % shdr.sh_size;
	}
}

START_TEST(broken_bytes)
{
	u64 random = 0x9e3779b97f4a7c15ULL + (u64)_i;
	size_t len;
	u8 *bytes = load_base(bases[_i], &len);
	u8 *broken = malloc(len);

	for (int round = 0; round < 150; round++) {
		memcpy(broken, bytes, len);
		for (u64 n = 1 + next_random(&random) % 12; n; n--) {
			size_t at = choose_place(bytes, len, &random);

			broken[at] = (u8)(next_random(&random) >> 16);
		}
		probe_bytes(broken, len);
	}
	/* Unbroken it does have names, or this tests nothing. */
	ck_assert_uint_gt(probe_bytes(bytes, len), 0);
	free(broken);
	free(bytes);
}
END_TEST

START_TEST(claims_without_bound)
{
	size_t len;
	u8 *bytes = load_base(bases[0], &len);
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	for (size_t i = 0; i < ehdr.e_shnum; i++) {
		u8 *at = bytes + ehdr.e_shoff + i * sizeof(shdr);
		Elf64_Shdr good;

		memcpy(&good, at, sizeof(good));
		for (int what = 0; what < 6; what++) {
			shdr = good;
			shdr.sh_size = what == 0   ? UINT64_MAX
				       : what == 1 ? 1ULL << 40
						   : shdr.sh_size;
			shdr.sh_entsize = what == 2 ? 0 : shdr.sh_entsize;
			shdr.sh_link = what == 3 ? 0xffff : shdr.sh_link;
			shdr.sh_offset = what == 4 ? UINT64_MAX - 8 : shdr.sh_offset;
			shdr.sh_flags |= what == 5 ? SHF_COMPRESSED : 0;
			memcpy(at, &shdr, sizeof(shdr));
			probe_bytes(bytes, len);
		}
		memcpy(at, &good, sizeof(good));
	}
	/* A number of sections that libelf would make room for: 2^40. */
	ehdr.e_shnum = 0;
	memcpy(bytes, &ehdr, sizeof(ehdr));
	memcpy(&shdr, bytes + ehdr.e_shoff, sizeof(shdr));
	shdr.sh_size = 1ULL << 40;
	memcpy(bytes + ehdr.e_shoff, &shdr, sizeof(shdr));
	probe_bytes(bytes, len);
	free(bytes);
}
END_TEST

/* A sparse file of 64 GiB, most of it "symbols". */
START_TEST(sparse_file)
{
	size_t len;
	u8 *bytes = load_base(bases[0], &len);
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	Elf64_Ehdr ehdr;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	for (size_t i = 0; i < ehdr.e_shnum; i++) {
		Elf64_Shdr *shdr = (Elf64_Shdr *)(void *)(bytes + ehdr.e_shoff) + i;

		if (shdr->sh_type == SHT_SYMTAB || shdr->sh_type == SHT_PROGBITS)
			shdr->sh_size = 60ULL << 30;
	}
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	ck_assert_int_eq(ftruncate(fd, 64L << 30), 0);
	probe_file(fd, "/nonexistent/probe", -1);
	close(fd);
	free(bytes);
}
END_TEST

/* The name of another file in a .gnu_debugaltlink is bait: a FIFO that nobody writes to. */
START_TEST(no_file_that_dwarf_names_is_opened)
{
	char *dir = make_dir();
	char *built = copy_target("symbols_alt.so", dir, "alt.so");
	char fifo[128], link[128], section[256];
	size_t len;
	u8 *bytes;
	FILE *f;

	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	snprintf(link, sizeof(link), "%s/link", dir);
	f = fopen(link, "we");
	ck_assert_int_eq(fprintf(f, "%s%c%s", fifo, 0, "01234567890123456789"),
			 (int)strlen(fifo) + 21);
	ck_assert_int_eq(fclose(f), 0);
	snprintf(section, sizeof(section), ".gnu_debugaltlink=%s", link);
	run(WORDS("objcopy", "--add-section", section, built));
	bytes = probe_load(built, &len);
	ck_assert_uint_gt(probe_bytes(bytes, len), 0);
	free(bytes);
	free(built);
	remove_dir(dir);
}
END_TEST

START_TEST(names_that_explode)
{
	char name[4200] = "_Z1f";
	char out[1024];
	size_t n = strlen(name);

	/* Each argument is a pair of the one before: 2^n characters. */
	n += (size_t)sprintf(name + n, "1AIiiE");
	for (int i = 0; i < 60; i++)
		n += (size_t)sprintf(name + n, "1AIS%c_S%c_E",
				     "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i % 36],
				     "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i % 36]);
	demangle(name, n, out, sizeof(out));
	/* Nested as deep as it goes, and longer than is read at all. */
	memset(name, 'P', sizeof(name));
	memcpy(name, "_Z1f", 4);
	name[4000] = 'i';
	demangle(name, 4001, out, sizeof(out));
	ck_assert_uint_eq(demangle(name, 4200, out, sizeof(out)), 0);
	ck_assert_uint_eq(demangle("_Z1fi", 5, out, 4), 0);
	ck_assert_uint_eq(demangle("_Z1fi", 5, out, sizeof(out)), 6);
	ck_assert_str_eq(out, "f(int)");
	ck_assert_uint_eq(demangle("main", 4, out, sizeof(out)), 0);
	memset(name, 'B', sizeof(name));
	memcpy(name, "_RNvC", 5);
	demangle(name, 4000, out, sizeof(out));
}
END_TEST

/* DWARF 5: one directory of 2000 bytes, count files in it. */
static size_t make_line_header(u8 *out, u32 count)
{
	size_t n = 4;

	memcpy(out + n, "\5\0\10\0\0\0\0\0\1\1\1\373\16\15", 14);
	n += 14;
	memcpy(out + n, "\0\1\1\1\1\0\0\0\1\0\0\1", 12); /* standard_opcode_lengths */
	n += 12;
	memcpy(out + n, "\1\1\10\1", 4); /* one format: path, string; one directory */
	n += 4;
	memset(out + n, 'd', 2000);
	n += 2000;
	out[n++] = 0;
	memcpy(out + n, "\1\1\10", 3);
	n += 3;
	for (u32 rest = count; rest || n == 0; rest >>= 7)
		out[n++] = (u8)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
	memset(out + n, 0, count);
	n += count;
	count = (u32)(n - 4);
	memcpy(out, &count, 4);
	return n;
}

START_TEST(line_tables_that_explode)
{
	u8 *bytes = malloc(4 << 20);
	struct dwarf_section none = {0};
	struct dwarf_section line = {.bytes = bytes};

	line.n = make_line_header(bytes, 100);
	ck_assert(line_header_is_sane(&line, &none, &none, 0, 10));
	/* 3 MB that would become 12 GB of names. */
	line.n = make_line_header(bytes, 3000000);
	ck_assert(!line_header_is_sane(&line, &none, &none, 0, 10));
	line.n = make_line_header(bytes, 100);
	for (size_t cut = 0; cut < line.n; cut++) {
		struct dwarf_section part = {bytes, cut};

		ck_assert(!line_header_is_sane(&part, &none, &none, 0, 0));
	}
	ck_assert(!line_header_is_sane(&line, &none, &none, line.n, 0));
	ck_assert(!line_header_is_sane(&line, &none, &none, UINT64_MAX, 0));
	free(bytes);
}
END_TEST

START_TEST(notes_that_lie)
{
	u32 note[6] = {4, 4, NT_GNU_BUILD_ID, 0x554e47, 0x04030201, 0};
	u8 id[32];

	ck_assert_uint_eq(note_build_id((u8 *)note, 20, 4, id, sizeof(id)), 4);
	ck_assert_int_eq(id[0], 1);
	ck_assert_uint_eq(note_build_id((u8 *)note, 19, 4, id, sizeof(id)), 0);
	ck_assert_uint_eq(note_build_id((u8 *)note, 20, 4, id, 3), 0);
	for (int i = 0; i < 2; i++) {
		note[0] = i ? 4 : UINT32_MAX;
		note[1] = i ? UINT32_MAX : 4;
		ck_assert_uint_eq(note_build_id((u8 *)note, 20, 4, id, sizeof(id)), 0);
	}
	ck_assert_uint_eq(note_build_id((u8 *)note, 0, 8, id, sizeof(id)), 0);
}
END_TEST

Suite *symbols_hostile_suite(void)
{
	Suite *suite = suite_create("symbols_hostile");
	TCase *tcase = tcase_create("symbols_hostile");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, truncated_at_every_512_bytes, 0, ARRAY_SIZE(bases));
	tcase_add_loop_test(tcase, broken_bytes, 0, ARRAY_SIZE(bases));
	tcase_add_test(tcase, claims_without_bound);
	tcase_add_test(tcase, sparse_file);
	tcase_add_test(tcase, no_file_that_dwarf_names_is_opened);
	tcase_add_test(tcase, names_that_explode);
	tcase_add_test(tcase, line_tables_that_explode);
	tcase_add_test(tcase, notes_that_lie);
	suite_add_tcase(suite, tcase);
	return suite;
}
