/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_RULE_H
#define MEMATTACH_UNWIND_RULE_H

#include "unwind/cfi_program.h"

/*
 * The rule of unwind/table.h that says what state, of an FDE of cie, says;
 * UNWIND_ASK where none does.
 */
u32 unwind_rule_of(const struct cfi_cie *cie, const struct cfi_state *state);

#endif
