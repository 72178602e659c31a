// SPDX-License-Identifier: MIT
#include "proc/identity.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/vec.h"
#include "proc/slurp.h"

#define COMMAND_MAX       4096
#define COMMAND_BYTES_MAX (256 * 1024)

static ssize_t read_file(pid_t pid, const char *name, void *buf, size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return slurp_path(path, buf, size);
}

/* Pairs of type and value; AT_NULL ends them. */
static u64 find_entry(pid_t pid)
{
	Elf64_auxv_t auxv[64];
	ssize_t n = read_file(pid, "auxv", auxv, sizeof(auxv));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(auxv[0]); i++)
		if (auxv[i].a_type == AT_ENTRY)
			return auxv[i].a_un.a_val;
	return 0;
}

/* "redis-server\0--port\0" "6379\0" */
static int split_command(struct proc_identity *identity, const char *text, size_t len)
{
	size_t cap = 0;

	for (size_t at = 0; at < len && identity->command_n < COMMAND_MAX;) {
		size_t n = strnlen(text + at, len - at);

		if (vec_reserve((void **)&identity->command, &cap, identity->command_n + 1,
				sizeof(char *)))
			return -ENOMEM;
		identity->command[identity->command_n] = strndup(text + at, n);
		if (!identity->command[identity->command_n])
			return -ENOMEM;
		identity->command_n++;
		at += n + 1;
	}
	return 0;
}

int proc_identity_read(struct proc_identity *identity, pid_t pid, struct err *err)
{
	_cleanup_free_ char *buf = malloc(COMMAND_BYTES_MAX);
	char path[48], exe[PATH_MAX];
	ssize_t n;

	memset(identity, 0, sizeof(*identity));
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	n = read_file(pid, "cmdline", buf, COMMAND_BYTES_MAX);
	if (n < 0)
		return err_sys(err, ESRCH, "process %d ended", (int)pid);
	if (split_command(identity, buf, (size_t)n))
		goto no_memory;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	identity->exe = strdup(exe);
	if (!identity->exe)
		goto no_memory;
	identity->entry = find_entry(pid);
	return 0;
no_memory:
	proc_identity_deinit(identity);
	return err_set(err, ENOMEM, "out of memory");
}

void proc_identity_deinit(struct proc_identity *identity)
{
	for (size_t i = 0; i < identity->command_n; i++)
		free(identity->command[i]);
	free(identity->command);
	free(identity->exe);
	memset(identity, 0, sizeof(*identity));
}
