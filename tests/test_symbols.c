// SPDX-License-Identifier: MIT
/*
 * One program (targets/symbols_lines.c) in every form: where it is loaded, which
 * symbols it has, and the names and lines of addresses in it.
 */
#include "tests/suites.h"
#include "tests/symbols_view.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "symbols/r_debug.h"

/* What can be known of a form. */
#define SYMTAB  0x01 /* names of static functions, by whatever table */
#define LINES   0x02
#define INLINES 0x04
#define NOPIE   0x08
#define LINKER  0x10 /* has a dynamic linker */
#define NOTHING 0x20 /* not even a .dynsym that names our functions */
#define ALL     (SYMTAB | LINES | INLINES)

static const struct form {
	const char *name;
	unsigned int has;
} forms[] = {
	{"pie", ALL | LINKER},
	{"nopie", ALL | LINKER | NOPIE},
	{"static", ALL | NOPIE},
	{"static_pie", ALL},
	{"noseparate", ALL | LINKER},
	{"dwarf4", ALL | LINKER},
	{"dwarf5", ALL | LINKER},
	{"compressed", ALL | LINKER},
	{"zdebug", ALL | LINKER},
	/* The .dwo, which names inlined functions, is never opened. */
	{"split", SYMTAB | LINES | LINKER},
	{"clang", ALL | LINKER},
	{"clang4", ALL | LINKER},
	{"musl", ALL | LINKER},
	{"musl_static", ALL | NOPIE},
	{"exported", ALL | LINKER},
	{"noid", ALL | LINKER},
	{"stripped", LINKER},
	{"minidebug", SYMTAB | LINKER},
	{"linked", ALL | LINKER},
	{"linked_id", ALL | LINKER},
};

static void start_form(struct target *target, const char *name)
{
	char argv0[64];

	snprintf(argv0, sizeof(argv0), "symbols_lines_%s", name);
	target_start(target, WORDS(argv0), NULL);
}

static bool ends_in(const char *text, const char *tail)
{
	size_t len = text ? strlen(text) : 0;

	return len >= strlen(tail) && !strcmp(text + len - strlen(tail), tail);
}

static void assert_frame(const struct symbol_frame *frame, const char *function, u32 line,
			 bool inlined)
{
	ck_assert_str_eq(frame->function, function);
	ck_assert_msg(ends_in(frame->file, "/symbols_lines.c"), "file %s",
		      frame->file ? frame->file : "(none)");
	ck_assert_uint_eq(frame->line, line);
	ck_assert_int_eq(frame->inlined, inlined);
}

/* The frames at the call in inner_inlined. */
static void assert_call(const struct view *view, u64 address, unsigned int has)
{
	const struct symbol_frame *frames;
	size_t n = view_names(view, address, &frames);

	if (has & INLINES) {
		ck_assert_uint_eq(n, 3);
		assert_frame(&frames[0], "inner_inlined", 1000, true);
		assert_frame(&frames[1], "middle_inlined", 2000, true);
		assert_frame(&frames[2], "outer_function", 3000, false);
		return;
	}
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(frames[0].function, "outer_function");
	if (has & LINES)
		assert_frame(&frames[0], "outer_function", 1000, false);
	else
		ck_assert_ptr_null(frames[0].file);
}

struct visited {
	u64 address; /* of outer_function */
	int outer, hidden, internal, versions;
};

static int visit(void *ctx, const struct elf_symbol *symbol)
{
	struct visited *v = ctx;

	if (!strcmp(symbol->name, "outer_function")) {
		v->outer += symbol->address == v->address;
		ck_assert_uint_gt(symbol->size, 0);
	}
	v->hidden += !strcmp(symbol->name, "hidden_function");
	v->internal += !strcmp(symbol->name, "__internal_name");
	v->versions += strchr(symbol->name, '@') != NULL;
	return 0;
}

static void assert_symbols(const struct view *view, const struct places *places, unsigned int has)
{
	const struct module *m = view_main(view);
	struct visited v = {.address = place(places, "outer_function")};

	ck_assert_int_eq(elf_symbols_visit(m, visit, &v), 0);
	ck_assert_int_eq(v.versions, 0);
	ck_assert_int_ge(v.outer, 1);
	ck_assert_int_ge(v.internal, 1);
	ck_assert_int_eq(v.hidden > 0, (has & SYMTAB) != 0);
	ck_assert_str_eq(view_function(view, place(places, "outer_function")), "outer_function");
	ck_assert_str_eq(view_function(view, place(places, "public_name")), "public_name");
	if (has & SYMTAB)
		ck_assert_str_eq(view_function(view, place(places, "hidden_function")),
				 "hidden_function");
	else
		ck_assert_ptr_null(view_function(view, place(places, "hidden_function")));
}

static void assert_placed(const struct view *view, const struct places *places, unsigned int has)
{
	const struct module *m = view_main(view);
	u64 base = place(places, "base");

	ck_assert_uint_eq(m->start, base);
	ck_assert_uint_eq(m->bias, has & NOPIE ? 0 : base);
	ck_assert_uint_ge(place(places, "call"), m->text_start);
	ck_assert_uint_lt(place(places, "call"), m->text_end);
	ck_assert_uint_le(m->text_end, m->end);
	ck_assert_int_ge(m->fd, 0);
	ck_assert(m->mapped && !m->deleted && !m->is_vdso);
	ck_assert_ptr_eq(modules_at(view->modules, place(places, "call")), m);
}

static void assert_linker(const struct view *view, unsigned int has)
{
	struct r_debug_info info;
	const struct module *m;

	ck_assert_int_eq(r_debug_find(view->modules, &view->reader, &info, NULL), 0);
	if (!(has & LINKER)) {
		ck_assert_uint_eq(info.address, 0);
		ck_assert_uint_eq(info.brk, 0);
		return;
	}
	m = modules_at(view->modules, info.brk);
	ck_assert_ptr_nonnull(m);
	ck_assert(!m->is_main);
	ck_assert_uint_eq(elf_symbol_address(m, "_dl_debug_state"), info.brk);
	ck_assert_uint_ne(info.address, 0);
	ck_assert_int_eq(r_debug_state(&info, &view->reader), 0);
}

START_TEST(every_form_of_a_program)
{
	const struct form *form = &forms[_i];
	struct target target;
	struct places places;
	struct view view;

	start_form(&target, form->name);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	assert_placed(&view, &places, form->has);
	assert_symbols(&view, &places, form->has);
	assert_call(&view, place(&places, "call"), form->has);
	assert_linker(&view, form->has);
	view_close(&view);
	target_end(&target);
}
END_TEST

START_TEST(names_are_demangled)
{
	struct target target;
	struct places places;
	struct view view;

	target_start(&target, WORDS("symbols_names"), NULL);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	ck_assert_ptr_eq(strstr(view_function(&view, place(&places, "member")),
				"shop::basket::add(std::vector<std::__cxx11::basic_string<char,"),
			 view_function(&view, place(&places, "member")));
	ck_assert_str_eq(view_function(&view, place(&places, "template")),
			 "long shop::(anonymous namespace)::hidden<long>(long)");
	ck_assert_str_eq(view_function(&view, place(&places, "rust_legacy")), "core::fmt::write");
	ck_assert_str_eq(view_function(&view, place(&places, "rust_v0")), "123foo::bar");
	view_close(&view);
	target_end(&target);
}
END_TEST

/* A program without section headers, as sstrip makes them: e_shoff, e_shnum, e_shstrndx are 0. */
static void drop_sections(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf64_Ehdr ehdr;

	ck_assert_int_eq(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	ehdr.e_shoff = 0;
	ehdr.e_shnum = ehdr.e_shstrndx = 0;
	ck_assert_int_eq(pwrite(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	close(fd);
}

START_TEST(symbols_without_section_headers)
{
	char *dir = make_dir();
	char *path = copy_target("symbols_lines_stripped", dir, "sstripped");
	struct target target;
	struct places places;
	struct view view;

	drop_sections(path);
	start_path(&target, path);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	assert_symbols(&view, &places, 0);
	view_close(&view);
	target_end(&target);
	free(path);
	remove_dir(dir);
}
END_TEST

START_TEST(debug_file_has_to_belong)
{
	char *dir = make_dir();
	char *path = copy_target("symbols_lines_linked", dir, "symbols_lines_linked");
	char *debug = copy_target("symbols_lines_linked.debug", dir, "symbols_lines_linked.debug");
	struct target target;
	struct places places;
	struct view view;
	int fd;

	start_path(&target, path);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	assert_call(&view, place(&places, "call"), ALL);
	view_close(&view);

	/* One byte more: the CRC is another. */
	fd = open(debug, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "", 1), 1);
	close(fd);
	view_open(&view, target.pid);
	ck_assert_ptr_null(view_function(&view, place(&places, "call")));
	view_close(&view);

	/* A FIFO in its place must not be opened, or this never ends. */
	ck_assert_int_eq(unlink(debug), 0);
	ck_assert_int_eq(mkfifo(debug, 0600), 0);
	view_open(&view, target.pid);
	ck_assert_ptr_null(view_function(&view, place(&places, "call")));
	view_close(&view);
	target_end(&target);
	free(path);
	free(debug);
	remove_dir(dir);
}
END_TEST

START_TEST(deleted_program_still_has_names)
{
	char *dir = make_dir();
	char *path = copy_target("symbols_lines_pie", dir, "program");
	struct target target;
	struct places places;
	struct view view;

	if (access("/proc/self/map_files", X_OK) != 0) {
		fprintf(stderr, "skipped: a deleted file can only be opened by root\n");
		remove_dir(dir);
		free(path);
		return;
	}
	start_path(&target, path);
	ck_assert_int_eq(unlink(path), 0);
	places_ask(&places, &target);
	view_open(&view, target.pid);
	ck_assert(view_main(&view)->deleted);
	ck_assert_str_eq(view_main(&view)->path, path);
	assert_call(&view, place(&places, "call"), ALL);
	view_close(&view);
	target_end(&target);
	free(path);
	remove_dir(dir);
}
END_TEST

/* Our own process: every loaded object, as the dynamic linker itself knows it. */
START_TEST(own_functions_have_their_names)
{
	static const char *const names[] = {"malloc", "free",   "calloc", "realloc",
					    "qsort",  "printf", "read",   "pthread_create"};
	struct view view;

	view_open(&view, getpid());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
		void *address = dlsym(libc, names[i]);
		const char *found = view_function(&view, (u64)(uintptr_t)address);

		ck_assert_msg(found && !strcmp(found, names[i]), "%s is called %s", names[i],
			      found ? found : "(nothing)");
		dlclose(libc);
	}
	view_close(&view);
}
END_TEST

START_TEST(unknown_addresses_have_a_frame_without_names)
{
	const struct symbol_frame *frames;
	struct view view;
	size_t n;

	view_open(&view, getpid());
	n = view_names(&view, 0x10, &frames);
	ck_assert_uint_eq(n, 1);
	ck_assert_ptr_null(frames[0].function);
	ck_assert_ptr_null(frames[0].file);
	ck_assert_int_eq(symbolizer_lookup(view.symbolizer, FRAME_CUT_DEPTH, &frames, &n, NULL), 0);
	ck_assert_uint_eq(n, 1);
	/* A module that does not exist, an address outside of its module. */
	ck_assert_int_eq(
		symbolizer_lookup(view.symbolizer, frame_make(60000, 0x1000), &frames, &n, NULL),
		0);
	ck_assert_ptr_null(frames[0].function);
	ck_assert_int_eq(symbolizer_lookup(view.symbolizer, frame_make(1, 0x10), &frames, &n, NULL),
			 0);
	ck_assert_ptr_null(frames[0].function);
	view_close(&view);
}
END_TEST

START_TEST(names_of_the_vdso)
{
	const struct module *vdso;
	struct view view;
	u64 address;

	view_open(&view, getpid());
	vdso = view_module(&view, "[vdso]");
	if (!vdso) {
		fprintf(stderr, "skipped: this kernel maps no vdso\n");
	} else {
		ck_assert(vdso->is_vdso);
		address = elf_symbol_address(vdso, "__vdso_clock_gettime");
		ck_assert_uint_ne(address, 0);
		ck_assert_ptr_nonnull(strstr(view_function(&view, address + 1), "clock_gettime"));
	}
	view_close(&view);
}
END_TEST

Suite *symbols_suite(void)
{
	Suite *suite = suite_create("symbols");
	TCase *tcase = tcase_create("symbols");

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, every_form_of_a_program, 0, ARRAY_SIZE(forms));
	tcase_add_test(tcase, names_are_demangled);
	tcase_add_test(tcase, symbols_without_section_headers);
	tcase_add_test(tcase, debug_file_has_to_belong);
	tcase_add_test(tcase, deleted_program_still_has_names);
	tcase_add_test(tcase, own_functions_have_their_names);
	tcase_add_test(tcase, unknown_addresses_have_a_frame_without_names);
	tcase_add_test(tcase, names_of_the_vdso);
	suite_add_tcase(suite, tcase);
	return suite;
}
