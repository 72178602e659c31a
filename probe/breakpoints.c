// SPDX-License-Identifier: MIT
/*
 * An array of breakpoints, and beside it a hash of their addresses with linear
 * probing, which is asked at every stop. Both are rebuilt when a module goes.
 */
#include "probe/breakpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/vec.h"
#include "probe/relocate_x86_64.h"

struct breakpoints {
	struct tracee *tracee;
	struct areas *areas;
	struct breakpoint *items;
	size_t n, cap;
	size_t unplanted;
	u32 *by_address; /* index + 1; 0: empty */
	u32 mask;
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

/*
 * Writes the displaced instruction into a slot. If it cannot run there the slot
 * only says, for the agent, what stood in the place of the int3.
 */
static void give_slot(struct breakpoints *b, struct breakpoint *bp, const u8 *code, size_t len)
{
	u64 slot = areas_take_slot(b->areas, bp->address);
	struct slot_code made;
	bool can_run;

	if (!slot)
		return;
	can_run = relocate_instruction(code, len, bp->address, slot, &made) == 0;
	if (areas_fill_slot(b->areas, slot, bp->address, bp->original, can_run ? &made : NULL)) {
		areas_give_slot(b->areas, slot);
		return;
	}
	bp->slot = slot;
	bp->length = can_run ? (u8)made.instruction_length : 0;
}

int breakpoints_add(struct breakpoints *b, u64 address, u32 module, enum breakpoint_use use,
		    const struct call_spec *spec, struct err *err)
{
	struct breakpoint *bp = breakpoints_find(b, address);
	u8 code[INSTRUCTION_MAX];
	ssize_t n;

	if (bp) {
		if (use == USE_ENTRY && !(bp->uses & USE_ENTRY))
			bp->spec = *spec;
		bp->uses |= use;
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
		.address = address, .module = module, .uses = use, .original = code[0]};
	if (spec)
		bp->spec = *spec;
	give_slot(b, bp, code, (size_t)n);
	index_one(b, (u32)b->n++);
	b->unplanted++;
	return 0;
}

int breakpoints_plant(struct breakpoints *b, struct err *err)
{
	static const u8 int3 = BREAKPOINT_BYTE;

	/* The newest are last. */
	for (size_t i = b->n; i-- > 0 && b->unplanted;) {
		struct breakpoint *bp = &b->items[i];
		int ret;

		if (bp->planted)
			continue;
		ret = proc_mem_write(tracee_mem(b->tracee), bp->address, &int3, 1);
		if (ret)
			return err_sys(err, -ret, "cannot plant a breakpoint at %#lx", bp->address);
		bp->planted = true;
		b->unplanted--;
	}
	return 0;
}

void breakpoints_forget_module(struct breakpoints *b, u32 module)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].module != module) {
			b->items[kept++] = b->items[i];
			continue;
		}
		areas_give_slot(b->areas, b->items[i].slot);
		b->unplanted -= !b->items[i].planted;
	}
	if (kept == b->n)
		return;
	b->n = kept;
	index_all(b);
}

void breakpoints_forget_all(struct breakpoints *b)
{
	b->n = b->unplanted = 0;
	index_all(b);
}

int breakpoints_lift(const struct breakpoints *b, const struct proc_mem *mem)
{
	int first = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct breakpoint *bp = &b->items[i];
		u8 now;
		int ret = 0;

		/* The module may have been unmapped, or the code rewritten, since. */
		if (!bp->planted || proc_mem_read(mem, bp->address, &now, 1) != 1 ||
		    now != BREAKPOINT_BYTE)
			continue;
		ret = proc_mem_write(mem, bp->address, &bp->original, 1);
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

	ret = tracee_stop_all(b->tracee, NULL);
	if (ret)
		return ret;
	ret = tracee_set_pc(thread, address);
	if (ret == 0)
		ret = proc_mem_write(mem, address, &bp->original, 1);
	if (ret == 0) {
		ret = tracee_step(b->tracee, thread);
		undo = proc_mem_write(mem, address, &int3, 1);
		if (!ret)
			ret = undo;
	}
	/* It is still in its stop: only the others run again. */
	thread->state = THREAD_RUNNING;
	tracee_resume_all(b->tracee);
	thread->state = THREAD_STOPPED;
	return ret;
}

int breakpoints_pass(struct breakpoints *b, struct breakpoint *bp, struct thread *thread)
{
	if (!bp->slot && !bp->slot_tried) {
		u8 code[INSTRUCTION_MAX];
		ssize_t n = proc_mem_read(tracee_mem(b->tracee), bp->address, code, sizeof(code));

		code[0] = bp->original;
		if (n > 0 && areas_wanted(b->areas, bp->address)) {
			/* If we die in the middle of it the thread is to run into the int3 again. */
			if (tracee_set_pc(thread, bp->address) == 0)
				tracee_drop_signal(thread);
			areas_map(b->areas, bp->address, thread, NULL);
		}
		bp->slot_tried = !areas_wanted(b->areas, bp->address);
		if (n > 0)
			give_slot(b, bp, code, (size_t)n);
	}
	if (bp->length)
		return tracee_set_pc(thread, bp->slot);
	return step_over(b, bp, thread);
}

u32 breakpoints_count(const struct breakpoints *b)
{
	return (u32)b->n;
}
