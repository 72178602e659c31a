// SPDX-License-Identifier: MIT
/* The table of modules against what the dynamic linker and the kernel say themselves. */
#include "tests/suites.h"
#include "tests/symbols_view.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "proc/target_file.h"
#include "symbols/r_debug.h"

static int check_loaded(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const struct view *view = ctx;
	const struct module *m;
	u64 low = UINT64_MAX;
	u64 high = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD)
			continue;
		low = p->p_vaddr < low ? p->p_vaddr : low;
		high = p->p_vaddr + p->p_memsz > high ? p->p_vaddr + p->p_memsz : high;
	}
	m = modules_at(view->modules, info->dlpi_addr + low);
	ck_assert_msg(m != NULL, "%s is no module", info->dlpi_name);
	ck_assert_uint_eq(m->bias, info->dlpi_addr);
	ck_assert_uint_eq(m->start, info->dlpi_addr + (low & ~4095UL));
	ck_assert_uint_eq(m->end, info->dlpi_addr + ((high + 4095) & ~4095UL));
	ck_assert_int_ge(m->fd, 0);
	ck_assert_int_eq(m->is_main, !info->dlpi_name[0]);
	return 0;
}

START_TEST(own_modules_are_those_of_the_linker)
{
	struct view view;

	view_open(&view, getpid());
	dl_iterate_phdr(check_loaded, &view);
	ck_assert(!view_update(&view));
	view_close(&view);
}
END_TEST

static u64 ask_address(struct target *target, const char *command, const char *path)
{
	target_say(target, "%s %s", command, path);
	return strtoul(target_hear(target), NULL, 16);
}

START_TEST(reloaded_module_keeps_its_id)
{
	char *lib = build_path("targets/symbols_lib.so");
	struct target target;
	struct view view;
	u32 id = 0, count = 0;

	target_start(&target, WORDS("symbols_loader"), NULL);
	view_open(&view, target.pid);
	for (int i = 0; i < 50; i++) {
		u64 address = ask_address(&target, "open", lib);
		const struct module *m;

		ck_assert(view_update(&view));
		m = modules_at(view.modules, address);
		ck_assert_ptr_nonnull(m);
		ck_assert_ptr_eq(m, view_module(&view, "/symbols_lib.so"));
		ck_assert(m->mapped);
		ck_assert_str_eq(view_function(&view, address), "lib_function");
		if (i == 1)
			count = modules_count(view.modules);
		id = m->id;
		target_ask(&target, "close", "0");
		ck_assert(view_update(&view));
		ck_assert(!modules_get(view.modules, id)->mapped);
		ck_assert_int_ge(modules_get(view.modules, id)->fd, 0);
		ck_assert_ptr_null(modules_at(view.modules, address));
	}
	/* Wherever it came to lie: one id for each place. */
	ck_assert_uint_eq(modules_count(view.modules), count);
	view_close(&view);
	target_end(&target);
	free(lib);
}
END_TEST

/* Many files one after the other: only so many descriptors are kept, and no id is lost. */
START_TEST(descriptors_are_bounded)
{
	const int n = 540;
	char *dir = make_dir();
	char *lib = copy_target("symbols_lib.so", dir, "lib.so");
	struct target target;
	char path[128];
	struct view view;
	u32 first = 0;
	int open_files = 0;

	target_start(&target, WORDS("symbols_loader"), NULL);
	view_open(&view, target.pid);
	for (int i = 0; i <= n; i++) {
		const struct module *m;
		u64 address;

		/* The last one is the first again. */
		snprintf(path, sizeof(path), "%s/lib%d.so", dir, i % n);
		ck_assert(i == n || link(lib, path) == 0);
		address = ask_address(&target, "open", path);
		view_update(&view);
		m = modules_at(view.modules, address);
		ck_assert(m && m->fd >= 0);
		ck_assert_str_eq(m->path, path);
		first = i ? first : m->id;
		/* The kernel gave it the same place, or else it is rightly another module. */
		if (i == n && m->start == modules_get(view.modules, first)->start)
			ck_assert_uint_eq(m->id, first);
		target_ask(&target, "close", "0");
		view_update(&view);
	}
	for (u32 id = first; id <= modules_count(view.modules); id++)
		open_files += modules_get(view.modules, id)->fd >= 0;
	ck_assert_int_eq(open_files, 512);
	view_close(&view);
	target_end(&target);
	free(lib);
	remove_dir(dir);
}
END_TEST

/* A new file of that name, and, the second time, the old one written anew. */
START_TEST(replaced_file_is_a_new_module)
{
	char *dir = make_dir();
	char *lib = copy_target("symbols_lib.so", dir, "lib.so");
	struct target target;
	struct view view;
	u32 first;

	target_start(&target, WORDS("symbols_loader"), NULL);
	view_open(&view, target.pid);
	ask_address(&target, "open", lib);
	view_update(&view);
	first = view_module(&view, "/lib.so")->id;
	ck_assert(_i == 1 || unlink(lib) == 0);
	ck_assert(!view_update(&view));
	ck_assert_int_eq(modules_get(view.modules, first)->deleted, _i == 0);
	target_ask(&target, "close", "0");
	view_update(&view);
	free(lib);
	lib = copy_target("symbols_lib.so", dir, "lib.so");
	ask_address(&target, "open", lib);
	ck_assert(view_update(&view));
	ck_assert_uint_ne(view_module(&view, "/lib.so")->id, first);
	ck_assert(!modules_get(view.modules, first)->mapped);
	view_close(&view);
	target_end(&target);
	free(lib);
	remove_dir(dir);
}
END_TEST

START_TEST(two_copies_are_two_modules)
{
	char *lib = build_path("targets/symbols_lib.so");
	const struct module *a, *b;
	struct target target;
	struct view view;
	u64 first, second;

	target_start(&target, WORDS("symbols_loader"), NULL);
	first = ask_address(&target, "open", lib);
	second = ask_address(&target, "new", lib);
	view_open(&view, target.pid);
	a = modules_at(view.modules, first);
	b = modules_at(view.modules, second);
	ck_assert(a && b && a != b);
	ck_assert_uint_eq(first - a->bias, second - b->bias);
	ck_assert_uint_ne(a->bias, b->bias);
	ck_assert_str_eq(a->path, b->path);
	ck_assert_str_eq(view_function(&view, first), "lib_function");
	ck_assert_str_eq(view_function(&view, second), "lib_function");
	view_close(&view);
	target_end(&target);
	free(lib);
}
END_TEST

START_TEST(shared_text_is_no_module)
{
	char *lib = build_path("targets/symbols_lib.so");
	struct target target;
	struct view view;
	u64 address;

	target_start(&target, WORDS("symbols_loader"), NULL);
	address = ask_address(&target, "shared", lib);
	view_open(&view, target.pid);
	ck_assert_ptr_null(modules_at(view.modules, address));
	ck_assert_ptr_null(view_module(&view, "/symbols_lib.so"));
	view_close(&view);
	target_end(&target);
	free(lib);
}
END_TEST

START_TEST(garbage_is_a_module_without_file)
{
	char *dir = make_dir();
	const struct module *m;
	struct target target;
	struct view view;
	char path[128];
	u64 address;
	FILE *f;

	snprintf(path, sizeof(path), "%s/garbage", dir);
	f = fopen(path, "we");
	for (int i = 0; i < 10000; i++)
		fputc(i * 7, f);
	fclose(f);
	target_start(&target, WORDS("symbols_loader"), NULL);
	address = ask_address(&target, "text", path);
	view_open(&view, target.pid);
	m = modules_at(view.modules, address + 5000);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(m->fd, -1);
	ck_assert_str_eq(m->path, path);
	ck_assert_uint_eq(m->start, address);
	ck_assert_ptr_null(view_function(&view, address + 100));
	target_ask(&target, "unmap", "0");
	ck_assert(view_update(&view));
	ck_assert_ptr_null(modules_at(view.modules, address));
	view_close(&view);
	target_end(&target);
	remove_dir(dir);
}
END_TEST

/* At the stop behind execve the dynamic linker is mapped and has not run: r_debug is zero. */
START_TEST(linker_before_it_has_run)
{
	char *path = target_program("symbols_lines_pie");
	struct r_debug_info info;
	struct view view;
	int status;
	pid_t pid;

	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
			execl(path, path, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSTOPPED(status));
	view_open(&view, pid);
	ck_assert_int_eq(r_debug_find(view.modules, &view.reader, &info, NULL), 0);
	ck_assert_uint_ne(info.brk, 0);
	ck_assert(!modules_at(view.modules, info.brk)->is_main);
	ck_assert(view_main(&view)->mapped);
	view_close(&view);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	free(path);
}
END_TEST

/*
 * A chroot'ed program, stripped, whose debug file is in its root; in the second
 * round that root is a tmpfs in a mount namespace of its own, where only
 * /proc/PID/root leads.
 */
START_TEST(other_root_and_namespace)
{
	static const char script[] =
		"set -e; dir=$1; program=$2; [ \"$3\" = 0 ] || mount -t tmpfs none $dir\n"
		"id=$(readelf -n $program | sed -n 's/.*Build ID: //p')\n"
		"place=$dir/usr/lib/debug/.build-id/$(echo $id | cut -c1-2); mkdir -p $place\n"
		"objcopy --only-keep-debug $program $place/$(echo $id | cut -c3-).debug\n"
		"strip -s -o $dir/program $program; exec chroot $dir /program\n";
	char *path = target_program("symbols_lines_static");
	const struct symbol_frame *frames;
	char *dir = make_dir();
	struct target target;
	struct places places;
	struct view view;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: only root can chroot\n");
	} else {
		target_run(
			&target,
			WORDS("unshare", "-m", "sh", "-c", script, "sh", dir, path, _i ? "1" : "0"),
			NULL);
		target_expect(&target, "ready");
		places_ask(&places, &target);
		view_open(&view, target.pid);
		ck_assert_str_eq(view_main(&view)->path, "/program");
		ck_assert_int_ge(view_main(&view)->fd, 0);
		ck_assert_uint_eq(view_names(&view, place(&places, "call"), &frames), 3);
		ck_assert_str_eq(frames[2].function, "outer_function");
		ck_assert_uint_eq(frames[0].line, 1000);
		view_close(&view);
		target_end(&target);
	}
	free(path);
	remove_dir(dir);
}
END_TEST

/* Without the capability that map_files needs, files are opened by name. */
START_TEST(unprivileged_by_name)
{
	char *built = target_program("symbols_lines_pie");
	const struct module *m;
	struct target target;
	struct places places;
	struct view view;
	char *dir, *path;

	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	if (access(built, R_OK) != 0) {
		fprintf(stderr, "skipped: user nobody cannot read %s\n", built);
		free(built);
		return;
	}
	free(built);
	dir = make_dir();
	path = copy_target("symbols_lines_pie", dir, "program");
	start_path(&target, path);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	m = view_main(&view);
	ck_assert_int_ge(m->fd, 0);
	ck_assert_str_eq(m->path, path);
	ck_assert_str_eq(view_function(&view, place(&places, "call")), "outer_function");
	ck_assert_int_ge(view_module(&view, "/libc.so.6")->fd, 0);
	view_close(&view);

	/* Another file has taken its name: neither is read. */
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	path = copy_target("symbols_lines_nopie", dir, "program");
	view_open(&view, target.pid);
	m = modules_at(view.modules, place(&places, "call"));
	ck_assert_ptr_nonnull(m);
	ck_assert(m->deleted);
	ck_assert_int_eq(m->fd, -1);
	ck_assert_str_eq(m->path, path);
	view_close(&view);
	target_end(&target);
	free(path);
	remove_dir(dir);
}
END_TEST

START_TEST(names_stay_inside_the_root)
{
	char *dir = make_dir();
	char path[128];
	int root, fd;

	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(symlinkat("/etc/passwd", root, "absolute"), 0);
	ck_assert_int_eq(symlinkat("../../../../etc/passwd", root, "relative"), 0);
	ck_assert_int_eq(symlinkat("/inside", root, "good"), 0);
	ck_assert_int_eq(mkfifoat(root, "fifo", 0600), 0);
	ck_assert_int_eq(mkdirat(root, "dir", 0700), 0);
	snprintf(path, sizeof(path), "%s/inside", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ck_assert_int_eq(target_file_open(root, "/absolute"), -ENOENT);
	ck_assert_int_eq(target_file_open(root, "/relative"), -ENOENT);
	ck_assert_int_eq(target_file_open(root, "/../../../etc/passwd"), -ENOENT);
	ck_assert_int_eq(target_file_open(root, "/fifo"), -EINVAL);
	ck_assert_int_eq(target_file_open(root, "/dir"), -EINVAL);
	ck_assert_int_eq(target_file_open(-1, "/inside"), -EBADF);
	fd = target_file_open(root, "/good");
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	close(root);
	remove_dir(dir);
}
END_TEST

Suite *modules_suite(void)
{
	Suite *suite = suite_create("modules");
	TCase *tcase = tcase_create("modules");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, own_modules_are_those_of_the_linker);
	tcase_add_test(tcase, reloaded_module_keeps_its_id);
	tcase_add_test(tcase, descriptors_are_bounded);
	tcase_add_loop_test(tcase, replaced_file_is_a_new_module, 0, 2);
	tcase_add_test(tcase, two_copies_are_two_modules);
	tcase_add_test(tcase, shared_text_is_no_module);
	tcase_add_test(tcase, garbage_is_a_module_without_file);
	tcase_add_test(tcase, linker_before_it_has_run);
	tcase_add_loop_test(tcase, other_root_and_namespace, 0, 2);
	tcase_add_test(tcase, unprivileged_by_name);
	tcase_add_test(tcase, names_stay_inside_the_root);
	suite_add_tcase(suite, tcase);
	return suite;
}
