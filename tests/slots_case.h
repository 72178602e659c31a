/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_SLOTS_CASE_H
#define MEMATTACH_TESTS_SLOTS_CASE_H

#include <stddef.h>

#include "base/types.h"

/* What stands where in the home of slots_machine.c; an instruction's displacement leads to one of these. */
#define SLOTS_BACKWARD    0x0c0U
#define SLOTS_INSTRUCTION 0x100U
#define SLOTS_FORWARD     0x140U
#define SLOTS_CALLEE      0x200U
#define SLOTS_DATA        0x400U
#define SLOTS_POINTERS    0x600U

enum slots_feature { FEATURE_NONE, FEATURE_AVX, FEATURE_AVX512 };

struct slots_case {
	const char *name;
	u8 bytes[15];
	u32 length;
	u32 disp_at, disp_size; /* size 0: no displacement */
	u32 at;                 /* where it leads to */
	enum slots_feature feature;
};

extern const struct slots_case slots_cases[];
extern const size_t slots_cases_n;

/* Those that must run in their own place. */
extern const struct slots_case slots_refused[];
extern const size_t slots_refused_n;

/* The instruction to `to`, for SLOTS_INSTRUCTION + offset of a home, with its displacement filled in. */
void slots_case_write(const struct slots_case *c, u8 *to, u32 offset);

#endif
