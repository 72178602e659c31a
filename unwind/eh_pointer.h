/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_EH_POINTER_H
#define MEMATTACH_UNWIND_EH_POINTER_H

#include <dwarf.h>

#include "unwind/cursor.h"

/* What encoded pointers (LSB, "DWARF Exception Header Encoding") are relative to. */
struct eh_base {
	const u8 *section; /* first byte of the section that is being read */
	u64 address;       /* its address in the ELF file's address space */
	u64 data;          /* DW_EH_PE_datarel; 0: unknown */
};

/* The number in the format of the low 4 bits of encoding. False (and a bad cursor) if unknown. */
static inline bool eh_number(struct cursor *in, u8 encoding, u64 *value)
{
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		*value = cursor_uint(in, 8);
		break;
	case DW_EH_PE_uleb128:
		*value = cursor_uleb(in);
		break;
	case DW_EH_PE_udata2:
		*value = cursor_uint(in, 2);
		break;
	case DW_EH_PE_udata4:
		*value = cursor_uint(in, 4);
		break;
	case DW_EH_PE_sleb128:
		*value = (u64)cursor_sleb(in);
		break;
	case DW_EH_PE_sdata2:
		*value = (u64)cursor_sint(in, 2);
		break;
	case DW_EH_PE_sdata4:
		*value = (u64)cursor_sint(in, 4);
		break;
	default:
		in->bad = true;
	}
	return !in->bad;
}

/*
 * An encoded pointer. The address that it stands for in the ELF file; that of
 * the pointer to it if encoding has DW_EH_PE_indirect. False if it cannot be
 * read or told (text and function relative ones, which x86-64 has not).
 */
static inline bool eh_pointer(struct cursor *in, u8 encoding, const struct eh_base *base,
			      u64 *value)
{
	u64 at = base->address + (u64)(in->p - base->section);

	if (encoding == DW_EH_PE_omit)
		return false;
	if ((encoding & 0x70) == 0x50) { /* DW_EH_PE_aligned: absolute, at a multiple of 8 */
		cursor_bytes(in, -at & 7);
		*value = cursor_uint(in, 8);
		return !in->bad;
	}
	if (!eh_number(in, encoding, value))
		return false;
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		return true;
	case DW_EH_PE_pcrel:
		*value += at;
		return true;
	case DW_EH_PE_datarel:
		*value += base->data;
		return base->data != 0;
	default:
		return false;
	}
}

#endif
