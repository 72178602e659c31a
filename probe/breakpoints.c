// SPDX-License-Identifier: MIT
/*
 * An array of breakpoints, and beside it a hash of their addresses with linear
 * probing, which is asked at every stop. Both are rebuilt when a module goes.
 */
#include "probe/breakpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/vec.h"
#include "probe/jump_x86_64.h"

/* The longest prologue: its last instruction may begin at byte 4. */
#define CODE_MAX (AGENT_JUMP - 1 + INSTRUCTION_MAX)

/*
 * Those of modules that have been unloaded, for children that were born before that and are
 * cleaned after it. That is soon: a child stops before its first instruction.
 */
#define GONE_NS 10000000000ULL

struct gone {
	struct breakpoint breakpoint;
	u64 since; /* clock_ns */
};

struct breakpoints {
	struct tracee *tracee;
	struct areas *areas;
	struct breakpoint *items;
	size_t n, cap;
	size_t unplanted;
	u32 *by_address; /* index + 1; 0: empty */
	u32 mask;
	struct gone *gone;
	size_t gone_n, gone_cap;
};

struct breakpoints *breakpoints_create(struct tracee *tracee, struct areas *areas, struct err *err)
{
	struct breakpoints *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	b->tracee = tracee;
	b->areas = areas;
	b->mask = 255;
	b->by_address = calloc(b->mask + 1, sizeof(u32));
	if (!b->by_address) {
		breakpoints_destroy(b);
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return b;
}

void breakpoints_destroy(struct breakpoints *b)
{
	if (!b)
		return;
	free(b->items);
	free(b->by_address);
	free(b->gone);
	free(b);
}

static void index_one(struct breakpoints *b, u32 index)
{
	u32 i = (u32)hash_u64(b->items[index].address) & b->mask;

	while (b->by_address[i])
		i = (i + 1) & b->mask;
	b->by_address[i] = index + 1;
}

static void index_all(struct breakpoints *b)
{
	memset(b->by_address, 0, ((size_t)b->mask + 1) * sizeof(u32));
	for (size_t i = 0; i < b->n; i++)
		index_one(b, (u32)i);
}

static int grow(struct breakpoints *b)
{
	u32 mask = b->mask * 2 + 1;
	u32 *by_address;

	if (vec_reserve((void **)&b->items, &b->cap, b->n + 1, sizeof(*b->items)))
		return -ENOMEM;
	if ((b->n + 1) * 2 <= b->mask)
		return 0;
	by_address = calloc((size_t)mask + 1, sizeof(u32));
	if (!by_address)
		return -ENOMEM;
	free(b->by_address);
	b->by_address = by_address;
	b->mask = mask;
	index_all(b);
	return 0;
}

struct breakpoint *breakpoints_find(const struct breakpoints *b, u64 address)
{
	for (u32 i = (u32)hash_u64(address) & b->mask; b->by_address[i]; i = (i + 1) & b->mask)
		if (b->items[b->by_address[i] - 1].address == address)
			return &b->items[b->by_address[i] - 1];
	return NULL;
}

/* The beginning of a function, as long as a jump over it would be: then that can be planted at any time. */
static bool make_prologue(struct agent_slot *made, const struct breakpoint *bp, u64 slot,
			  const u8 *code, size_t len)
{
	struct prologue prologue;

	if (!(bp->uses & USE_ENTRY) ||
	    relocate_prologue(code, len, bp->address, slot, AGENT_JUMP, &prologue))
		return false;
	memcpy(made->code, prologue.bytes, prologue.length);
	memcpy(made->original, code, prologue.displaced);
	made->flags = AGENT_SLOT_PROLOGUE;
	made->displaced = (u8)prologue.displaced;
	made->steps = (u8)prologue.steps;
	memcpy(made->from, prologue.from, prologue.steps);
	memcpy(made->to, prologue.to, prologue.steps);
	return true;
}

static void make_single(struct agent_slot *made, const struct breakpoint *bp, u64 slot,
			const u8 *code, size_t len)
{
	struct slot_code one;

	memset(made, 0, sizeof(*made));
	made->original[0] = bp->original[0];
	if (relocate_instruction(code, len, bp->address, slot, &one))
		return;
	memcpy(made->code, one.bytes, one.length);
	memcpy(made->original, code, one.instruction_length);
	made->displaced = (u8)one.instruction_length;
	made->steps = 1;
	if (one.after) {
		made->from[1] = made->displaced;
		made->to[1] = (u8)one.after;
		made->steps = 2;
	}
}

/*
 * Writes the displaced instructions into a slot. If they cannot run there the slot
 * only says, for the agent, what stood in the place of the int3.
 */
static void give_slot(struct breakpoints *b, struct breakpoint *bp, const u8 *code, size_t len)
{
	u64 slot = areas_take_slot(b->areas, bp->address);
	struct agent_slot made = {0};

	if (!slot)
		return;
	if (!make_prologue(&made, bp, slot, code, len))
		make_single(&made, bp, slot, code, len);
	if (areas_write_slot(b->areas, slot, bp->address, &made)) {
		areas_give_slot(b->areas, slot);
		return;
	}
	bp->slot = slot;
	bp->displaced = made.displaced;
	bp->length = made.steps > 1 ? made.from[1] : made.displaced;
	if (made.displaced)
		memcpy(bp->original, made.original, made.displaced);
}

int breakpoints_add(struct breakpoints *b, u64 address, u32 module, enum breakpoint_use use,
		    const struct call_spec *spec, struct err *err)
{
	struct breakpoint *bp = breakpoints_find(b, address);
	u8 code[CODE_MAX];
	ssize_t n;

	if (bp) {
		if (use == USE_ENTRY && !(bp->uses & USE_ENTRY))
			bp->spec = *spec;
		bp->uses |= use;
		/* It is wanted again. */
		b->unplanted += bp->lifted;
		bp->lifted = false;
		return 0;
	}
	if (grow(b))
		return err_set(err, ENOMEM, "out of memory");
	n = proc_mem_read(tracee_mem(b->tracee), address, code, sizeof(code));
	if (n <= 0)
		return err_sys(err, n < 0 ? (int)-n : EFAULT, "cannot read code at %#lx", address);
	if (code[0] == BREAKPOINT_BYTE)
		return err_set(err, EBUSY, "there is a breakpoint at %#lx already", address);
	bp = &b->items[b->n];
	*bp = (struct breakpoint){
		.address = address, .module = module, .uses = use, .original = {code[0]}};
	if (spec)
		bp->spec = *spec;
	give_slot(b, bp, code, (size_t)n);
	index_one(b, (u32)b->n++);
	b->unplanted++;
	return 0;
}

static bool needs_planting(const struct breakpoint *bp)
{
	return !bp->planted && !bp->jump && !bp->lifted;
}

int breakpoints_plant(struct breakpoints *b, struct err *err)
{
	static const u8 int3 = BREAKPOINT_BYTE;

	/* The newest are last. */
	for (size_t i = b->n; i-- > 0 && b->unplanted;) {
		struct breakpoint *bp = &b->items[i];
		int ret;

		if (!needs_planting(bp))
			continue;
		ret = proc_mem_write(tracee_mem(b->tracee), bp->address, &int3, 1);
		if (ret)
			return err_sys(err, -ret, "cannot plant a breakpoint at %#lx", bp->address);
		bp->planted = true;
		b->unplanted--;
	}
	return 0;
}

/*
 * For children that were born before. Without memory they keep it, and so with less than a jump's
 * bytes displaced: they would not tell whose code it is there.
 */
static void note_gone(struct breakpoints *b, const struct breakpoint *bp)
{
	if (bp->displaced >= AGENT_JUMP &&
	    vec_reserve((void **)&b->gone, &b->gone_cap, b->gone_n + 1, sizeof(*b->gone)) == 0)
		b->gone[b->gone_n++] = (struct gone){*bp, clock_ns()};
}

static void drop_old_gone(struct breakpoints *b)
{
	u64 now = clock_ns();
	size_t kept = 0;

	for (size_t i = 0; i < b->gone_n; i++)
		if (now - b->gone[i].since < GONE_NS)
			b->gone[kept++] = b->gone[i];
	b->gone_n = kept;
}

void breakpoints_forget_module(struct breakpoints *b, u32 module)
{
	size_t kept = 0;

	drop_old_gone(b);
	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].module != module) {
			b->items[kept++] = b->items[i];
			continue;
		}
		note_gone(b, &b->items[i]);
		areas_give_slot(b->areas, b->items[i].slot);
		b->unplanted -= needs_planting(&b->items[i]);
	}
	if (kept == b->n)
		return;
	b->n = kept;
	index_all(b);
}

void breakpoints_forget_all(struct breakpoints *b)
{
	b->n = b->unplanted = 0;
	b->gone_n = 0;
	index_all(b);
}

int breakpoints_retire(struct breakpoints *b, struct breakpoint *bp)
{
	int ret = proc_mem_write(tracee_mem(b->tracee), bp->address, bp->original, 1);

	if (ret)
		return ret;
	bp->planted = false;
	bp->lifted = true;
	return 0;
}

void breakpoints_note_jump(struct breakpoints *b, struct breakpoint *bp)
{
	b->unplanted -= needs_planting(bp);
	bp->planted = false;
	bp->jump = true;
}

struct breakpoint *breakpoints_at(const struct breakpoints *b, u32 i)
{
	return &b->items[i];
}

/*
 * may_jump, may_trap: whether it is ours if it is there. The module may have been unmapped, or the
 * code rewritten, since: then it is left alone.
 */
static int lift_one(const struct breakpoint *bp, const struct proc_mem *mem, bool may_jump,
		    bool may_trap)
{
	size_t size = bp->slot && bp->displaced >= AGENT_JUMP ? AGENT_JUMP : BREAKPOINT_LENGTH;
	u8 now[AGENT_JUMP], jump[AGENT_JUMP];
	ssize_t n = proc_mem_read(mem, bp->address, now, size);

	if (may_jump && n == AGENT_JUMP &&
	    jump_encode(jump, bp->address, bp->slot + AGENT_SLOT_STUB) &&
	    memcmp(now, jump, AGENT_JUMP) == 0)
		return proc_mem_write(mem, bp->address, bp->original, AGENT_JUMP);
	if (may_trap && n > 0 && now[0] == BREAKPOINT_BYTE)
		return proc_mem_write(mem, bp->address, bp->original, BREAKPOINT_LENGTH);
	return 0;
}

int breakpoints_lift(const struct breakpoints *b, const struct proc_mem *mem)
{
	int first = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct breakpoint *bp = &b->items[i];
		int ret = lift_one(bp, mem, bp->jump, bp->planted);

		if (ret && !first)
			first = ret;
	}
	return first;
}

/*
 * What is behind its first byte is what the module had there: the child may have been born
 * without the module, and have anything in its place.
 */
static bool is_whole(const struct breakpoint *bp, const struct proc_mem *mem)
{
	u8 now[AGENT_JUMP];

	return proc_mem_read(mem, bp->address, now, sizeof(now)) == (ssize_t)sizeof(now) &&
	       memcmp(now + BREAKPOINT_LENGTH, bp->original + BREAKPOINT_LENGTH,
		      sizeof(now) - BREAKPOINT_LENGTH) == 0;
}

static int lift_gone(const struct breakpoints *b, const struct proc_mem *mem)
{
	u64 now = clock_ns();
	int first = 0;

	for (size_t i = 0; i < b->gone_n; i++) {
		const struct breakpoint *bp = &b->gone[i].breakpoint;
		int ret = now - b->gone[i].since < GONE_NS
				  ? lift_one(bp, mem, true, is_whole(bp, mem))
				  : 0;

		if (ret && !first)
			first = ret;
	}
	return first;
}

int breakpoints_lift_child(const struct breakpoints *b, const struct proc_mem *mem)
{
	/* First, since another module may have a breakpoint at such a place by now. */
	int first = lift_gone(b, mem);

	for (size_t i = 0; i < b->n; i++) {
		int ret = lift_one(&b->items[i], mem, true, true);

		if (ret && !first)
			first = ret;
	}
	return first;
}

/* One step with everybody else standing still and the original byte in place. */
static int step_over(struct breakpoints *b, struct breakpoint *bp, struct thread *thread)
{
	static const u8 int3 = BREAKPOINT_BYTE;
	const struct proc_mem *mem = tracee_mem(b->tracee);
	u64 address = bp->address;
	int ret, undo;

	ret = tracee_hold(b->tracee, NULL);
	if (ret == 0)
		ret = tracee_set_pc(thread, address);
	if (ret == 0)
		ret = proc_mem_write(mem, address, bp->original, 1);
	if (ret == 0) {
		ret = tracee_step(b->tracee, thread);
		undo = proc_mem_write(mem, address, &int3, 1);
		if (!ret)
			ret = undo;
	}
	tracee_unhold(b->tracee, thread);
	return ret;
}

static void find_slot(struct breakpoints *b, struct breakpoint *bp, struct thread *thread)
{
	u8 code[CODE_MAX];
	ssize_t n = proc_mem_read(tracee_mem(b->tracee), bp->address, code, sizeof(code));

	code[0] = bp->original[0];
	if (n > 0 && areas_wanted(b->areas, bp->address))
		areas_map(b->areas, bp->address, thread, NULL);
	bp->slot_tried = !areas_wanted(b->areas, bp->address);
	if (n > 0)
		give_slot(b, bp, code, (size_t)n);
}

void breakpoints_find_slot(struct breakpoints *b, u64 address, struct thread *thread)
{
	struct breakpoint *bp = breakpoints_find(b, address);

	if (bp && !bp->slot && !bp->slot_tried)
		find_slot(b, bp, thread);
}

int breakpoints_pass(struct breakpoints *b, struct breakpoint *bp, struct thread *thread)
{
	if (bp->lifted || bp->jump)
		return tracee_set_pc(thread, bp->address);
	if (!bp->slot && !bp->slot_tried) {
		/* If we die in the middle of it the thread is to run into the int3 again. */
		if (areas_wanted(b->areas, bp->address) && tracee_set_pc(thread, bp->address) == 0)
			tracee_drop_signal(thread);
		find_slot(b, bp, thread);
	}
	if (bp->length)
		return tracee_set_pc(thread, bp->slot);
	return step_over(b, bp, thread);
}

u32 breakpoints_count(const struct breakpoints *b)
{
	return (u32)b->n;
}
