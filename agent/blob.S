/* SPDX-License-Identifier: MIT */
/* The agent's code as bytes, to be copied into the target. AGENT_BIN is made from agent/handler.c. */
	.section .rodata
	.balign	16
	.globl	agent_code, agent_code_end
agent_code:
	.incbin	AGENT_BIN
agent_code_end:
	.section .note.GNU-stack, "", @progbits
