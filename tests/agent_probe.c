// SPDX-License-Identifier: MIT
/* A function as the agent sees one that is probed: what sp and rbp are at its entry. */
#include "tests/agent_probe.h"

__attribute__((visibility("hidden"))) agent_hook_fn agent_hook;

__asm__("	.text\n"
	"	.globl	agent_probe\n"
	"	.type	agent_probe, @function\n"
	"agent_probe:\n"
	"	.cfi_startproc\n"
	"	mov	%rsp, %rdi\n"
	"	mov	%rbp, %rsi\n"
	"	sub	$8, %rsp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	call	*agent_hook(%rip)\n"
	"	add	$8, %rsp\n"
	"	.cfi_def_cfa_offset 8\n"
	"	ret\n"
	"	.cfi_endproc\n");
