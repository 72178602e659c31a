/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_SLOTS_MACHINE_H
#define MEMATTACH_TESTS_SLOTS_MACHINE_H

#include "base/types.h"
#include "tests/slots_case.h"

/*
 * Runs instructions in their own place, the home, and in a slot, and compares all
 * that they can change. The places are laid out in slots_machine.c.
 */
#define SLOTS_HOME    0x2000UL
#define SLOTS_VECTORS 4096

/* Everything that an instruction can see and change, apart from memory. */
struct slots_machine {
	u64 r[16]; /* in the order of their numbers: rax rcx rdx rbx rsp rbp rsi rdi r8 ... */
	u64 flags;
	u64 exit; /* which exit was taken */
	_Alignas(64) u8 vectors[SLOTS_VECTORS];
};

extern u8 *slots_home, *slots_slot; /* the slot: a page of its own */

u64 slots_random(void);
bool slots_has_feature(enum slots_feature feature);

/* Maps the home, and a slot at about this distance from it (0: wherever). */
void slots_make_places(s64 distance);

/* Fills the home: length bytes of code at SLOTS_INSTRUCTION, all else random or as told above. */
void slots_build(const u8 *code, u32 length);

/* Registers that point to things that exist, random ones, and flags from the five bits of flags. */
void slots_input(struct slots_machine *in, u32 flags);

/* Runs from entry with the memory of the last slots_build. */
void slots_execute(const struct slots_machine *in, struct slots_machine *out, u8 *entry);

/* Runs the home's code and this code in the slot, of length bytes; asserts that all is the same. */
void slots_compare(const char *name, const u8 *slot, size_t length, u32 flags);

#endif
