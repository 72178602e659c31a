// SPDX-License-Identifier: MIT
/* Exceptions and other things that only C++ does to a stack. See shapes.c. */
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <new>
#include <stdexcept>

#include "talk.h"

struct thing {
	explicit thing(long n) : number(n)
	{
	}
	long number;
};

NOINLINE static void thrower(long n)
{
	throw thing(n);
}

NOINLINE static void middle(long n)
{
	thrower(n);
	KEEP(n);
}

NOINLINE static long catcher(long n)
{
	try {
		middle(n);
	} catch (const thing &t) {
		return t.number;
	}
	return -1;
}

/* Each exception is a block that is allocated and freed. */
static void shape_catch(long times)
{
	for (long i = 0; i < times; i++)
		if (catcher(i) != i)
			hurt("the wrong exception was caught");
}

static std::exception_ptr kept;

NOINLINE static void keeping_thrower()
{
	throw std::runtime_error("kept");
}

/* An exception that stays: its block, too. */
NOINLINE static void shape_keep()
{
	try {
		keeping_thrower();
	} catch (...) {
		kept = std::current_exception();
	}
}

NOINLINE static void *leaf_cleanup()
{
	void *p = malloc(100);

	KEEP(p);
	return p;
}

struct guard {
	NOINLINE ~guard()
	{
		void *p = leaf_cleanup();
		KEEP(p);
	}
};

NOINLINE static void unwound_frame()
{
	guard g;
	thrower(1);
	void *here = &g;
	KEEP(here);
}

/* A destructor that runs while an exception passes allocates. */
NOINLINE static void shape_cleanup()
{
	try {
		unwound_frame();
	} catch (const thing &) {
	}
}

NOINLINE static void *leaf_after_bad_alloc()
{
	void *p = malloc(100);

	KEEP(p);
	return p;
}

/* operator new throws; what comes after it must still be counted. */
NOINLINE static void shape_bad_alloc()
{
	volatile size_t huge = (size_t)1 << 62;
	bool thrown = false;

	try {
		void *p = ::operator new(huge);
		KEEP(p);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	if (!thrown)
		hurt("no bad_alloc");
	void *p = leaf_after_bad_alloc();
	KEEP(p);
}

namespace shop
{
template <typename T> struct shelf {
	NOINLINE T *leaf_template(int n)
	{
		T *p = new T[n];
		KEEP(p);
		return p;
	}
};
} // namespace shop

NOINLINE static void shape_template()
{
	shop::shelf<long> shelf;
	long *p = shelf.leaf_template(10);
	KEEP(p);
}

int main()
{
	const char *line, *name;

	say("ready");
	while ((line = hear())) {
		name = after(line, "shape");
		if (!name)
			hurt("what is %s", line);
		if (after(name, "catch"))
			shape_catch(atol(after(name, "catch")));
		else if (!strcmp(name, "keep"))
			shape_keep();
		else if (!strcmp(name, "cleanup"))
			shape_cleanup();
		else if (!strcmp(name, "bad_alloc"))
			shape_bad_alloc();
		else if (!strcmp(name, "template"))
			shape_template();
		else
			hurt("no shape %s", name);
		say("ok");
	}
	return 0;
}
