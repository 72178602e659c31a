/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_CFI_PROGRAM_H
#define MEMATTACH_UNWIND_CFI_PROGRAM_H

#include "base/types.h"

/*
 * The call frame instructions of a CIE and its FDEs (DWARF 5, section 6.4.2, and
 * the GNU additions), run for those registers alone that x86-64 rows are made of.
 */

/* DWARF numbers of the registers whose rules are kept. */
enum { CFI_RBP = 6, CFI_RSP = 7, CFI_RA = 16 };

enum cfi_rule_kind {
	CFI_UNSPECIFIED, /* by the ABI: rbp as it is, rsp = CFA */
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_OFFSET,         /* saved at CFA + offset */
	CFI_VAL_OFFSET,     /* is CFA + offset */
	CFI_REGISTER,       /* in another register */
	CFI_EXPRESSION,     /* saved at the result of a DWARF expression */
	CFI_VAL_EXPRESSION, /* is that result */
};

struct cfi_rule {
	enum cfi_rule_kind kind;
	u32 expr_len;
	union {
		s64 offset;
		const u8 *expr; /* in the section */
	};
};

/* The rules at one address. */
struct cfi_state {
	struct cfi_rule cfa; /* CFI_OFFSET from cfa_register, CFI_VAL_EXPRESSION, or unspecified */
	u64 cfa_register;
	struct cfi_rule rbp, rsp, ra;
};

/* What a CIE says of its FDEs. */
struct cfi_cie {
	u64 offset; /* in the section */
	u64 code_align;
	s64 data_align;
	u8 pointer_encoding; /* DW_EH_PE_* of addresses in the FDE */
	bool has_augmentation_data, signal_frame;
	bool usable;
	struct cfi_state initial;
};

/* Nested DW_CFA_remember_state more deeply than any compiler does it. */
#define CFI_REMEMBER_MAX 32

/* Told of rules that hold from address from (of the ELF file) on up to the next call's. 0 or -errno. */
typedef int (*cfi_emit_fn)(void *ctx, u64 from, const struct cfi_state *state);

/*
 * Runs the initial instructions of cie, of which all but initial is filled.
 * False if they are malformed.
 */
bool cfi_run_initial(struct cfi_cie *cie, const u8 *program, size_t len);

/*
 * Runs an FDE's instructions for [start, end) and emits its rows in ascending
 * order. A malformed rest is emitted as a state with an undefined CFA. Returns
 * 0 or what emit returned.
 */
int cfi_run(const struct cfi_cie *cie, const u8 *program, size_t len, u64 start, u64 end,
	    cfi_emit_fn emit, void *ctx);

#endif
