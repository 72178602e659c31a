// SPDX-License-Identifier: MIT
/* The parts of the text report that need no capture: names, blame, figures, escapes, lines. */
#include <string.h>

#include "base/escape.h"
#include "report/blame.h"
#include "report/figures.h"
#include "report/line.h"
#include "report/names.h"
#include "tests/suites.h"

START_TEST(names_are_taken_apart)
{
	static const struct {
		const char *function, *qualified, *last, *compact;
	} cases[] = {
		{"main", "main", "main", "main"},
		{"", "", "", ""},
		{"operator new[](unsigned long)", "operator new[]", "operator new[]",
		 "operator new[]"},
		{"void a::V<int, b::A<int> >::f<int const&>(int*, int const&)",
		 "a::V<int, b::A<int> >::f<int const&>", "f", "a::V<>::f<>"},
		{"x::(anonymous namespace)::B::g(int) const", "x::(anonymous namespace)::B::g", "g",
		 "x::B::g"},
		{"F::operator<(F const&) const", "F::operator<", "operator<", "F::operator<"},
		{"F::operator()(int) const", "F::operator()", "operator()", "F::operator()"},
		{"F::operator bool() const", "F::operator bool", "operator bool",
		 "F::operator bool"},
		{"main::{lambda(int)#1}::operator()(int) const",
		 "main::{lambda(int)#1}::operator()", "operator()",
		 "main::{lambda(int)#1}::operator()"},
		{"<alloc::vec::Vec<T> as core::Drop>::drop",
		 "<alloc::vec::Vec<T> as core::Drop>::drop", "drop",
		 "<alloc::vec::Vec<> as core::Drop>::drop"},
		{"decltype(auto) foo(int)", "foo", "foo", "foo"},
		{"f(int) [clone .isra.0]", "f", "f", "f"},
		{"f(int)::L::g()", "f(int)::L::g", "g", "f(int)::L::g"},
		{"foo [clone .cold]", "foo", "foo", "foo"},
		{"a<b", "a<b", "a", "a<>"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct span name = names_qualified(cases[i].function);
		struct span last = names_last(name);
		char compact[64];

		names_compact(cases[i].function, compact, sizeof(compact));
		ck_assert_msg(name.n == strlen(cases[i].qualified) &&
				      !memcmp(name.s, cases[i].qualified, name.n),
			      "%s: %.*s", cases[i].function, (int)name.n, name.s);
		ck_assert_msg(last.n == strlen(cases[i].last) &&
				      !memcmp(last.s, cases[i].last, last.n),
			      "%s: %.*s", cases[i].function, (int)last.n, last.s);
		ck_assert_str_eq(compact, cases[i].compact);
	}
	ck_assert_str_eq(names_tail("/a/b/c.c"), "b/c.c");
	ck_assert_str_eq(names_tail("../b/c.c"), "b/c.c");
	ck_assert_str_eq(names_tail("./c.c"), "c.c");
	ck_assert_str_eq(names_tail("c.c"), "c.c");
	ck_assert_str_eq(names_base(NULL), "");
}
END_TEST

START_TEST(allocators_and_libraries_are_not_guilty)
{
	static const struct {
		const char *function, *module, *file;
		enum blame_class class;
	} cases[] = {
		{"malloc", NULL, NULL, BLAME_ALLOCATOR},
		{"operator new(unsigned long, std::align_val_t)", NULL, NULL, BLAME_ALLOCATOR},
		{"je_malloc_default", "/usr/bin/x", NULL, BLAME_ALLOCATOR},
		{NULL, "/usr/lib/libjemalloc.so.2", NULL, BLAME_ALLOCATOR},
		{"fopen64", "/lib/libc.so.6", NULL, BLAME_LIBRARY},
		{NULL, "/lib/ld-musl-x86_64.so.1", NULL, BLAME_LIBRARY},
		{"std::vector<int>::push_back(int const&)", "/usr/bin/x", NULL, BLAME_LIBRARY},
		{"grow", "/usr/bin/x", "/usr/include/c++/12/bits/vector.tcc", BLAME_LIBRARY},
		{"alloc::raw_vec::RawVec<T,A>::grow", "/usr/bin/x", NULL, BLAME_LIBRARY},
		{"xmalloc", "/usr/bin/x", NULL, BLAME_LIBRARY},
		{"PyMem_RawMalloc", "/usr/bin/python3.11", NULL, BLAME_LIBRARY},
		{"Foo::operator new(unsigned long)", "/usr/bin/x", NULL, BLAME_USER},
		{"session_open", "/usr/bin/x", NULL, BLAME_USER},
		{"mi_player_open", "/usr/bin/x", NULL, BLAME_USER},
		{"curl_easy_init", "/usr/lib/libcurl.so.4", NULL, BLAME_USER},
		{NULL, "/usr/bin/x", NULL, BLAME_USER},
		{NULL, NULL, NULL, BLAME_USER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct capture_frame frame = {.function = (char *)cases[i].function,
					      .module = (char *)cases[i].module,
					      .file = (char *)cases[i].file};

		ck_assert_msg(blame_classify(&frame) == cases[i].class, "case %zu: %s", i,
			      cases[i].function ? cases[i].function : "(none)");
	}
}
END_TEST

START_TEST(a_stack_of_libraries_only_has_a_guilty_one_too)
{
	u32 frames[] = {0, 1, 2, 1};
	u8 libraries[] = {BLAME_ALLOCATOR, BLAME_LIBRARY, BLAME_LIBRARY};
	u8 users[] = {BLAME_ALLOCATOR, BLAME_LIBRARY, BLAME_USER};
	u8 allocators[] = {BLAME_ALLOCATOR, BLAME_ALLOCATOR, BLAME_ALLOCATOR};
	struct capture_stack stack = {frames, 4, CAPTURE_WHOLE};

	ck_assert_uint_eq(blame_stack(users, &stack).guilty, 2);
	ck_assert_uint_eq(blame_stack(users, &stack).via, 1);
	ck_assert_uint_eq(blame_stack(libraries, &stack).guilty, 1);
	ck_assert_uint_eq(blame_stack(libraries, &stack).via, BLAME_NONE);
	ck_assert_uint_eq(blame_stack(allocators, &stack).guilty, 3);
	stack.n = 0;
	ck_assert_uint_eq(blame_stack(users, &stack).guilty, BLAME_NONE);
}
END_TEST

START_TEST(figures_have_signs_and_limits)
{
	char text[UNITS_MAX];

	ck_assert_str_eq(figures_growth(text, 0), "0 B");
	ck_assert_str_eq(figures_growth(text, 1536), "+1.5 KiB");
	ck_assert_str_eq(figures_growth(text, -1536), "-1.5 KiB");
	ck_assert_str_eq(figures_growth(text, INT64_MIN), "-8.0 EiB");
	ck_assert_str_eq(figures_percent(text, 1, 0), "-");
	ck_assert_str_eq(figures_percent(text, 0, 5), "0.0 %");
	ck_assert_str_eq(figures_percent(text, 1, 100000), "<0.1 %");
	ck_assert_str_eq(figures_percent(text, 99999, 100000), ">99.9 %");
	ck_assert_str_eq(figures_percent(text, 7, 7), "100.0 %");
}
END_TEST

START_TEST(characters_are_decoded_strictly)
{
	u32 c;

	ck_assert_uint_eq(utf8_decode("\xf4\x8f\xbf\xbf", 4, &c), 4);
	ck_assert_uint_eq(c, 0x10ffff);
	ck_assert_uint_eq(utf8_decode("\xf4\x90\x80\x80", 4, &c), 0);
	ck_assert_uint_eq(utf8_decode("\xe0\x9f\xbf", 3, &c), 0);
	ck_assert_uint_eq(utf8_decode("\xed\xbf\xbf", 3, &c), 0);
	ck_assert_uint_eq(utf8_decode("\xc3\xa9", 1, &c), 0);
	ck_assert_uint_eq(utf8_decode("\x80", 1, &c), 0);
	ck_assert(utf8_is_hostile(0x2066) && utf8_is_hostile(0x9b) && utf8_is_hostile(0));
	ck_assert(!utf8_is_hostile('~') && !utf8_is_hostile(0xe9) && !utf8_is_hostile(0xa0));
}
END_TEST

START_TEST(long_names_lose_their_middle)
{
	struct line line;

	line_init(&line, false);
	line_add_short(&line, "abcdefghijklmnop", 16, 10);
	ck_assert_uint_eq(line.columns, 10);
	ck_assert_int_eq(strncmp(line.text, "abcd...nop", 10), 0);
	line.n = line.columns = 0;
	/* Wide characters and escapes are not cut in two. */
	line_add_short(&line, "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\x1b",
		       16, 10);
	ck_assert_uint_le(line.columns, 10);
	ck_assert_int_eq(strncmp(line.text, "\xe6\xbc\xa2\xe6\xbc\xa2...", 9), 0);
	line_deinit(&line);
}
END_TEST

Suite *names_suite(void)
{
	Suite *suite = suite_create("names");
	TCase *tcase = tcase_create("names");

	tcase_add_test(tcase, names_are_taken_apart);
	tcase_add_test(tcase, allocators_and_libraries_are_not_guilty);
	tcase_add_test(tcase, a_stack_of_libraries_only_has_a_guilty_one_too);
	tcase_add_test(tcase, figures_have_signs_and_limits);
	tcase_add_test(tcase, characters_are_decoded_strictly);
	tcase_add_test(tcase, long_names_lose_their_middle);
	suite_add_tcase(suite, tcase);
	return suite;
}
