// SPDX-License-Identifier: MIT
/*
 * An area stands in the target's memory, so nothing in it is trusted further than
 * this: bytes are only written where a breakpoint or a jump to the area's own
 * stub stands, in executable memory that is not shared, and only within that
 * process.
 */
#include "probe/leftovers_lift.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/abi.h"
#include "attach/regs_x86_64.h"
#include "base/guard.h"
#include "probe/channel_map.h"
#include "probe/jump_x86_64.h"

/*
 * Threads that wait for room in the ring do so for a second after the last sign of
 * life of memattach: by this they are told that there will be none.
 */
static void end_waiting(const struct maps *maps, const struct proc_mem *mem, u64 address)
{
	const struct map *map = maps_find(maps, address);
	struct channel channel;
	u64 stalled;

	if (!map || map->start != address || !channel_is_map(map) ||
	    proc_mem_read(mem, address, &channel, sizeof(channel)) != (ssize_t)sizeof(channel) ||
	    channel.magic != CHANNEL_MAGIC)
		return;
	stalled = channel.heartbeat + 1;
	proc_mem_write(mem, address + offsetof(struct channel, stalled), &stalled, sizeof(stalled));
}

static int switch_off(const struct maps *maps, const struct proc_mem *mem, u64 start)
{
	struct agent_control control, off = {0};
	u64 at = start + AGENT_CONTROL;

	if (proc_mem_read(mem, at, &control, sizeof(control)) != (ssize_t)sizeof(control) ||
	    !control.channel)
		return 0;
	end_waiting(maps, mem, control.channel);
	return proc_mem_write(mem, at, &off, sizeof(off));
}

/* The jump at address, if it is the one to this slot's stub. */
static int lift_jump(const struct proc_mem *mem, u64 address, u64 at, const u8 *now)
{
	struct agent_slot slot;
	u8 ours[AGENT_JUMP];

	if (proc_mem_read(mem, at, &slot, sizeof(slot)) != (ssize_t)sizeof(slot) ||
	    !(slot.flags & AGENT_SLOT_JUMP) || slot.displaced < AGENT_JUMP ||
	    !jump_encode(ours, address, at + AGENT_SLOT_STUB) || memcmp(now, ours, AGENT_JUMP) != 0)
		return 0;
	return proc_mem_write(mem, address, slot.original, AGENT_JUMP);
}

static int lift_entry(const struct maps *maps, const struct proc_mem *mem, u64 entry, u64 slot,
		      bool stopped)
{
	u64 address = AGENT_ENTRY_ADDRESS(entry);
	u8 byte = AGENT_ENTRY_BYTE(entry), now[AGENT_JUMP] = {0};
	const struct map *map = maps_find(maps, address);

	if (!map || !map->exec || map->shared ||
	    proc_mem_read(mem, address, now, sizeof(now)) < BREAKPOINT_LENGTH)
		return 0;
	if (now[0] == BREAKPOINT_BYTE)
		return proc_mem_write(mem, address, &byte, 1);
	return stopped ? lift_jump(mem, address, slot, now) : 0;
}

static int lift_area(const struct maps *maps, const struct proc_mem *mem, u64 start, u64 *table,
		     bool stopped)
{
	ssize_t n = proc_mem_read(mem, start + AGENT_TABLE, table, AGENT_SLOT_COUNT * sizeof(u64));
	int first = 0;

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(u64); i++) {
		u64 slot = start + AGENT_SLOTS + i * AGENT_SLOT_SIZE;
		int ret = table[i] ? lift_entry(maps, mem, table[i], slot, stopped) : 0;

		if (ret && !first)
			first = ret;
	}
	return first;
}

int traces_lift(const struct traces *traces, const struct maps *maps, const struct proc_mem *mem,
		bool stopped)
{
	_cleanup_free_ u64 *table = malloc(AGENT_SLOT_COUNT * sizeof(u64));
	int first = 0, ret;

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < traces->areas_n; i++) {
		ret = switch_off(maps, mem, traces->areas[i]);
		if (ret && !first)
			first = ret;
	}
	for (size_t i = 0; i < traces->areas_n; i++) {
		ret = lift_area(maps, mem, traces->areas[i], table, stopped);
		if (ret && !first)
			first = ret;
	}
	return first;
}
