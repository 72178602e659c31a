/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_STACK_BEGIN_H
#define MEMATTACH_UNWIND_STACK_BEGIN_H

#include "unwind/window.h"

/*
 * Does what the kernel leaves on the stack of a new program (psABI x86-64,
 * section 3.4.1) begin less than 512 bytes above sp: argc at a multiple of 16,
 * that many pointers to the strings further up, in ascending order, and a null?
 * *argc is where. sp is a multiple of 8.
 */
bool stack_begins_above(struct window *window, u64 sp, u64 *argc);

#endif
