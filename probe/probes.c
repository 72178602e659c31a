// SPDX-License-Identifier: MIT
/*
 * The trap back end. The way of one malloc, and what each stop costs:
 *
 *	int3 on malloc's first byte	GETREGS, the stack (process_vm_readv),
 *					POKEUSER of rip to the slot, CONT
 *	int3 at the return address	GETREGS, POKEUSER of rip to the slot, CONT
 *
 * The breakpoint at a return address is planted when the call site is first
 * seen, and stays. Code that belongs to no module (JIT) is not written to: its
 * owner may copy or rewrite it; there a debug register watches the return.
 */
#include "probe/probes_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "attach/ptrace.h"
#include "base/clock.h"
#include "probe/agent_service_x86_64.h"
#include "probe/debug_register_x86_64.h"
#include "probe/mixed.h"
#include "probe/nesting.h"

struct probes *probes_create(struct tracee *tracee, struct unwinder *unwinder,
			     const struct probes_config *config, const struct probe_host *host,
			     struct err *err)
{
	struct probes *probes = calloc(1, sizeof(*probes));

	if (!probes) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	probes->tracee = tracee;
	probes->unwinder = unwinder;
	probes->config = *config;
	probes->host = *host;
	if (getrandom(&probes->sample_seed, sizeof(probes->sample_seed), GRND_NONBLOCK) < 0)
		probes->sample_seed = clock_ns();
	probes->areas = areas_create(tracee, config->mode != PROBES_TRAP, err);
	if (probes->areas)
		probes->breakpoints = breakpoints_create(tracee, probes->areas, err);
	if (probes->breakpoints && config->mode != PROBES_TRAP)
		probes->jumps =
			jumps_create(tracee, probes->areas, probes->breakpoints, config, host, err);
	if (!probes->breakpoints || (config->mode != PROBES_TRAP && !probes->jumps)) {
		probes_destroy(probes);
		return NULL;
	}
	return probes;
}

void probes_destroy(struct probes *probes)
{
	struct threads *threads;

	if (!probes)
		return;
	threads = tracee_threads(probes->tracee);
	for (u32 i = 0; i < threads_count(threads); i++) {
		free(threads_at(threads, i)->calls);
		threads_at(threads, i)->calls = NULL;
	}
	probes_forget_functions(probes);
	probes_forget_areas(probes);
	free(probes->considered);
	probes_forget_forks(probes);
	jumps_destroy(probes->jumps);
	breakpoints_destroy(probes->breakpoints);
	areas_destroy(probes->areas);
	free(probes);
}

void probes_set_entry(struct probes *probes, u64 entry, u64 *unfinished)
{
	areas_set_entry(probes->areas, entry, unfinished);
}

int probes_add(struct probes *probes, const struct probe_function *function, struct err *err)
{
	const struct breakpoint *bp = breakpoints_find(probes->breakpoints, function->address);
	int ret;

	if (bp && bp->uses & USE_ENTRY)
		return 0;
	ret = breakpoints_add(probes->breakpoints, function->address, function->module, USE_ENTRY,
			      &function->spec, err);
	if (ret)
		return ret;
	breakpoints_find(probes->breakpoints, function->address)->custom = function->custom;
	return probes_note_function(probes, function) ? err_set(err, ENOMEM, "out of memory") : 0;
}

int probes_add_rendezvous(struct probes *probes, u64 address, u32 module, struct err *err)
{
	return breakpoints_add(probes->breakpoints, address, module, USE_RENDEZVOUS, NULL, err);
}

int probes_plant(struct probes *probes, struct err *err)
{
	return breakpoints_plant(probes->breakpoints, err);
}

void probes_forget_module(struct probes *probes, u32 module)
{
	if (probes->jumps)
		jumps_forget_module(probes->jumps, module);
	breakpoints_forget_module(probes->breakpoints, module);
}

u32 probes_count(const struct probes *probes)
{
	return breakpoints_count(probes->breakpoints);
}

void probes_prepare(struct probes *probes, u64 address, struct err *err)
{
	if (areas_wanted(probes->areas, address))
		areas_map(probes->areas, address, NULL, err);
}

bool probes_agent_is_lost(const struct probes *probes)
{
	return areas_agent_is_lost(probes->areas);
}

void probes_restore_agent(struct probes *probes, struct err *err)
{
	areas_restore_agent(probes->areas, err);
}

static struct calls *calls_of(struct thread *thread)
{
	if (!thread->calls)
		thread->calls = calloc(1, sizeof(struct calls));
	return thread->calls;
}

struct drop_context {
	struct probes *probes;
	struct thread *thread;
};

/* A call that was left without returning. */
static void drop(void *ctx, struct call *call)
{
	struct drop_context *drop = ctx;
	struct heap_event event = {.kind = HEAP_REALLOC_LOST,
				   .thread = probes_thread_number(drop->probes, drop->thread),
				   .realloc = call->scratch};

	if (call->hardware)
		debug_register_clear(drop->thread, call);
	if (call->taken) {
		drop->probes->host.events(drop->probes->host.ctx, &event, 1);
		probes_realloc_undone(drop->probes, call);
	}
}

static void cut_calls(struct probes *probes, struct thread *thread, struct calls *calls, u32 n)
{
	struct drop_context ctx = {.probes = probes, .thread = thread};

	calls_cut(calls, n, drop, &ctx);
}

/* Sees to it that the return to call->ret stops the thread. */
static int watch_return(struct probes *probes, struct thread *thread, struct call *call)
{
	struct breakpoint *bp = breakpoints_find(probes->breakpoints, call->ret);
	u32 module;

	if (bp && !bp->lifted) {
		bp->uses |= USE_RETURN;
		return 0;
	}
	if (probes->host.is_code(probes->host.ctx, call->ret, &module) &&
	    breakpoints_add(probes->breakpoints, call->ret, module, USE_RETURN, NULL, NULL) == 0)
		return breakpoints_plant(probes->breakpoints, NULL);
	call->hardware = true;
	return debug_register_set(thread, call);
}

static int record_stack(struct probes *probes, struct thread *thread, struct call *call, u64 entry)
{
	enum unwind_end end;
	u32 n;

	end = nesting_walk(probes, thread, entry, probes->config.depth + 1, &n);
	if (n < 2)
		return -EFAULT;
	/* The walk has read it from the top of the stack, and looks calls up at their last byte. */
	call->ret = probes->pcs[1] + 1;
	return probes->host.stack(probes->host.ctx, probes->pcs + 1, n - 1, end, &call->stack);
}

static u64 product(const struct thread_regs *regs, const struct call_spec *spec)
{
	u64 size = spec->size ? regs_argument(regs, spec->size) : 0;
	u64 bytes;

	if (!spec->count)
		return size;
	/* An overflow makes the call fail; what was asked for is then not representable. */
	if (__builtin_mul_overflow(size, regs_argument(regs, spec->count), &bytes))
		return UINT64_MAX;
	return bytes;
}

static void lost(struct probes *probes, const char *why)
{
	probes->host.lost(probes->host.ctx, why);
}

/* Opens a call that will return something: its stack, its return. */
static void open_call(struct probes *probes, struct thread *thread, struct calls *calls,
		      const struct call_spec *spec, u64 entry)
{
	const struct thread_regs *regs = &thread->regs;
	struct heap_event begin = {.kind = HEAP_REALLOC_BEGIN,
				   .thread = probes_thread_number(probes, thread)};
	struct call *call;

	calls->last_free = 0;
	if (calls->n == CALLS_MAX) {
		lost(probes, "allocator calls nested in signal handlers too deep");
		return;
	}
	call = &calls->items[calls->n];
	*call = (struct call){.sp = regs_sp(regs),
			      .entry = entry,
			      .size = product(regs, spec),
			      .kind = (u8)spec->kind};
	if (spec->kind == CALL_REALLOC)
		call->ptr = regs_argument(regs, spec->ptr);
	call->frees = spec->frees;
	if (spec->out) {
		call->has_out = true;
		call->out = regs_argument(regs, spec->out);
	}
	call->part = probes_sample(probes, calls, call);
	if (call->part != CALL_WHOLE)
		call->ret = nesting_return_address(probes, call->sp);
	if (call->part == CALL_UNRECORDED) {
		calls->n += call->ret != 0;
		return;
	}
	if (call->part == CALL_WHOLE && record_stack(probes, thread, call, entry)) {
		lost(probes, "a call stack could not be recorded");
		return;
	}
	calls->n++;
	if (watch_return(probes, thread, call)) {
		calls->n--;
		lost(probes, "the return of an allocator call could not be watched");
		return;
	}
	if (call->ptr) {
		call->taken = true;
		probes_realloc_begins(probes, call);
		begin.address = call->ptr;
		begin.realloc = call->scratch;
		probes->host.events(probes->host.ctx, &begin, 1);
	}
}

/* A free that is said already: opened only so that calls inside it do not count. */
static void open_free(struct probes *probes, struct thread *thread, struct calls *calls, u64 entry)
{
	u64 sp = regs_sp(&thread->regs);
	struct call *call;

	if (calls->n == CALLS_MAX)
		return;
	call = &calls->items[calls->n++];
	*call = (struct call){.sp = sp,
			      .entry = entry,
			      .ret = nesting_return_address(probes, sp),
			      .kind = CALL_FREE};
	if (!call->ret || watch_return(probes, thread, call)) {
		calls->n--;
		lost(probes, "the return of a --free function could not be watched");
	}
}

/* This free was said before a signal set the thread back onto the breakpoint. */
static bool was_said(struct calls *calls, u64 entry, u64 sp, u64 block)
{
	bool said = calls->said_pc == entry && calls->said_sp == sp && calls->said_block == block;

	if (said || sp >= calls->said_sp)
		calls->said_pc = 0;
	return said;
}

static void on_entry(struct probes *probes, struct thread *thread, const struct call_spec *spec,
		     u64 entry)
{
	struct calls *calls = calls_of(thread);
	struct heap_event event = {.kind = HEAP_FREE,
				   .thread = probes_thread_number(probes, thread)};
	u64 sp = regs_sp(&thread->regs);
	u32 alive;

	if (!calls) {
		lost(probes, "out of memory");
		return;
	}
	/* Nearly all frees, with sampling. */
	event.address = spec->kind == CALL_FREE ? regs_argument(&thread->regs, spec->ptr) : 0;
	if (probes->config.sample && spec->kind == CALL_FREE && !spec->nests &&
	    !probes->host.has(probes->host.ctx, event.address)) {
		/* Perhaps since it was said: its next free is another one. */
		was_said(calls, entry, sp, event.address);
		return;
	}
	if (nesting_is_tail_call(probes, calls, entry, sp) ||
	    mixed_is_nested(probes, thread, entry))
		return;
	alive = calls_alive(calls, sp);
	cut_calls(probes, thread, calls, alive);
	if (alive > 0 && nesting_is_nested(probes, thread, calls, entry, alive))
		return;
	if (alive > calls->barrier)
		cut_calls(probes, thread, calls, calls->barrier);
	if (spec->kind != CALL_FREE) {
		open_call(probes, thread, calls, spec, entry);
		return;
	}
	if (event.address && !was_said(calls, entry, sp, event.address)) {
		event.sp = sp;
		event.next = calls->countdown == calls->fresh;
		event.settled = probes_block_is_out(probes, event.address);
		event.again = (calls->last_free == event.address && sp <= calls->last_free_sp) ||
			      mixed_was_freed(probes, event.thread, event.address);
		calls->last_free = event.address;
		calls->last_free_sp = sp;
		probes->host.events(probes->host.ctx, &event, 1);
	}
	if (spec->nests)
		open_free(probes, thread, calls, entry);
}

/* The address that the call has returned; 0 if it failed. */
static u64 result_of(struct probes *probes, const struct thread *thread, const struct call *call)
{
	u64 value = regs_return_value(&thread->regs);

	if (!call->has_out)
		return value;
	if ((u32)value != 0)
		return 0;
	if (proc_mem_read(tracee_mem(probes->tracee), call->out, &value, sizeof(value)) !=
	    (ssize_t)sizeof(value)) {
		lost(probes, "the result of an allocation could not be read");
		return 0;
	}
	return value;
}

static void close_call(struct probes *probes, struct thread *thread, struct call *call)
{
	struct heap_event event;

	if (call->kind == CALL_FREE || call->part == CALL_UNRECORDED)
		return;
	event = (struct heap_event){.thread = probes_thread_number(probes, thread),
				    .address = result_of(probes, thread, call),
				    .size = call->size,
				    .stack = call->stack,
				    .realloc = call->scratch};

	if (!call->ptr)
		event.kind = event.address ? HEAP_ALLOC : HEAP_FAILED;
	else if (event.address || call->size == 0 || call->frees)
		event.kind = HEAP_REALLOC_DONE; /* realloc(p, 0) frees and may return NULL */
	else
		event.kind = HEAP_REALLOC_FAILED;
	/* malloc(0) and realloc(NULL, 0) may return NULL without having failed. */
	if (event.kind == HEAP_FAILED && call->size == 0)
		return;
	if (call->part == CALL_OLD_BLOCK)
		event.address = 0;
	if (event.address)
		probes_block_comes(probes, event.address);
	event.settled = !call->filtered;
	probes->host.events(probes->host.ctx, &event, 1);
	if (event.kind == HEAP_REALLOC_FAILED)
		probes_realloc_undone(probes, call);
}

static void on_return(struct probes *probes, struct thread *thread, u64 pc)
{
	struct calls *calls = thread->calls;
	struct call call;
	int i;

	if (!calls || !calls->n)
		return;
	i = calls_match_return(calls, pc, regs_sp(&thread->regs));
	if (i < 0)
		return;
	cut_calls(probes, thread, calls, (u32)i + 1);
	call = calls->items[i];
	calls->n--;
	if (calls->barrier > calls->n)
		calls->barrier = 0;
	if (call.hardware)
		debug_register_clear(thread, &calls->items[i]);
	close_call(probes, thread, &call);
	calls->fresh = call.part == CALL_WHOLE ? calls->countdown : calls->fresh;
}

bool probes_was_sent(const struct thread *thread, const struct breakpoint *bp)
{
	siginfo_t info;

	if (bp->length > BREAKPOINT_LENGTH)
		return false;
	return pt(PTRACE_GETSIGINFO, thread->tid, 0, (u64)(uintptr_t)&info) == 0 &&
	       info.si_code != SI_KERNEL;
}

bool probes_watches(const struct thread *thread)
{
	const struct calls *calls = thread->calls;

	for (u32 i = 0; calls && i < calls->n; i++)
		if (calls->items[i].hardware && calls->items[i].ret == regs_pc(&thread->regs))
			return true;
	return false;
}

/* What the breakpoint is there for. */
static void serve(struct probes *probes, struct thread *thread, const struct breakpoint *bp)
{
	u64 address = bp->address;
	u8 uses = bp->uses;
	struct call_spec spec = bp->spec;

	thread->regs.u.rip = address;
	if (uses & USE_RETURN)
		on_return(probes, thread, address);
	if (uses & USE_ENTRY)
		on_entry(probes, thread, &spec, address);
	if (uses & USE_RENDEZVOUS)
		probes->host.rendezvous(probes->host.ctx, thread);
	else
		mixed_share_calls(probes, thread);
}

/* cut_calls, when the books are not held yet. */
static void cut_calls_at_stop(struct probes *probes, struct thread *thread, struct calls *calls,
			      u32 n)
{
	probes->host.enter(probes->host.ctx);
	cut_calls(probes, thread, calls, n);
	probes->host.leave(probes->host.ctx);
}

/*
 * The thread was served at a breakpoint, and is set back onto it: it will run
 * into it once more, unless a signal handler leaves by longjmp. A call that was
 * opened there is opened again then; a return finds its call closed; a free that
 * was said is remembered, so that it is not said twice.
 */
static void rewind_to(struct probes *probes, struct thread *thread, u64 address)
{
	const struct breakpoint *bp = breakpoints_find(probes->breakpoints, address);
	struct calls *calls = thread->calls;
	u64 sp = regs_sp(&thread->regs);

	if (!bp || !calls || !(bp->uses & USE_ENTRY))
		return;
	/* A call that was entered by a jump from another one stays that other one's. */
	if (bp->spec.kind == CALL_FREE) {
		calls->said_pc = address;
		calls->said_sp = sp;
		calls->said_block = regs_argument(&thread->regs, bp->spec.ptr);
	}
	if (calls->n && calls->items[calls->n - 1].sp == sp &&
	    calls->items[calls->n - 1].entry == address)
		cut_calls_at_stop(probes, thread, calls, calls->n - 1);
}

enum probe_verdict probes_trap(struct probes *probes, struct thread *thread)
{
	struct breakpoint *bp;
	u64 address;
	int ret;

	if (tracee_get_regs(thread))
		return PROBE_RESUME; /* gone; its EVENT_GONE follows */
	if (agent_service_question(probes->areas, probes->tracee, thread)) {
		thread->trapped = true;
		return PROBE_RESUME;
	}
	address = regs_pc(&thread->regs) - BREAKPOINT_LENGTH;
	bp = breakpoints_find(probes->breakpoints, address);
	if (!bp || probes_was_sent(thread, bp)) {
		if (probes_watches(thread)) {
			probes->host.enter(probes->host.ctx);
			on_return(probes, thread, regs_pc(&thread->regs));
			probes->host.leave(probes->host.ctx);
			return PROBE_RESUME;
		}
		probes_signal(probes, thread);
		return PROBE_FOREIGN;
	}
	thread->trapped = true;
	/* What is a jump now, or nothing any more, is to be run into again. */
	if (!bp->jump && !bp->lifted) {
		probes->host.enter(probes->host.ctx);
		serve(probes, thread, bp);
		probes->host.leave(probes->host.ctx);
	}
	/* It may have moved, or be gone with its module. */
	bp = breakpoints_find(probes->breakpoints, address);
	if (!bp) {
		tracee_set_pc(thread, address);
		return PROBE_RESUME;
	}
	ret = breakpoints_pass(probes->breakpoints, bp, thread);
	if (ret == -EAGAIN)
		rewind_to(probes, thread, address);
	return thread->has_status ? PROBE_LATER : PROBE_RESUME;
}

void probes_stopped(struct probes *probes)
{
	if (probes->jumps)
		agent_service_stopped(probes->areas, jumps_channel(probes->jumps), probes->tracee);
}

void probes_signal(struct probes *probes, struct thread *thread)
{
	struct calls *calls;
	enum area_place place;

	if (tracee_get_regs(thread))
		return;
	if (probes->jumps)
		agent_service_signal(probes->areas, jumps_channel(probes->jumps), thread);
	place = areas_translate(probes->areas, &thread->regs, false);
	if (place == AREA_AT_BREAKPOINT || place == AREA_BEHIND)
		tracee_set_regs(thread);
	if (place == AREA_AT_BREAKPOINT)
		rewind_to(probes, thread, regs_pc(&thread->regs));
	calls = thread->calls;
	if (!calls)
		return;
	if (calls->n > calls->barrier) {
		calls->barrier = calls->n;
		calls->interrupted = regs_pc(&thread->regs);
	}
}

void probes_thread_gone(struct probes *probes, struct thread *thread)
{
	if (!thread->calls)
		return;
	cut_calls(probes, thread, thread->calls, 0);
	free(thread->calls);
	thread->calls = NULL;
}

void probes_exec(struct probes *probes)
{
	breakpoints_forget_all(probes->breakpoints);
	if (probes->jumps)
		jumps_forget(probes->jumps);
	probes_forget_functions(probes);
	areas_forget(probes->areas);
}

bool probes_fault(struct probes *probes, struct thread *thread)
{
	return tracee_get_regs(thread) == 0 && agent_service_fault(probes->areas, thread);
}
