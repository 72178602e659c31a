// SPDX-License-Identifier: MIT
/*
 * Code whose names and lines the tests know. Asked "where" it tells addresses in
 * it: `call` is in the innermost of two functions inlined into outer_function.
 * The #line directives fix what the report has to say.
 */
#include <stdint.h>

#include "talk.h"

extern const char __ehdr_start[];

static uintptr_t call_address;

/* Notes the call instruction it was called by: an address within it, as in a stack. */
NOINLINE void note_caller(void)
{
	call_address = (uintptr_t)__builtin_return_address(0) - 1;
}

/* clang-format off */
static inline __attribute__((always_inline)) int inner_inlined(int x)
{
#line 1000
	note_caller();
	return x + 1;
}

static inline __attribute__((always_inline)) int middle_inlined(int x)
{
	x *= 3;
#line 2000
	x = inner_inlined(x);
	return x;
}

NOINLINE int outer_function(int x)
{
	KEEP(x);
#line 3000
	x = middle_inlined(x);
	KEEP(x);
	return x;
}

#line 4000
static NOINLINE int hidden_function(int x)
{
	KEEP(x);
	return x;
}
/* clang-format on */

/* Two names for one function: the one a user knows is public_name. */
NOINLINE int __internal_name(int x)
{
	KEEP(x);
	return x;
}
extern __typeof(__internal_name) public_name __attribute__((alias("__internal_name")));
extern __typeof(__internal_name) __GI_public_name __attribute__((alias("__internal_name")));

int main(void)
{
	const char *line;

	say("ready");
	while ((line = hear())) {
		outer_function(hidden_function(2));
		say("base %lx", (unsigned long)__ehdr_start);
		say("call %lx", (unsigned long)call_address);
		say("outer_function %lx", (unsigned long)outer_function);
		say("hidden_function %lx", (unsigned long)hidden_function);
		say("public_name %lx", (unsigned long)public_name);
		say("end");
	}
	return 0;
}
