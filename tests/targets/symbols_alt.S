/* SPDX-License-Identifier: MIT */
/*
 * A library whose DWARF refers to a .gnu_debugaltlink, which the test adds: the
 * name of its function is a string over there.
 */
	.text
	.globl alt_function
	.type alt_function, @function
alt_function:
	.fill 255, 1, 0x90
	ret
	.size alt_function, 256

	.section .debug_info, "", @progbits
	.long 2f - 1f			/* unit_length */
1:	.short 4			/* version */
	.long abbreviations
	.byte 8				/* address_size */
	.uleb128 1
	.quad alt_function		/* DW_AT_low_pc */
	.quad 256			/* DW_AT_high_pc */
	.uleb128 2
	.long 16			/* DW_AT_name, an offset in the alternate file */
	.quad alt_function
	.quad 256
	.byte 0				/* end of the children */
2:

	.section .debug_abbrev, "", @progbits
abbreviations:
	.uleb128 1, 0x11		/* DW_TAG_compile_unit */
	.byte 1				/* has children */
	.uleb128 0x11, 0x01		/* DW_AT_low_pc, DW_FORM_addr */
	.uleb128 0x12, 0x07		/* DW_AT_high_pc, DW_FORM_data8 */
	.uleb128 0, 0
	.uleb128 2, 0x2e		/* DW_TAG_subprogram */
	.byte 0
	.uleb128 0x03, 0x1f21		/* DW_AT_name, DW_FORM_GNU_strp_alt */
	.uleb128 0x11, 0x01
	.uleb128 0x12, 0x07
	.uleb128 0, 0
	.uleb128 0

	.section .note.GNU-stack, "", @progbits
