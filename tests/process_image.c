// SPDX-License-Identifier: MIT
#include "tests/process_image.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a over the bytes of a mapping; 0 if they cannot be read ([vsyscall]). */
static uint64_t hash_memory(int mem, unsigned long start, unsigned long end)
{
	static unsigned char buf[65536];
	uint64_t hash = 0xcbf29ce484222325ULL;

	while (start < end) {
		size_t n = end - start < sizeof(buf) ? end - start : sizeof(buf);
		ssize_t got = pread(mem, buf, n, (off_t)start);

		if (got <= 0)
			return 0;
		for (ssize_t i = 0; i < got; i++)
			hash = (hash ^ buf[i]) * 0x100000001b3ULL;
		start += (unsigned long)got;
	}
	return hash;
}

static FILE *open_of(pid_t pid, const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "cannot read %s: the target is gone", path);
	return f;
}

/* 7f21a3c00000-7f21a3c28000 r-xp 00026000 fe:00 1234   /usr/lib/x86_64-linux-gnu/libc.so.6 */
static void write_maps(FILE *out, pid_t pid, bool heap)
{
	FILE *maps = open_of(pid, "maps");
	char line[4352], path[64], rights[8];
	unsigned long start, end;
	int mem, name;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(mem, 0);
	while (fgets(line, sizeof(line), maps)) {
		ck_assert_int_eq(
			sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &start, &end, rights, &name), 3);
		if (!heap && rights[2] != 'x' && line[name] != '/')
			continue;
		fputs(line, out);
		if (rights[2] == 'x')
			fprintf(out, "  code %016llx\n",
				(unsigned long long)hash_memory(mem, start, end));
	}
	close(mem);
	fclose(maps);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return atoi((*a)->d_name) - atoi((*b)->d_name);
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void write_fds(FILE *out, pid_t pid)
{
	struct dirent **entries;
	char path[320], to[512];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	n = scandir(path, &entries, no_dots, by_name);
	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		ssize_t size;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entries[i]->d_name);
		size = readlink(path, to, sizeof(to) - 1);
		to[size > 0 ? size : 0] = '\0';
		fprintf(out, "fd %s %s\n", entries[i]->d_name, to);
		free(entries[i]);
	}
	free(entries);
}

static void write_threads(FILE *out, pid_t pid)
{
	static const char *const fields[] = {"TracerPid", "SigPnd", "ShdPnd",
					     "SigBlk",    "SigIgn", "SigCgt"};
	struct dirent **entries;
	char path[320], line[512];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	n = scandir(path, &entries, no_dots, by_name);
	ck_assert_int_ge(n, 0);
	for (int i = 0; i < n; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "task/%s/status", entries[i]->d_name);
		f = open_of(pid, path);
		while (fgets(line, sizeof(line), f))
			for (size_t j = 0; j < sizeof(fields) / sizeof(fields[0]); j++)
				if (strncmp(line, fields[j], strlen(fields[j])) == 0)
					fprintf(out, "thread %s %s", entries[i]->d_name, line);
		fclose(f);
		free(entries[i]);
	}
	free(entries);
}

char *process_image(pid_t pid, bool heap)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(out);
	write_maps(out, pid, heap);
	write_fds(out, pid);
	write_threads(out, pid);
	fclose(out);
	return text;
}

void assert_same_image(char *before, char *after)
{
	char *a = before, *b = after;

	while (*a || *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		if (n != m || strncmp(a, b, n) != 0)
			ck_abort_msg("the target is not as it was: \"%.*s\" became \"%.*s\"",
				     (int)n, a, (int)m, b);
		a += n + (a[n] == '\n');
		b += m + (b[m] == '\n');
	}
	free(before);
	free(after);
}
