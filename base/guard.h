/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_GUARD_H
#define MEMATTACH_BASE_GUARD_H

/*
 * Scope guards for what is ours: memory, descriptors, FILEs. State of the
 * target is never undone by one of these: there the order matters and undoing
 * can fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void guard_free(void *p)
{
	free(*(void **)p);
}

static inline void guard_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void guard_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_   __attribute__((cleanup(guard_free)))
#define _cleanup_close_  __attribute__((cleanup(guard_close)))
#define _cleanup_fclose_ __attribute__((cleanup(guard_fclose)))

#endif
