// SPDX-License-Identifier: MIT
#include "probe/agent_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/abi.h"
#include "agent/frame.h"

/* A rule of the agent's own code. Its compiler is told to do without frame pointers. */
static u32 ours(u32 rule)
{
	u32 kind = unwind_rule_kind(rule);

	if (kind == UNWIND_RSP)
		return rule - UNWIND_RSP + UNWIND_OURS;
	return kind == UNWIND_NONE || kind == UNWIND_SIGNAL ? rule : UNWIND_ASK;
}

static int compile(struct unwind_table *table, struct err *err)
{
	size_t size = (size_t)(agent_elf_end - agent_elf);
	int fd = memfd_create("agent", MFD_CLOEXEC), ret;
	ssize_t n;

	if (fd < 0)
		return err_sys(err, errno, "cannot make a file of the agent");
	n = write(fd, agent_elf, size);
	if (n == (ssize_t)size)
		ret = unwind_table_compile(table, fd);
	else
		ret = n < 0 ? -errno : -EIO;
	close(fd);
	return ret ? err_sys(err, -ret, "cannot read the agent's unwind information") : 0;
}

/*
 * Slots, and in each that one byte in which return addresses, less 1, lead through a frame
 * of ours. No instruction begins there (AGENT_SLOT_RETURN), so nobody was interrupted at it.
 */
static size_t add_slots(struct unwind_row *rows, size_t n)
{
	u32 slot = unwind_rule(UNWIND_SLOT, 0, 0);

	rows[n++] = (struct unwind_row){AGENT_SLOTS, slot};
	for (u32 i = 0; i < AGENT_SLOT_COUNT; i++) {
		u32 end = (u32)(AGENT_SLOTS + i * AGENT_SLOT_SIZE + AGENT_SLOT_RETURN);

		rows[n++] = (struct unwind_row){
			end - 1, unwind_rule(UNWIND_OURS, UNWIND_RBP_SAME, AGENT_FRAME + 8)};
		rows[n++] = (struct unwind_row){end, slot};
	}
	return n;
}

int agent_rows_compile(struct unwind_table *table, struct err *err)
{
	struct unwind_table code;
	struct unwind_row *rows;
	size_t n = 0;
	int ret = compile(&code, err);

	if (ret)
		return ret;
	rows = calloc(code.n + 2 + 2 * AGENT_SLOT_COUNT, sizeof(*rows));
	if (!rows) {
		unwind_table_deinit(&code);
		return err_set(err, ENOMEM, "no memory for the agent's unwind table");
	}
	/* Addresses of the ELF file are offsets in an area. */
	for (size_t i = 0; i < code.n; i++) {
		u64 start = code.base + code.rows[i].start;

		if (start < AGENT_CODE + AGENT_CODE_MAX)
			rows[n++] = (struct unwind_row){(u32)start, ours(code.rows[i].rule)};
	}
	n = add_slots(rows, n);
	rows[n++] = (struct unwind_row){AGENT_CONTROL, unwind_rule(UNWIND_NONE, 0, 0)};
	unwind_table_deinit(&code);
	*table = (struct unwind_table){.rows = rows, .n = n};
	return 0;
}
