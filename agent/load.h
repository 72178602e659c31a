/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_LOAD_H
#define MEMATTACH_AGENT_LOAD_H

#include <stdint.h>

/*
 * Reads the 8 bytes at address, which memattach has said to be mapped, but which
 * may have been unmapped since. 1; 0 if there is nothing. The read is a single
 * instruction. Its place and that of the other way out stand in the section
 * agent_fixup, as distances from where they stand; memattach, which sees a SIGSEGV
 * or SIGBUS before the target does, sends the thread there (agent_fixup_find in
 * agent/fixup.h).
 */
static inline __attribute__((always_inline)) int agent_load(uint64_t address, uint64_t *value)
{
	uint64_t word;

	__asm__ goto("1:	mov (%1), %0\n"
		     "	.pushsection agent_fixup, \"a\"\n"
		     "	.balign 4\n"
		     "	.long 1b - .\n"
		     "	.long %l[unreadable] - .\n"
		     "	.popsection"
		     : "=r"(word)
		     : "r"(address)
		     :
		     : unreadable);
	*value = word;
	return 1;
unreadable:
	return 0;
}

#endif
