/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_LOAD_H
#define MEMATTACH_AGENT_LOAD_H

#include <stdint.h>

/*
 * Reads the 8 bytes at address + offset (a constant), which memattach has said to be
 * mapped, but which may have been unmapped since: then the value is 0, and
 * *faulted is set to 1.
 *
 * The read is a single instruction. Its place and that of the way out stand in the
 * section agent_fixup, as distances from where they stand; memattach, which sees a
 * SIGSEGV or SIGBUS before the target does, sends the thread there (agent/fixup.h).
 * (Not an asm goto: with an output gcc 12 may compile it wrongly, its bug 113921.)
 */
#define agent_load_at(address, offset, faulted)                                                    \
	({                                                                                         \
		uint64_t load_value;                                                               \
		__asm__ volatile("1:	mov %c3(%2), %0\n"                                            \
				 "2:	.pushsection agent_landing, \"ax\"\n"                         \
				 "3:	movb $1, %1\n"                                                \
				 "	xor %k0, %k0\n"                                                 \
				 "	jmp 2b\n"                                                       \
				 "	.popsection\n"                                                  \
				 "	.pushsection agent_fixup, \"a\"\n"                              \
				 "	.balign 4\n"                                                    \
				 "	.long 1b - .\n"                                                 \
				 "	.long 3b - .\n"                                                 \
				 "	.popsection"                                                    \
				 : "=r"(load_value), "+m"(*(faulted))                              \
				 : "r"((uint64_t)(address)), "i"(offset));                         \
		load_value;                                                                        \
	})

static inline __attribute__((always_inline)) uint64_t agent_load(uint64_t address, uint8_t *faulted)
{
	return agent_load_at(address, 0, faulted);
}

#endif
