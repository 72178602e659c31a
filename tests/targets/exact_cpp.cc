// SPDX-License-Identifier: MIT
/*
 * Like exact.c, through every form of operator new and delete. Sizes are never
 * 0, since operator new may ask malloc for 1 byte then; aligned ones are whole
 * multiples of the alignment, since it may round them up. None fails: the
 * exception behind that is an allocation at the same site.
 */
#include <cstdlib>
#include <new>

#include "engine.h"
#include "talk.h"

/* A nothrow or sized delete of a plain new is right, whatever gcc thinks. */
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

#define ALIGNMENT std::align_val_t(64)

/* The functions of one set. EXPRESSION allocates *asked bytes. */
#define SITE(name, set, SIZE, EXPRESSION)                                                          \
	NOINLINE static void *site_##name##_##set(size_t size, size_t *asked)                      \
	{                                                                                          \
		*asked = SIZE;                                                                     \
		void *p = EXPRESSION;                                                              \
		KEEP(p);                                                                           \
		return p;                                                                          \
	}
#define SITES(name, SIZE, EXPRESSION)                                                              \
	SITE(name, a, SIZE, EXPRESSION)                                                            \
	SITE(name, b, SIZE, EXPRESSION)

#define PLAIN   size + 1
#define ALIGNED (size + 64) & ~(size_t)63

SITES(malloc, size, std::malloc(*asked))
SITES(new, PLAIN, ::operator new(*asked))
SITES(new_array, PLAIN, ::operator new[](*asked))
SITES(new_nothrow, PLAIN, ::operator new(*asked, std::nothrow))
SITES(new_array_nothrow, PLAIN, ::operator new[](*asked, std::nothrow))
SITES(new_aligned, ALIGNED, ::operator new(*asked, ALIGNMENT))
SITES(new_array_aligned, ALIGNED, ::operator new[](*asked, ALIGNMENT))
SITES(new_aligned_nothrow, ALIGNED, ::operator new(*asked, ALIGNMENT, std::nothrow))
SITES(new_array_aligned_nothrow, ALIGNED, ::operator new[](*asked, ALIGNMENT, std::nothrow))
SITES(expression, PLAIN, new char[*asked])

static void delete_plain(void *p, size_t)
{
	::operator delete(p);
}

static void delete_sized(void *p, size_t asked)
{
	::operator delete(p, asked);
}

static void delete_nothrow(void *p, size_t)
{
	::operator delete(p, std::nothrow);
}

static void delete_array(void *p, size_t)
{
	::operator delete[](p);
}

static void delete_array_sized(void *p, size_t asked)
{
	::operator delete[](p, asked);
}

static void delete_array_nothrow(void *p, size_t)
{
	::operator delete[](p, std::nothrow);
}

static void delete_aligned(void *p, size_t)
{
	::operator delete(p, ALIGNMENT);
}

static void delete_array_aligned(void *p, size_t asked)
{
	::operator delete[](p, asked, ALIGNMENT);
}

static void delete_aligned_sized(void *p, size_t asked)
{
	::operator delete(p, asked, ALIGNMENT);
}

static void delete_array_aligned_nothrow(void *p, size_t)
{
	::operator delete[](p, ALIGNMENT, std::nothrow);
}

static void delete_expression(void *p, size_t)
{
	delete[] static_cast<char *>(p);
}

#define KIND(name, truth, release, fails)                                                          \
	{                                                                                          \
		{"site_" #name "_a", "site_" #name "_b"}, truth,                                   \
			{site_##name##_a, site_##name##_b}, {nullptr, nullptr}, release, fails     \
	}

extern const struct kind engine_kinds[] = {
	KIND(malloc, TRUTH_DIRECT, nullptr, true),
	KIND(new, TRUTH_THROUGH, delete_plain, false),
	KIND(new, TRUTH_THROUGH, delete_sized, false),
	KIND(new_array, TRUTH_THROUGH, delete_array, false),
	KIND(new_array, TRUTH_THROUGH, delete_array_sized, false),
	KIND(new_nothrow, TRUTH_THROUGH, delete_nothrow, false),
	KIND(new_array_nothrow, TRUTH_THROUGH, delete_array_nothrow, false),
	KIND(new_aligned, TRUTH_THROUGH, delete_aligned, false),
	KIND(new_aligned, TRUTH_THROUGH, delete_aligned_sized, false),
	KIND(new_array_aligned, TRUTH_THROUGH, delete_array_aligned, false),
	KIND(new_aligned_nothrow, TRUTH_THROUGH, delete_aligned, false),
	KIND(new_array_aligned_nothrow, TRUTH_THROUGH, delete_array_aligned_nothrow, false),
	KIND(expression, TRUTH_THROUGH, delete_expression, false),
	{{nullptr, nullptr}, TRUTH_DIRECT, {nullptr, nullptr}, {nullptr, nullptr}, nullptr, false},
};

int main(int argc, char **argv)
{
	return engine_main(argc, argv);
}
