/* SPDX-License-Identifier: MIT */
/*
 * The entry points of the agent's code, at the offsets that agent/abi.h names.
 * The unwind information is for walks through here, from signal handlers.
 */
#include "agent/abi.h"
#include "agent/frame.h"

	.section .text.entry, "ax"
	.globl	agent_start
	.hidden	agent_start
agent_start:
	.cfi_startproc
	jmp	agent_handle_trap
	.cfi_endproc
	.balign	16
	/* SA_RESTORER: what a signal handler returns to. */
	mov	$15, %eax	/* rt_sigreturn */
	syscall
	.balign	16
	.cfi_startproc
	.cfi_def_cfa_offset 16
	jmp	agent_enter
	.cfi_endproc
	.balign	16
	/* uint64_t agent_ask(uint64_t question, uint64_t argument) */
	.globl	agent_ask
	.hidden	agent_ask
agent_ask:
	.cfi_startproc
	xor	%eax, %eax
	int3
	ret
	.cfi_endproc
	.balign	16

/*
 * int agent_ring_put(struct channel *, word0, word1, word2, word3): 0, or 1 when
 * the ring is full.
 *
 * Between agent_put_taken and agent_put_done the thread owns place %rax, and all
 * arguments are as they were: memattach, which sees every signal before it is
 * delivered, makes the record void and sends the thread back to the beginning
 * (probe/agent_service_x86_64.c). So no handler, which may run for long or never
 * return, leaves a hole in the ring.
 */
	.globl	agent_ring_put, agent_put_taken, agent_put_done
	.hidden	agent_ring_put, agent_put_taken, agent_put_done
agent_ring_put:
	.cfi_startproc
1:	mov	CHANNEL_HEAD_AT(%rdi), %rax
	mov	%rax, %r9
	sub	CHANNEL_TAIL_AT(%rdi), %r9
	cmp	$(1 << CHANNEL_RING_BITS), %r9
	jae	2f
	lea	1(%rax), %r9
	lock cmpxchg %r9, CHANNEL_HEAD_AT(%rdi)
agent_put_taken:
	jne	1b		/* from here on if the zero flag is set */
	mov	%eax, %r9d
	and	$((1 << CHANNEL_RING_BITS) - 1), %r9d
	shl	$5, %r9
	lea	CHANNEL_RING_AT(%rdi, %r9), %r9
	mov	%rdx, 8(%r9)
	mov	%rcx, 16(%r9)
	mov	%r8, 24(%r9)
	mov	%rax, %r10
	shr	$CHANNEL_RING_BITS, %r10
	inc	%r10
	shl	$56, %r10
	or	%rsi, %r10
	mov	%r10, (%r9)
agent_put_done:
	/* memattach has read the place that is some records ahead: its line is with another core. */
	prefetchw (8 * 32)(%r9)
	xor	%eax, %eax
	ret
2:	mov	$1, %eax
	ret
	.cfi_endproc

/*
 * With sampling: stubs for calls that nearly always are not recorded. They are copied into the slots
 * (probe/jump_x86_64.h), and never run here. What decides about the call (agent/sample.h,
 * agent/sample_filter.h) is done in a few registers, and if it is as always, the
 * displaced instructions follow; if not, agent_enter begins anew.
 *
 * The registers' values are in the red zone, which no signal touches, and the stack pointer does not
 * move. Nothing of a thread's entry is changed but its countdown, by one store of what was
 * read: a handler that allocates in between is forgotten, and one that was sampled keeps
 * its record.
 */
#define SAVED_RAX  -8
#define SAVED_RCX  -16
#define SAVED_RDX  -24

	/* Copied to its place in a slot, a stub at `at` has the slot, and its displaced instructions, here. */
#define SLOT_OF(at) (agent_start + at - AGENT_SLOT_STUB_AT)

	.macro	stub_begins at
	.org	agent_start + \at, 0xcc
	.endm

	/* jmp stub_leads_on, its displacement of 4 bytes. */
	.macro	stub_out
	.byte	0xe9
	.long	stub_leads_on - . - 4
	.endm

	/* Behind the instructions that lead out of it. */
	.macro	stub_ends at, out1, out2
	.org	agent_start + \at + AGENT_STUB_MAX - 3, 0xcc
	.byte	0, \out2 - 4 - agent_start - \at, \out1 - 4 - agent_start - \at
	.endm

	/* What is asked for is not due: through. It may be: on to 2. Leads out before 8. */
	.macro	stub_decide size
	mov	%fs:0, %rax
	imul	$CHANNEL_THREAD_MULTIPLIER, %rax, %rcx
	shr	$(CHANNEL_THREAD_MULTIPLIER_SHIFT - CHANNEL_THREAD_SHIFT), %rcx
	and	$(((1 << CHANNEL_THREADS_BITS) - 1) << CHANNEL_THREAD_SHIFT), %ecx
	add	agent_control + AGENT_CONTROL_THREADS(%rip), %rcx
8:	cmp	$(1 << (CHANNEL_THREADS_BITS + CHANNEL_THREAD_SHIFT)), %rcx
	jb	2f		/* it is switched off */
	cmp	%rax, (%rcx)
	jne	2f
	cmpq	$0, CHANNEL_THREAD_OPEN(%rcx)
	jne	2f
	mov	CHANNEL_THREAD_COUNTDOWN(%rcx), %rax
	sub	\size, %rax
	jbe	2f
	mov	%rax, CHANNEL_THREAD_COUNTDOWN(%rcx)
	.endm

	stub_begins AGENT_STUB_SIZE
	mov	%rax, SAVED_RAX(%rsp)
	mov	%rcx, SAVED_RCX(%rsp)
	stub_decide %rdi
	mov	SAVED_RAX(%rsp), %rax
	mov	SAVED_RCX(%rsp), %rcx
	jmp	SLOT_OF(AGENT_STUB_SIZE)
2:	lea	SLOT_OF(AGENT_STUB_SIZE)(%rip), %rax
	mov	SAVED_RCX(%rsp), %rcx
	stub_out
9:	stub_ends AGENT_STUB_SIZE, 8b, 9b

	stub_begins AGENT_STUB_PRODUCT
	mov	%rax, SAVED_RAX(%rsp)
	mov	%rcx, SAVED_RCX(%rsp)
	mov	%rdx, SAVED_RDX(%rsp)
	mov	%rdi, %rdx
	imul	%rsi, %rdx
	jo	2f
	stub_decide %rdx
	mov	SAVED_RAX(%rsp), %rax
	mov	SAVED_RCX(%rsp), %rcx
	mov	SAVED_RDX(%rsp), %rdx
	jmp	SLOT_OF(AGENT_STUB_PRODUCT)
2:	lea	SLOT_OF(AGENT_STUB_PRODUCT)(%rip), %rax
	mov	SAVED_RCX(%rsp), %rcx
	mov	SAVED_RDX(%rsp), %rdx
	stub_out
9:	stub_ends AGENT_STUB_PRODUCT, 8b, 9b

	stub_begins AGENT_STUB_FREE
	mov	%rax, SAVED_RAX(%rsp)
	mov	%rcx, SAVED_RCX(%rsp)
	mov	%rdi, %rax
	mov	%rdi, %rcx
	shr	$10, %rax
	shr	$26, %rcx
	xor	%eax, %ecx
	mov	agent_control + AGENT_CONTROL_FILTER(%rip), %rax
8:	movzwl	%cx, %ecx
	test	%rax, %rax
	je	1f
	cmpb	$0, (%rax, %rcx)
	jne	2f
1:	mov	SAVED_RAX(%rsp), %rax
	mov	SAVED_RCX(%rsp), %rcx
	jmp	SLOT_OF(AGENT_STUB_FREE)
2:	imul	$CHANNEL_FILTER_MULTIPLIER, %rdi, %rcx
	shr	$CHANNEL_FILTER_MULTIPLIER_SHIFT, %rcx
	and	$(CHANNEL_FILTER_CELLS - 1), %ecx
	cmpq	$0, CHANNEL_FILTER_AREAS(%rax, %rcx, 8)
	je	1b
	lea	SLOT_OF(AGENT_STUB_FREE)(%rip), %rax
	mov	SAVED_RCX(%rsp), %rcx
	stub_out
9:	stub_ends AGENT_STUB_FREE, 8b, 9b

	stub_begins AGENT_STUB_CALL
	.byte	0xe8
	.long	agent_free - . - 4
9:	jmp	SLOT_OF(AGENT_STUB_CALL)
	stub_ends AGENT_STUB_CALL, 9b, agent_start + AGENT_STUB_CALL + 4

/*
 * Calls and returns in pairs, as the processor expects them; what is called is said
 * in the instruction. The frame is on the stack between the first lea and the second.
 */
	stub_begins AGENT_STUB_WRAP
	lea	-AGENT_FRAME(%rsp), %rsp
	.byte	0xe8
	.long	agent_begin - . - 4
8:	jne	1f
	xchg	%ax, %ax	/* puts AGENT_SLOT_RETURN where it does no harm */
	call	SLOT_OF(AGENT_STUB_WRAP)
	.byte	0xe8
	.long	agent_end - . - 4
9:	lea	AGENT_FRAME(%rsp), %rsp
	ret
1:	lea	AGENT_FRAME(%rsp), %rsp
	jmp	SLOT_OF(AGENT_STUB_WRAP)
	stub_ends AGENT_STUB_WRAP, 8b, 9b

	/* rax is the slot, its own value is where a push will put it. */
stub_leads_on:
	.cfi_startproc
	lea	-8(%rsp), %rsp
	.cfi_def_cfa_offset 16
	jmp	agent_enter
	.cfi_endproc

	/* Registers that C code may change, to and from a frame whose bottom is at bottom(%rsp). */
	.macro	save_most bottom
	mov	%rdx, \bottom + AGENT_FRAME_RDX(%rsp)
	mov	%rsi, \bottom + AGENT_FRAME_RSI(%rsp)
	mov	%rdi, \bottom + AGENT_FRAME_RDI(%rsp)
	mov	%r8, \bottom + AGENT_FRAME_R8(%rsp)
	mov	%r9, \bottom + AGENT_FRAME_R9(%rsp)
	mov	%r10, \bottom + AGENT_FRAME_R10(%rsp)
	mov	%r11, \bottom + AGENT_FRAME_R11(%rsp)
	.endm

	.macro	restore_most bottom
	mov	\bottom + AGENT_FRAME_RDX(%rsp), %rdx
	mov	\bottom + AGENT_FRAME_RSI(%rsp), %rsi
	mov	\bottom + AGENT_FRAME_RDI(%rsp), %rdi
	mov	\bottom + AGENT_FRAME_R8(%rsp), %r8
	mov	\bottom + AGENT_FRAME_R9(%rsp), %r9
	mov	\bottom + AGENT_FRAME_R10(%rsp), %r10
	mov	\bottom + AGENT_FRAME_R11(%rsp), %r11
	.endm

	/*
	 * The thread's entry into rcx, where nothing is under way; changes rax. Leads to
	 * `otherwise` if it is not as always (also when recording is switched off).
	 */
	.macro	find_thread threads, otherwise
	mov	%fs:0, %rax
	imul	$CHANNEL_THREAD_MULTIPLIER, %rax, %rcx
	shr	$(CHANNEL_THREAD_MULTIPLIER_SHIFT - CHANNEL_THREAD_SHIFT), %rcx
	and	$(((1 << CHANNEL_THREADS_BITS) - 1) << CHANNEL_THREAD_SHIFT), %ecx
	add	\threads, %rcx
	cmp	$(1 << (CHANNEL_THREADS_BITS + CHANNEL_THREAD_SHIFT)), %rcx
	jb	\otherwise
	cmp	%rax, (%rcx)
	jne	\otherwise
	cmpq	$0, CHANNEL_THREAD_OPEN(%rcx)
	jne	\otherwise
	.endm

	/*
	 * The memo for the walk that will follow (agent_memo_for), from the thread's entry in rcx and
	 * the place of the return address in rax; changes both. It is on its way into the cache
	 * while the function runs.
	 */
	.macro	find_memo
	mov	CHANNEL_THREAD_MEMO(%rcx), %rcx
	test	%rcx, %rcx
	je	6f
	mov	%rdx, 8 + AGENT_FRAME_RDX(%rsp)
	mov	(%rax), %rdx
	shr	$4, %rax
	xor	%rdx, %rax
	shr	$5, %rdx
	xor	%rdx, %rax
	and	CHANNEL_MEMO_MASK(%rcx), %rax
	movzbl	CHANNEL_MEMO_LAST(%rcx, %rax), %eax
	imul	$CHANNEL_MEMO_EACH, %rax, %rax
	lea	CHANNEL_MEMO_FIRST(%rcx, %rax), %rcx
	prefetcht0 (%rcx)
	prefetcht0 64(%rcx)
	prefetcht0 128(%rcx)
	prefetcht0 192(%rcx)
	prefetcht0 256(%rcx)
	prefetcht0 320(%rcx)
	prefetcht0 384(%rcx)
	mov	8 + AGENT_FRAME_RDX(%rsp), %rdx
6:	mov	%rcx, 8 + AGENT_FRAME_MEMO(%rsp)
	.endm

/*
 * AGENT_STUB_WRAP's first call: agent_before. The zero flag is set if the function is to be
 * called with the frame on the stack. Most calls take the short way (AGENT_SLOT_SIMPLE).
 */
agent_begin:
	.cfi_startproc
	.cfi_def_cfa_offset AGENT_FRAME + 16
	mov	%rax, 8 + AGENT_FRAME_RAX(%rsp)
	mov	%rcx, 8 + AGENT_FRAME_RCX(%rsp)
	mov	(%rsp), %rax
	and	$-AGENT_SLOT_BYTES, %rax
	mov	%rax, 8 + AGENT_FRAME_SLOT(%rsp)
	mov	%rdi, %rcx
	testb	$AGENT_SLOT_SIMPLE, AGENT_SLOT_FLAGS(%rax)
	je	2f
	testb	$AGENT_SLOT_PRODUCT, AGENT_SLOT_FLAGS(%rax)
	jne	4f
1:	mov	%rcx, 8 + AGENT_FRAME_SIZE(%rsp)
	find_thread agent_control + AGENT_CONTROL_THREADS(%rip), 2f
	lea	8 + AGENT_FRAME(%rsp), %rax
	movq	$0, 8 + AGENT_FRAME_OPEN(%rsp)
	mov	%rcx, 8 + AGENT_FRAME_THREAD(%rsp)
	mov	%rax, CHANNEL_THREAD_OPEN(%rcx)
	find_memo
	mov	8 + AGENT_FRAME_RAX(%rsp), %rax
	mov	8 + AGENT_FRAME_RCX(%rsp), %rcx
	cmp	%eax, %eax
	ret
4:	imul	%rsi, %rcx
	jno	1b
2:	save_most 8
	lea	8(%rsp), %rdi
	mov	8 + AGENT_FRAME_SLOT(%rsp), %rsi
	mov	%rbp, %rdx
	call	agent_before
	cmp	$AGENT_VERDICT_WRAP, %eax
	restore_most 8
	mov	8 + AGENT_FRAME_RAX(%rsp), %rax
	mov	8 + AGENT_FRAME_RCX(%rsp), %rcx
	ret
	.cfi_endproc

/* AGENT_STUB_WRAP's last call, with what the function has returned in rax: agent_after_simple, or agent_after. */
agent_end:
	.cfi_startproc
	.cfi_def_cfa_offset AGENT_FRAME + 16
	mov	%rcx, 8 + AGENT_FRAME_RCX(%rsp)
	save_most 8
	mov	%rax, 8 + AGENT_FRAME_RAX(%rsp)
	mov	8 + AGENT_FRAME_SLOT(%rsp), %rcx
	lea	8(%rsp), %rdi
	mov	%rax, %rsi
	mov	%rbp, %rdx
	testb	$AGENT_SLOT_SIMPLE, AGENT_SLOT_FLAGS(%rcx)
	je	1f
	call	agent_after_simple
	jmp	2f
1:	call	agent_after
2:	restore_most 8
	mov	8 + AGENT_FRAME_RCX(%rsp), %rcx
	mov	8 + AGENT_FRAME_RAX(%rsp), %rax
	ret
	.cfi_endproc

/*
 * A free, all of which is done before it runs: AGENT_STUB_CALL has called this, and goes
 * on with the displaced instructions. A return, unlike the jump below, goes where the
 * processor expects. The frame is that of agent_enter, but for rax: in its place
 * is the return address to the stub.
 */
agent_free:
	.cfi_startproc
	.cfi_def_cfa_offset 16
	sub	$(AGENT_FRAME - 8), %rsp
	.cfi_def_cfa_offset AGENT_FRAME + 8
	mov	%rax, AGENT_FRAME_CODE(%rsp)
	mov	%rcx, AGENT_FRAME_RCX(%rsp)
	save_most 0
	mov	AGENT_FRAME_RAX(%rsp), %rsi
	and	$-AGENT_SLOT_BYTES, %rsi
	testb	$AGENT_SLOT_SIMPLE, AGENT_SLOT_FLAGS(%rsi)
	je	2f
	test	%rdi, %rdi
	je	3f
	/* Each once: a handler may fork, or memattach's guardian switch off, and then there is nothing. */
	mov	agent_control(%rip), %r9
	test	%r9, %r9
	je	2f
	mov	agent_control + AGENT_CONTROL_THREADS(%rip), %r8
	find_thread %r8, 2f
	sub	%rcx, %r8
	neg	%r8
	mov	$((CHANNEL_KIND_FREE) << 48), %rax
	mov	%rdi, %rsi
	shl	$16, %rsi
	shr	$16, %rsi
	or	%rax, %rsi
	mov	%r9, %rdi
	lea	AGENT_FRAME(%rsp), %rdx
	mov	%rdx, %rax
	shr	$3, %rax
	shl	$40, %rax
	shr	$CHANNEL_THREAD_SHIFT, %r8
	or	%rax, %r8
	mov	(%rdx), %rcx
	call	agent_ring_put
	test	%eax, %eax
	je	3f
	mov	AGENT_FRAME_RAX(%rsp), %rsi
	and	$-AGENT_SLOT_BYTES, %rsi
2:	mov	%rsp, %rdi
	mov	%rbp, %rdx
	call	agent_before
3:	mov	AGENT_FRAME_RCX(%rsp), %rcx
	restore_most 0
	mov	AGENT_FRAME_CODE(%rsp), %rax
	lea	(AGENT_FRAME - 8)(%rsp), %rsp
	.cfi_def_cfa_offset 16
	ret
	.cfi_endproc

/*
 * A call of a probed function. The stub has pushed rax and loaded it with its
 * slot. Every register is to be as it was when the displaced instructions run,
 * and every one but the flags when the function has returned.
 */
agent_enter:
	.cfi_startproc
	.cfi_def_cfa_offset 16
	sub	$(AGENT_FRAME - 8), %rsp
	.cfi_def_cfa_offset AGENT_FRAME + 8
	mov	%rcx, AGENT_FRAME_RCX(%rsp)
	save_most 0
	mov	%rax, AGENT_FRAME_SLOT(%rsp)
	mov	%rsp, %rdi
	mov	%rax, %rsi
	mov	%rbp, %rdx
	call	agent_before
	test	%eax, %eax
	mov	AGENT_FRAME_RCX(%rsp), %rcx
	restore_most 0
	mov	AGENT_FRAME_RAX(%rsp), %rax
	jne	3f
	/* The slot's address stays readable in the red zone, which no signal touches. */
	lea	AGENT_FRAME(%rsp), %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 8
	jmp	*(AGENT_FRAME_SLOT - AGENT_FRAME)(%rsp)
	.cfi_restore_state
3:	call	*AGENT_FRAME_CODE(%rsp)
	.globl	agent_returned
	.hidden	agent_returned
agent_returned:
	mov	%rcx, AGENT_FRAME_RCX(%rsp)
	save_most 0
	mov	%rax, AGENT_FRAME_RAX(%rsp)
	mov	%rsp, %rdi
	mov	%rax, %rsi
	mov	%rbp, %rdx
	call	agent_after
	test	%eax, %eax
	mov	AGENT_FRAME_RCX(%rsp), %rcx
	restore_most 0
	mov	AGENT_FRAME_RAX(%rsp), %rax
	lea	AGENT_FRAME(%rsp), %rsp
	.cfi_def_cfa_offset 8
	jne	4f
	ret
	/* The nothrow form of an operator new has failed: now the throwing one, with no frame of ours. */
4:	jmp	*(AGENT_FRAME_SLOT - AGENT_FRAME)(%rsp)
	.cfi_endproc
	.section .note.GNU-stack, "", @progbits
