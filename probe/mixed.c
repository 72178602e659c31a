// SPDX-License-Identifier: MIT
#include "probe/mixed.h"

#include "agent/frame.h"
#include "probe/agent_on_stack.h"
#include "probe/nesting.h"

static struct channel_thread *place_of(const struct channel_map *map, u64 key, u32 i)
{
	return &map->threads[(channel_thread_first(key) + i) % CHANNEL_THREADS];
}

struct channel_thread *mixed_entry(const struct probes *probes, struct thread *thread, bool make)
{
	const struct channel_map *map = probes->jumps ? jumps_channel(probes->jumps) : NULL;
	u64 key;

	if (!map || !map->ours || tracee_get_regs(thread))
		return NULL;
	key = thread->regs.u.fs_base;
	for (u32 i = 0; i < CHANNEL_THREAD_PROBES && key; i++)
		if (__atomic_load_n(&place_of(map, key, i)->key, __ATOMIC_RELAXED) == key)
			return place_of(map, key, i);
	for (u32 i = 0; i < CHANNEL_THREAD_PROBES && key && make; i++) {
		u64 none = 0;

		if (__atomic_compare_exchange_n(&place_of(map, key, i)->key, &none, key, 0,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return place_of(map, key, i);
	}
	return NULL;
}

bool probes_has_open_call(const struct probes *probes, struct thread *thread)
{
	const struct channel_thread *entry = mixed_entry(probes, thread, false);
	u64 area, address, open = entry ? __atomic_load_n(&entry->open, __ATOMIC_RELAXED) : 0;

	/* It may have been left by longjmp, or have ended: its return address must still be there. */
	return open && !(open & CHANNEL_OPEN_TRAP) &&
	       proc_mem_read(tracee_mem(probes->tracee), open - AGENT_FRAME - sizeof(address),
			     &address, sizeof(address)) == (ssize_t)sizeof(address) &&
	       areas_find(probes->areas, address, &area) &&
	       agent_is_return(tracee_mem(probes->tracee), address);
}

u32 probes_thread_number(const struct probes *probes, struct thread *thread)
{
	const struct channel_thread *entry = mixed_entry(probes, thread, false);

	return entry ? (u32)(entry - jumps_channel(probes->jumps)->threads)
		     : CHANNEL_THREADS + thread->index;
}

void mixed_share_calls(const struct probes *probes, struct thread *thread)
{
	struct calls *calls = thread->calls;
	struct channel_thread *entry;
	u64 open;

	if (!calls || !probes->jumps || !jumps_is_open(probes->jumps))
		return;
	entry = mixed_entry(probes, thread, calls->n > 0 || calls->last_free);
	if (!entry)
		return;
	if (calls->last_free)
		ring_reader_note_free(jumps_reader(probes->jumps),
				      (u32)(entry - jumps_channel(probes->jumps)->threads),
				      calls->last_free);
	open = __atomic_load_n(&entry->open, __ATOMIC_RELAXED);
	if (calls->n) {
		const struct call *call = &calls->items[calls->n - 1];

		if (!(open & CHANNEL_OPEN_TRAP))
			calls->agent_open = open;
		entry->trap_ret = call->ret;
		__atomic_store_n(&entry->open, call->sp | CHANNEL_OPEN_TRAP, __ATOMIC_RELAXED);
	} else if (open & CHANNEL_OPEN_TRAP) {
		__atomic_store_n(&entry->open, calls->agent_open, __ATOMIC_RELAXED);
	}
}

void mixed_share_all(const struct probes *probes)
{
	struct threads *threads = tracee_threads(probes->tracee);

	probes->host.enter(probes->host.ctx);
	for (u32 i = 0; i < threads_count(threads); i++)
		if (threads_at(threads, i)->state == THREAD_STOPPED)
			mixed_share_calls(probes, threads_at(threads, i));
	probes->host.leave(probes->host.ctx);
}

bool mixed_was_freed(const struct probes *probes, u32 thread, u64 address)
{
	struct ring_reader *reader = probes->jumps ? jumps_reader(probes->jumps) : NULL;

	return reader && ring_reader_last_free(reader, thread) == address;
}

bool mixed_is_nested(struct probes *probes, struct thread *thread, u64 entry_address)
{
	const struct channel_thread *entry = mixed_entry(probes, thread, false);
	u64 open = entry ? __atomic_load_n(&entry->open, __ATOMIC_RELAXED) : 0;
	u32 n;

	if (!open || open & CHANNEL_OPEN_TRAP || regs_sp(&thread->regs) >= open)
		return false;
	if (nesting_walk(probes, thread, entry_address, UNWIND_MAX_DEPTH, &n) == UNWIND_LOST &&
	    probes_has_open_call(probes, thread))
		return true;
	return unwinder_in_agent_call(probes->unwinder);
}
