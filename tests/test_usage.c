// SPDX-License-Identifier: MIT
/* proc/usage: memory by kind, cgroup limits, figures in words. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/units.h"
#include "proc/available.h"
#include "proc/cgroup.h"
#include "proc/smaps.h"
#include "proc/stack_pointers.h"
#include "proc/waiting.h"
#include "proc/usage.h"
#include "tests/forked.h"
#include "tests/put_file.h"
#include "tests/suites.h"

#define MIB (1UL << 20)
#define KIB 1024UL

static const char smaps_sample[] =
	"55d745a24000-55d745a26000 r--p 00000000 fe:00 247134           /usr/bin/cat\n"
	"Size:                  8 kB\nRss:                   8 kB\nPss:                   3 kB\n"
	"Swap:                  1 kB\nSwapPss:               1 kB\nVmFlags: rd mr mw me \n"
	"55d746000000-55d746100000 rw-p 00000000 00:00 0                [heap]\n"
	"Rss:                 100 kB\nPss:                 100 kB\n"
	"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \n"
	"Rss:                 200 kB\nPss:                 200 kB\n"
	"7f0000200000-7f0000300000 rw-p 00000000 00:00 0                [anon:Rss: 9 kB]\n"
	"Rss:                 300 kB\nPss:                 300 kB\n"
	"7f0000400000-7f0000500000 rw-s 00000000 00:01 2061             /dev/zero (deleted)\n"
	"Rss:                 400 kB\nPss:                 200 kB\n"
	"7f0000600000-7f0000700000 rw-p 00000000 00:00 0 \n"
	"Rss:                 500 kB\nPss:                 500 kB\n"
	"7ffc6f11e000-7ffc6f13f000 rw-p 00000000 00:00 0                [stack]\n"
	"Rss:                 600 kB\nPss:                 600 kB\n"
	"7ffc6f1b6000-7ffc6f1b8000 r-xp 00000000 00:00 0                [vdso]\n"
	"Rss:                   4 kB\nPss:                   0 kB\nSwap:                  9 kB";

static void assert_sample(const struct smaps_totals *t)
{
	ck_assert_uint_eq(t->mappings, 8);
	ck_assert_uint_eq(t->rss, 2112 * KIB);
	ck_assert_uint_eq(t->pss, 1903 * KIB);
	ck_assert_uint_eq(t->swap, 10 * KIB);
	ck_assert_uint_eq(t->file, 12 * KIB);
	ck_assert_uint_eq(t->heap, 100 * KIB);
	ck_assert_uint_eq(t->anonymous, 500 * KIB);
	ck_assert_uint_eq(t->shared, 400 * KIB);
	ck_assert_uint_eq(t->stack, 1100 * KIB);
}

START_TEST(smaps_of_a_sample)
{
	static const u64 pointers[] = {0x1000, 0x7f0000600000, 0x7ffc6f130000};
	const size_t len = strlen(smaps_sample);
	struct smaps_parser parser;

	/* In pieces of every size, that cut lines anywhere. */
	for (size_t step = 1; step <= len; step += step < 100 ? 1 : 97) {
		smaps_init(&parser, pointers, ARRAY_SIZE(pointers));
		for (size_t at = 0; at < len; at += step)
			smaps_feed(&parser, smaps_sample + at, len - at < step ? len - at : step);
		smaps_finish(&parser);
		assert_sample(&parser.totals);
	}
}
END_TEST

static void feed(struct smaps_parser *parser, const char *text)
{
	smaps_feed(parser, text, strlen(text));
}

START_TEST(smaps_of_garbage)
{
	static const u64 pointer = 0x20000000;
	struct smaps_parser parser;
	char name[3000];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	smaps_init(&parser, &pointer, 1);
	feed(&parser, "Rss: 7 kB\n\n\nRss:\nzzz\n1-2\n3-4 r\n5-6 r--p 0 0\nRss: 1 kB\n");
	ck_assert_uint_eq(parser.totals.rss, 8 * KIB);
	ck_assert_uint_eq(parser.totals.mappings, 0);
	/* A name longer than a line may be: the figures behind it still count. */
	feed(&parser, "1000-2000 r--p 0 00:00 7 /");
	feed(&parser, name);
	feed(&parser, "\nRss: 16 kB\n");
	ck_assert_uint_eq(parser.totals.file, 16 * KIB);
	/* Too big to be a thread's stack. */
	feed(&parser, "10000000-90000000 rw-p 0 00:00 0\nRss: 32 kB\n");
	ck_assert_uint_eq(parser.totals.anonymous, 32 * KIB);
	/* An end before its start. */
	feed(&parser, "20000001-10000000 rw-p 0 00:00 0\nRss: 32 kB\n");
	ck_assert_uint_eq(parser.totals.anonymous, 64 * KIB);
	/* Sums stay at the top, and do not wrap. */
	feed(&parser, "Rss: 18446744073709551615 kB\nRss: 1 kB\nRss: 99999999999999999999 kB\n");
	ck_assert_uint_eq(parser.totals.rss, UINT64_MAX);
	smaps_finish(&parser);
}
END_TEST

START_TEST(smaps_rollup_has_no_kinds)
{
	struct smaps_totals totals;

	ck_assert_int_eq(smaps_read(&totals, getpid(), "smaps_rollup", NULL, 0, NULL), 0);
	ck_assert_uint_gt(totals.rss, 0);
	ck_assert_uint_gt(totals.pss, 0);
	ck_assert_uint_eq(totals.heap + totals.anonymous + totals.stack + totals.file, 0);
}
END_TEST

START_TEST(stack_pointer_of_samples)
{
	static const char call[] = "232 0x4 0x7ffd2a1c3e50 0x40 0xffffffff 0x0 0x8 0x7ffd2a1c3e08 "
				   "0x7f2b1c0de4b6\n";
	static const char *const none[] = {"running\n", "", "-1", "0x", "0x1", "0 0x0 0xz"};
	u64 pointer = 0;

	ck_assert(stack_pointer_parse(call, strlen(call), &pointer));
	ck_assert_uint_eq(pointer, 0x7ffd2a1c3e08);
	ck_assert(stack_pointer_parse("-1 0x10 0x20", 12, &pointer));
	ck_assert_uint_eq(pointer, 0x10);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		ck_assert(!stack_pointer_parse(none[i], strlen(none[i]), &pointer));
}
END_TEST

/* Of that file what tells where a thread waits, and in which call. */
START_TEST(where_a_thread_waits)
{
	static const char call[] = "58 0x4111 0x2 0x3 0x4 0x5 0x6 0x7ffd2a1c3e08 0x7f2b1c0de4b6\n";
	static const char fault[] = "-1 0x10 0x20\n";
	struct proc_waiting w;

	ck_assert_int_eq(proc_waiting_parse(&w, call, strlen(call)), 0);
	ck_assert_int_eq(w.number, 58);
	ck_assert_uint_eq(w.argument, 0x4111);
	ck_assert_uint_eq(w.sp, 0x7ffd2a1c3e08);
	ck_assert_uint_eq(w.pc, 0x7f2b1c0de4b6);
	ck_assert_int_eq(proc_waiting_parse(&w, fault, strlen(fault)), 0);
	ck_assert_int_eq(w.number, -1);
	ck_assert_uint_eq(w.sp, 0x10);
	ck_assert_uint_eq(w.pc, 0x20);
	ck_assert_int_eq(proc_waiting_parse(&w, "running\n", 8), -EAGAIN);
	/* Cut off anywhere before the last number it is refused. */
	for (size_t len = 0; len < strlen(call) - strlen("7f2b1c0de4b6\n"); len++)
		ck_assert_int_eq(proc_waiting_parse(&w, call, len), -EINVAL);
}
END_TEST

#define HEAP_SIZE      (3 * MIB)
#define ANONYMOUS_SIZE (6 * MIB)
#define SHARED_SIZE    (5 * MIB)
#define FILE_SIZE      (4 * MIB)
#define STACK_SIZE     (2 * MIB)

static void *map_touched(size_t size, int flags, int fd)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		_exit(1);
	memset(p, 1, size);
	return p;
}

static void *thread_with_big_stack(void *arg)
{
	char on_stack[STACK_SIZE];

	/* explicit_bzero is never left out, though nobody reads it. */
	explicit_bzero(on_stack, sizeof(on_stack));
	forked_pause(arg);
	return NULL;
}

static void body_every_kind(struct forked_side *side)
{
	pthread_t thread;
	char *heap;
	int fd;

	forked_pause(side);
	heap = sbrk(HEAP_SIZE);
	memset(heap, 1, HEAP_SIZE);
	map_touched(ANONYMOUS_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map_touched(SHARED_SIZE, MAP_SHARED | MAP_ANONYMOUS, -1);
	fd = open(side->arg, O_RDWR);
	if (fd < 0 || ftruncate(fd, FILE_SIZE) != 0)
		_exit(1);
	map_touched(FILE_SIZE, MAP_PRIVATE, fd);
	if (pthread_create(&thread, NULL, thread_with_big_stack, side) != 0)
		_exit(1);
	pthread_join(thread, NULL);
}

/* More by size, and at most what else a process may do meanwhile. */
static void assert_grew(u64 before, u64 after, u64 size, const char *what)
{
	ck_assert_msg(after >= before + size && after <= before + size + MIB,
		      "%s grew by %llu, not %llu bytes", what, (unsigned long long)(after - before),
		      (unsigned long long)size);
}

/* The byte of forked_pause came; its thread is now on its way to sleep, where its stack shows. */
static void await_sleep(pid_t pid)
{
	u64 *pointers;
	size_t n;

	do {
		ck_assert_int_eq(stack_pointers_read(pid, &pointers, &n), 0);
		free(pointers);
		sched_yield();
	} while (n != 2);
}

START_TEST(usage_by_kind)
{
	char path[] = "/tmp/memattach-test-XXXXXX";
	struct proc_usage before, after;
	struct err err = ERR_INIT;
	struct forked child;
	u64 sum;
	int fd = mkstemp(path);

	forked_start(&child, body_every_kind, path);
	forked_await(&child);
	ck_assert_msg(proc_usage_read(&before, child.pid, &err) == 0, "%s", err.msg);
	forked_go(&child);
	forked_await(&child);
	await_sleep(child.pid);
	ck_assert_msg(proc_usage_read(&after, child.pid, &err) == 0, "%s", err.msg);
	ck_assert(!after.estimated);
	assert_grew(before.heap_rss, after.heap_rss, HEAP_SIZE, "heap");
	assert_grew(before.anonymous_rss, after.anonymous_rss, ANONYMOUS_SIZE, "anonymous");
	assert_grew(before.shared_rss, after.shared_rss, SHARED_SIZE, "shared");
	assert_grew(before.file_rss, after.file_rss, FILE_SIZE, "file");
	assert_grew(before.stack_rss, after.stack_rss, STACK_SIZE, "stack");
	sum = after.heap_rss + after.anonymous_rss + after.shared_rss + after.file_rss +
	      after.stack_rss;
	ck_assert_uint_le(sum, after.rss + MIB);
	ck_assert_uint_ge(sum + MIB, after.rss);
	ck_assert_uint_ge(after.pss, HEAP_SIZE + ANONYMOUS_SIZE + SHARED_SIZE);
	ck_assert_uint_eq(after.threads, 2);
	forked_end(&child);
	ck_assert_int_eq(proc_usage_read(&after, child.pid, &err), -ESRCH);
	close(fd);
	unlink(path);
}
END_TEST

static struct cgroup_place place;

static int parse_path(const char *text)
{
	memset(&place, 0, sizeof(place));
	return cgroup_parse_path(&place, text, strlen(text));
}

START_TEST(cgroup_paths)
{
	ck_assert_int_eq(parse_path("0::/user.slice/a:b\n"), 0);
	ck_assert(!place.v1);
	ck_assert_str_eq(place.path, "/user.slice/a:b");
	/* Both versions: memory is where a line names it. */
	ck_assert_int_eq(parse_path("4:memory:/m\n1:name=systemd:/s\n0::/u\n"), 0);
	ck_assert(place.v1);
	ck_assert_str_eq(place.path, "/m");
	ck_assert_int_eq(parse_path("0::/u\n7:cpu,memory,pids:/m"), 0);
	ck_assert(place.v1);
	ck_assert_int_eq(parse_path("5:xmemory,memoryx:/m\n0::/u\n"), 0);
	ck_assert(!place.v1);
	ck_assert_int_eq(parse_path("1:name=systemd:/\n"), -ENOENT);
	ck_assert_int_eq(parse_path(""), -ENOENT);
	ck_assert_int_eq(parse_path("0\n0:\n:::\nx::/\n"), -ENOENT);
}
END_TEST

static int parse_mount(bool v1)
{
	static const char text[] =
		"22 1 0:20 / /proc rw - proc proc rw,memory\n"
		"broken line\n"
		"31 30 0:28 / /sys/fs/cgroup rw shared:9 master:2 - tmpfs tmpfs rw\n"
		"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,xmemory\n"
		"35 31 0:32 /docker/abc /sys/fs/cg\\040roup/memory rw shared:1 - cgroup cgroup "
		"rw,memory\n"
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n";

	place.v1 = v1;
	return cgroup_parse_mount(&place, text, strlen(text));
}

START_TEST(cgroup_mounts)
{
	ck_assert_int_eq(parse_mount(true), 0);
	ck_assert_str_eq(place.mount_root, "/docker/abc");
	ck_assert_str_eq(place.mount_dir, "/sys/fs/cg roup/memory");
	ck_assert_int_eq(parse_mount(false), 0);
	ck_assert_str_eq(place.mount_root, "/");
	ck_assert_str_eq(place.mount_dir, "/sys/fs/cgroup/unified");
	ck_assert_int_eq(cgroup_parse_mount(&place, "", 0), -ENOENT);
}
END_TEST

static const char *directory(const char *root, const char *path)
{
	static char dir[PATH_MAX];

	strcpy(place.mount_dir, "/m");
	strcpy(place.mount_root, root);
	strcpy(place.path, path);
	return cgroup_directory(&place, dir, sizeof(dir)) == 0 ? dir : NULL;
}

START_TEST(cgroup_directories)
{
	ck_assert_str_eq(directory("/", "/a/b"), "/m/a/b");
	ck_assert_str_eq(directory("/", "/"), "/m");
	ck_assert_str_eq(directory("/docker/x", "/docker/x"), "/m");
	ck_assert_str_eq(directory("/docker/x", "/docker/x/y"), "/m/y");
	ck_assert_str_eq(directory("/", "/a..b/..c/d.."), "/m/a..b/..c/d..");
	ck_assert_ptr_null(directory("/docker/x", "/docker/xy"));
	ck_assert_ptr_null(directory("/docker/x", "/"));
	/* Outside of our cgroup namespace. */
	ck_assert_ptr_null(directory("/", "/.."));
	ck_assert_ptr_null(directory("/", "/../../etc"));
	ck_assert_ptr_null(directory("/", "/a/../b"));
	ck_assert_ptr_null(directory("/", "a"));
	ck_assert_ptr_null(directory("/", ""));
}
END_TEST

START_TEST(available)
{
	u64 bytes = available_memory();
	struct rlimit before, limit;

	ck_assert_uint_eq(available_parse("MemTotal: 9 kB\nMemAvailable:    1234 kB\n"),
			  1234 * 1024);
	ck_assert_uint_eq(available_parse("MemTotal: 9 kB\n"), 0);
	ck_assert_uint_eq(available_parse("MemAvailable: lots\n"), 0);
	ck_assert_uint_gt(bytes, 0);
	ck_assert_uint_le(bytes, (u64)sysconf(_SC_PHYS_PAGES) * (u64)sysconf(_SC_PAGESIZE));
	/* A sanitizer's own needs are beyond any limit. */
#ifndef __SANITIZE_ADDRESS__
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	limit = (struct rlimit){bytes / 2, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_uint_le(available_memory(), bytes / 2);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
#else
	(void)before;
	(void)limit;
#endif
}
END_TEST

/* Page cache is given up before anything is killed; usage may be past the limit already. */
START_TEST(available_in_a_cgroup)
{
	static const struct {
		struct cgroup_memory cgroup;
		u64 address_space, left;
	} cases[] = {
		{{0, 0, 0}, RLIM_INFINITY, 1000},
		{{0, 900, 100}, RLIM_INFINITY, 1000},
		{{500, 200, 0}, RLIM_INFINITY, 300},
		{{500, 200, 50}, RLIM_INFINITY, 350},
		{{500, 200, 300}, RLIM_INFINITY, 500},
		{{5000, 200, 0}, RLIM_INFINITY, 1000},
		{{500, 500, 0}, RLIM_INFINITY, 0},
		{{500, 600, 50}, RLIM_INFINITY, 0},
		{{500, 600, 150}, RLIM_INFINITY, 50},
		{{500, 200, 0}, 299, 299},
		{{0, 0, 0}, 700, 700},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(available_within(1000, &cases[i].cgroup, cases[i].address_space) ==
				      cases[i].left,
			      "case %zu", i);
}
END_TEST

START_TEST(cgroup_limits_v2)
{
	char top[] = "/tmp/memattach-test-XXXXXX", a[64], b[64];
	struct cgroup_memory m;

	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(a, sizeof(a), "%s/a", top);
	snprintf(b, sizeof(b), "%s/a/b", top);
	ck_assert_int_eq(mkdir(a, 0755), 0);
	ck_assert_int_eq(mkdir(b, 0755), 0);
	put_file(b, "memory.max", "max\n");
	put_file(b, "memory.current", "4000\n");
	cgroup_read_limits(&m, top, b, false);
	ck_assert_uint_eq(m.limit, 0);
	ck_assert_uint_eq(m.usage, 0);
	/* The limit is further up, and the use is counted there. */
	put_file(a, "memory.max", "10000\n");
	put_file(a, "memory.current", "9500\n");
	put_file(a, "memory.stat", "anon 1\nfile 2\ninactive_file 3000\nactive_file 4\n");
	cgroup_read_limits(&m, top, b, false);
	ck_assert_uint_eq(m.limit, 10000);
	ck_assert_uint_eq(m.usage, 9500);
	ck_assert_uint_eq(m.cache, 3000);
	/* The lowest counts, wherever it is. */
	put_file(b, "memory.max", "5000\n");
	cgroup_read_limits(&m, top, b, false);
	ck_assert_uint_eq(m.limit, 5000);
	ck_assert_uint_eq(m.usage, 4000);
	ck_assert_uint_eq(m.cache, 0);
	put_file(top, "memory.max", "3000\n");
	cgroup_read_limits(&m, top, b, false);
	ck_assert_uint_eq(m.limit, 3000);
	/* Not a step above the mount. */
	cgroup_read_limits(&m, a, b, false);
	ck_assert_uint_eq(m.limit, 5000);
	cgroup_read_limits(&m, "/elsewhere", b, false);
	ck_assert_uint_eq(m.limit, 0);
	drop_file(b, "memory.max");
	drop_file(b, "memory.current");
	drop_file(top, "a/b");
	drop_file(a, "memory.max");
	drop_file(a, "memory.current");
	drop_file(a, "memory.stat");
	drop_file(top, "a");
	drop_file(top, "memory.max");
	drop_file(top, "");
}
END_TEST

START_TEST(cgroup_limits_v1)
{
	char top[] = "/tmp/memattach-test-XXXXXX";
	struct cgroup_memory m;

	ck_assert_ptr_nonnull(mkdtemp(top));
	put_file(top, "memory.limit_in_bytes", "9223372036854771712\n");
	put_file(top, "memory.usage_in_bytes", "123\n");
	cgroup_read_limits(&m, top, top, true);
	ck_assert_uint_eq(m.limit, 0);
	put_file(top, "memory.limit_in_bytes", "1048576\n");
	put_file(top, "memory.stat", "inactive_file 5\ntotal_inactive_file 999999\n");
	cgroup_read_limits(&m, top, top, true);
	ck_assert_uint_eq(m.limit, 1048576);
	ck_assert_uint_eq(m.usage, 123);
	/* More cache than use, as when the files were read at two times: no more than all of it. */
	ck_assert_uint_eq(m.cache, 123);
	drop_file(top, "memory.limit_in_bytes");
	drop_file(top, "memory.usage_in_bytes");
	drop_file(top, "memory.stat");
	drop_file(top, "");
}
END_TEST

START_TEST(units_for_people)
{
	char t[UNITS_MAX];

	ck_assert_str_eq(units_bytes(t, 0), "0 B");
	ck_assert_str_eq(units_bytes(t, 1023), "1023 B");
	ck_assert_str_eq(units_bytes(t, 1024), "1.0 KiB");
	ck_assert_str_eq(units_bytes(t, 1536), "1.5 KiB");
	ck_assert_str_eq(units_bytes(t, 1023 * KIB + 1000), "1.0 MiB");
	ck_assert_str_eq(units_bytes(t, 340 * MIB), "340 MiB");
	ck_assert_str_eq(units_bytes(t, UINT64_MAX), "16.0 EiB");
	ck_assert_str_eq(units_count(t, 0), "0");
	ck_assert_str_eq(units_count(t, 999), "999");
	ck_assert_str_eq(units_count(t, 1000), "1,000");
	ck_assert_str_eq(units_count(t, 1234567), "1,234,567");
	ck_assert_str_eq(units_count(t, UINT64_MAX), "18,446,744,073,709,551,615");
	ck_assert_str_eq(units_seconds(t, 0.3), "0.3 s");
	ck_assert_str_eq(units_seconds(t, -1), "0.0 s");
	ck_assert_str_eq(units_seconds(t, 42), "42 s");
	ck_assert_str_eq(units_seconds(t, 300), "5 min");
	ck_assert_str_eq(units_seconds(t, 12000), "3 h 20 min");
	ck_assert_str_eq(units_seconds(t, 4 * 86400), "4 days");
	ck_assert_str_eq(units_seconds(t, 1e300), "an age");
}
END_TEST

Suite *usage_suite(void)
{
	Suite *suite = suite_create("usage");
	TCase *tcase = tcase_create("usage");

	tcase_add_test(tcase, smaps_of_a_sample);
	tcase_add_test(tcase, smaps_of_garbage);
	tcase_add_test(tcase, smaps_rollup_has_no_kinds);
	tcase_add_test(tcase, stack_pointer_of_samples);
	tcase_add_test(tcase, where_a_thread_waits);
	tcase_add_test(tcase, usage_by_kind);
	tcase_add_test(tcase, cgroup_paths);
	tcase_add_test(tcase, cgroup_mounts);
	tcase_add_test(tcase, cgroup_directories);
	tcase_add_test(tcase, available);
	tcase_add_test(tcase, available_in_a_cgroup);
	tcase_add_test(tcase, cgroup_limits_v2);
	tcase_add_test(tcase, cgroup_limits_v1);
	tcase_add_test(tcase, units_for_people);
	suite_add_tcase(suite, tcase);
	return suite;
}
