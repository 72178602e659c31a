// SPDX-License-Identifier: MIT
/* A library that loader.c loads; LIBRARY_SITE is what its function is called. */
#include <stdlib.h>

#include "talk.h"

void *LIBRARY_SITE(size_t size);

NOINLINE void *LIBRARY_SITE(size_t size)
{
	void *p = malloc(size);

	KEEP(p);
	return p;
}
