// SPDX-License-Identifier: MIT
/*
 * A C++ exception on its way through frames: stops in the destructor of a local
 * while the stack is being unwound (argv[1] "cleanup"), and in that of the
 * exception itself as its handler ends ("caught").
 */
#include <cstring>

#include "unwind_stop.h"

static bool in_cleanup;

extern "C" NOINLINE void stop_here()
{
	stop();
	NO_TAIL_CALL();
}

extern "C" NOINLINE void destroying(bool now)
{
	if (now)
		stop_here();
	NO_TAIL_CALL();
}

struct thrown {
	int n;
	~thrown()
	{
		destroying(!in_cleanup);
	}
};

struct local {
	~local()
	{
		destroying(in_cleanup);
	}
};

extern "C" NOINLINE void throws(int depth)
{
	if (depth == 0)
		throw thrown{1};
	throws(depth - 1);
	NO_TAIL_CALL();
}

extern "C" NOINLINE void passes()
{
	local l;

	throws(5);
	NO_TAIL_CALL();
}

extern "C" NOINLINE void catches()
{
	try {
		passes();
	} catch (const thrown &) {
		NO_TAIL_CALL();
	}
	NO_TAIL_CALL();
}

int main(int argc, char **argv)
{
	in_cleanup = argc == 2 && !strcmp(argv[1], "cleanup");
	catches();
	return 0;
}
