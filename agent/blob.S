/* SPDX-License-Identifier: MIT */
/*
 * The agent's code as bytes, to be copied into the target, and the ELF file that it
 * was made from, for its unwind information.
 */
	.section .rodata
	.balign	16
	.globl	agent_code, agent_code_end
agent_code:
	.incbin	AGENT_BIN
agent_code_end:
	.balign	16
	.globl	agent_elf, agent_elf_end
agent_elf:
	.incbin	AGENT_ELF
agent_elf_end:
	.section .note.GNU-stack, "", @progbits
