// SPDX-License-Identifier: MIT
#include "tests/orphans.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/process_image.h"

/* Of an area: all of it, and what is executable of it if the last page is not. */
#define AREA_SIZE 0x80000UL
#define AREA_CODE 0x7f000UL

pid_t orphans_find(pid_t parent, pid_t other)
{
	char path[64];
	pid_t found = 0;
	FILE *f;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "no %s", path);
	while (!found && fscanf(f, "%d", &pid) == 1)
		if (pid != other)
			found = pid;
	fclose(f);
	return found;
}

/* A header that was never written: memattach was killed just behind the mmap that it made in the target. */
static bool is_blank(pid_t pid, unsigned long start)
{
	char path[64], bytes[64] = {0}, zero[64] = {0};
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(mem, 0);
	ck_assert_int_eq(pread(mem, bytes, sizeof(bytes), (off_t)start), (ssize_t)sizeof(bytes));
	close(mem);
	return memcmp(bytes, zero, sizeof(bytes)) == 0;
}

int orphans_count_traces(pid_t pid, int *blank)
{
	char path[64], line[4352], rights[8];
	unsigned long start, end, inode;
	int found = 0;
	FILE *maps;

	*blank = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	ck_assert_msg(maps != NULL, "the target is gone");
	while (fgets(line, sizeof(line), maps)) {
		found += strstr(line, "/memfd:memattach") != NULL;
		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &start, &end, rights, &inode) != 4 ||
		    strcmp(rights, "r-xp") != 0 || inode || end - start < AREA_CODE)
			continue;
		if (is_blank(pid, start))
			(*blank)++;
		else
			found++;
	}
	fclose(maps);
	return found;
}

bool orphans_has_traces(pid_t pid)
{
	int blank;

	return orphans_count_traces(pid, &blank) > 0;
}

void orphans_forget(struct memattach *m)
{
	char path[400];
	struct dirent *entry;
	DIR *dir = opendir(m->dir);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", m->dir, entry->d_name);
		unlink(path);
	}
	if (dir)
		closedir(dir);
	m->pid = 0;
	memattach_cleanup(m);
}

void orphans_adopt(void)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
}

/* None of ours: LeakSanitizer's tracer, which looks for leaks at exit, found memattach dead. */
#ifdef __SANITIZE_ADDRESS__
#define LEAK_CHECK_ALONE 4
#else
#define LEAK_CHECK_ALONE -1
#endif

void orphans_await(const struct target *target)
{
	pid_t orphan;

	while ((orphan = orphans_find(getpid(), target->pid))) {
		/* memattach kills its guardian when all is done, and was killed then itself. */
		int status = wait_end(orphan);

		if (WIFEXITED(status) && WEXITSTATUS(status) == LEAK_CHECK_ALONE)
			continue;
		ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
				      (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL),
			      "an orphan of memattach ended with wait status %#x; the target: %s",
			      (unsigned int)status, status_field(target->pid, "State"));
	}
	assert_untraced(target->pid);
	ck_assert_msg(!orphans_has_traces(target->pid), "memory of ours was left in the target");
}

void orphans_kill(const struct target *target)
{
	pid_t orphan;

	while ((orphan = orphans_find(getpid(), target->pid))) {
		kill(orphan, SIGKILL);
		wait_end(orphan);
	}
}

char *orphans_image(const struct target *target)
{
	char *text = process_image(target->pid, false), *line = text, *out = text;
	unsigned long start, end;
	int code = 0;

	while (*line) {
		size_t n = strcspn(line, "\n") + 1;
		bool ours = sscanf(line, "%lx-%lx r-xp 00000000 00:00 0 %n", &start, &end, &code) ==
				    2 &&
			    code && end - start == AREA_SIZE && is_blank(target->pid, start);

		/* The line behind it is the hash of its code. */
		if (ours)
			n += strcspn(line + n, "\n") + 1;
		else
			memmove(out, line, n);
		out += ours ? 0 : n;
		line += n;
		code = 0;
	}
	*out = '\0';
	return text;
}
