// SPDX-License-Identifier: MIT
/*
 * The SIGTRAP handler that stands in for memattach when it is gone. While
 * memattach is alive it never runs: ptrace sees the signal first.
 *
 * Orphaned, a thread that runs into a breakpoint is sent on to the copy of the
 * displaced instruction in its slot, for ever. The kernel also delivers the
 * SIGTRAP of a thread that stood in a trap stop when its tracer died, sometimes
 * after the tracer had already moved the thread's pc: into a slot, or back onto the
 * breakpoint. Then there is nothing to do but to return.
 *
 * Runs inside the target, on whatever stack it has: freestanding, general
 * registers only, no data of its own but the area that it stands in.
 */
#include "agent/abi.h"

/* struct ucontext of the kernel up to the registers that matter here. */
struct agent_ucontext {
	uint64_t flags, link, stack[3];
	uint64_t r8_to_r15[8], rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
};

struct agent_siginfo {
	int signo, error, code;
};

#define SIGNAL_TRAP       5
#define CODE_TRACE        2 /* TRAP_TRACE: the end of a single step */
#define CODE_HARDWARE     4 /* TRAP_HWBKPT: a debug register that memattach has left set */
#define SYSCALL_SIGACTION 13
#define SYSCALL_MPROTECT  10
#define SYSCALL_GETPID    39
#define SYSCALL_GETTID    186
#define SYSCALL_TGKILL    234
#define ACTION_DEFAULT    0
#define ACTION_IGNORE     1
#define PAGE              0x1000UL

extern const char agent_start[] __attribute__((visibility("hidden")));

static inline long call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	register uint64_t r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

static inline const struct agent_header *own_area(void)
{
	return (const struct agent_header *)((uint64_t)agent_start & ~(AGENT_AREA_SIZE - 1));
}

/* An instruction that cannot be displaced: the target's byte goes back to its place. */
static int restore_in_place(uint64_t address, uint8_t byte)
{
	uint64_t page = address & ~(PAGE - 1);

	if (call(SYSCALL_MPROTECT, page, PAGE, 7, 0))
		return -1;
	*(volatile uint8_t *)address = byte;
	call(SYSCALL_MPROTECT, page, PAGE, 5, 0);
	return 0;
}

/* Where a thread goes on that has run into a breakpoint at address; 0: it is none of ours. */
static uint64_t find(uint64_t address)
{
	const struct agent_header *area = own_area();

	for (; area; area = (const struct agent_header *)area->next) {
		const uint64_t *table = (const uint64_t *)((uint64_t)area + AGENT_TABLE);

		for (uint64_t i = 0; i < AGENT_SLOT_COUNT; i++) {
			uint64_t slot = (uint64_t)area + AGENT_SLOTS + i * AGENT_SLOT_SIZE;

			if (!table[i] || AGENT_ENTRY_ADDRESS(table[i]) != address)
				continue;
			if (((const struct agent_slot *)slot)->displaced)
				return slot;
			return restore_in_place(address, AGENT_ENTRY_BYTE(table[i])) ? 0 : address;
		}
	}
	return 0;
}

static int is_ours(uint64_t pc)
{
	const struct agent_header *area = own_area();

	for (; area; area = (const struct agent_header *)area->next)
		if (pc - (uint64_t)area < AGENT_AREA_SIZE)
			return 1;
	return 0;
}

static int is_breakpoint(uint64_t pc)
{
	const struct agent_header *area = own_area();

	for (; area; area = (const struct agent_header *)area->next) {
		const uint64_t *table = (const uint64_t *)((uint64_t)area + AGENT_TABLE);

		for (uint64_t i = 0; i < AGENT_SLOT_COUNT; i++)
			if (table[i] && AGENT_ENTRY_ADDRESS(table[i]) == pc)
				return 1;
	}
	return 0;
}

/* A SIGTRAP that is the target's own affair. */
static void pass_on(int signal, struct agent_siginfo *info, struct agent_ucontext *context)
{
	const struct agent_sigaction *previous = &own_area()->previous;

	if (previous->handler == ACTION_IGNORE)
		return;
	if (previous->handler == ACTION_DEFAULT) {
		struct agent_sigaction action = *previous;

		/* It is delivered, and ends the process, when this handler returns. */
		call(SYSCALL_SIGACTION, SIGNAL_TRAP, (uint64_t)&action, 0, 8);
		call(SYSCALL_TGKILL, (uint64_t)call(SYSCALL_GETPID, 0, 0, 0, 0),
		     (uint64_t)call(SYSCALL_GETTID, 0, 0, 0, 0), SIGNAL_TRAP, 0);
		return;
	}
	/*
	 * A jump, not a call, and its own sa_restorer stands on the stack: no return
	 * address of ours, so that memattach may go while the target's handler runs.
	 */
	((void (*)(int, void *, void *))previous->handler)(signal, info, context);
}

__attribute__((used)) void agent_handle_trap(int signal, struct agent_siginfo *info,
					     struct agent_ucontext *context)
{
	uint64_t next;

	if (info->code == CODE_HARDWARE || info->code == CODE_TRACE)
		return;
	next = find(context->rip - 1);
	if (next) {
		context->rip = next;
		return;
	}
	if (is_ours(context->rip) || is_breakpoint(context->rip))
		return;
	pass_on(signal, info, context);
}
