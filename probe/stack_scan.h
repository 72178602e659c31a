/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_STACK_SCAN_H
#define MEMATTACH_PROBE_STACK_SCAN_H

#include "base/types.h"
#include "proc/maps.h"
#include "proc/mem.h"

/* A range of addresses, [start, end). */
struct address_range {
	u64 start, end;
};

/* Sorts ranges, which stack_scan wants. They may not overlap. */
void address_ranges_sort(struct address_range *ranges, size_t n);

/* Which of the sorted ranges has the address; -1: none. */
int address_ranges_find(const struct address_range *ranges, size_t n, u64 address);

/*
 * Looks at each word of a stopped thread's stack, from its stack pointer to the
 * end of the mapping (8 MB at most), and calls found for each that is an address in
 * one of the sorted ranges, with its number and where it stands: a return address, the pc that a signal
 * handler will go back to, or a number that looks like one. 0 or -errno.
 */
int stack_scan(const struct maps *maps, const struct proc_mem *mem, u64 sp,
	       const struct address_range *ranges, size_t n,
	       void (*found)(void *ctx, size_t number, u64 at), void *ctx);

#endif
