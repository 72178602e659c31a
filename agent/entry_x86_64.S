/* SPDX-License-Identifier: MIT */
/* The entry points of the agent's code, at the offsets that agent/abi.h names. */
	.section .text.entry, "ax"
	.globl	agent_start
	.hidden	agent_start
agent_start:
	jmp	agent_handle_trap
	.balign	16
	/* SA_RESTORER: what a signal handler returns to. */
	mov	$15, %eax	/* rt_sigreturn */
	syscall
	.section .note.GNU-stack, "", @progbits
