// SPDX-License-Identifier: MIT
/*
 * libFuzzer harness for the text of /proc that a target has a hand in: its name
 * in status and stat, its mappings in smaps, its cgroup. The first byte chooses
 * the parser, and for smaps the size of the pieces. Beyond the sanitizers'
 * findings it checks that pieces make no difference.
 *
 *	make fuzz FUZZ=proc
 */
#include <stdlib.h>
#include <string.h>

#include "proc/cgroup.h"
#include "proc/exe.h"
#include "proc/smaps.h"
#include "proc/stack_pointers.h"
#include "proc/waiting.h"
#include "proc/stat.h"
#include "proc/status.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_status(const char *text, size_t len)
{
	struct proc_status status;
	struct proc_stat stat;

	proc_status_parse(&status, text, len, NULL);
	check(memchr(status.name, '\0', sizeof(status.name)) != NULL);
	proc_stat_parse(&stat, text, len, NULL);
}

static void fuzz_smaps(const char *text, size_t len, size_t step)
{
	static const u64 pointers[] = {0x1000, 0x7f0000600000, 0x7ffc6f130000};
	struct smaps_parser whole, pieces;

	smaps_init(&whole, pointers, ARRAY_SIZE(pointers));
	smaps_feed(&whole, text, len);
	smaps_finish(&whole);
	smaps_init(&pieces, pointers, ARRAY_SIZE(pointers));
	for (size_t at = 0; at < len; at += step)
		smaps_feed(&pieces, text + at, len - at < step ? len - at : step);
	smaps_finish(&pieces);
	check(memcmp(&whole.totals, &pieces.totals, sizeof(whole.totals)) == 0);
}

static void fuzz_cgroup(const char *text, size_t len)
{
	static struct cgroup_place place;
	char dir[2 * PATH_MAX];

	memset(&place, 0, sizeof(place));
	cgroup_parse_path(&place, text, len);
	if (cgroup_parse_mount(&place, text, len) != 0)
		return;
	if (cgroup_directory(&place, dir, sizeof(dir)) != 0)
		return;
	/* Whatever the path: below the mount, and no way up from there. */
	check(strncmp(dir, place.mount_dir, strlen(place.mount_dir)) == 0);
	check(strstr(dir + strlen(place.mount_dir), "/../") == NULL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct exe_kind kind;
	char words[64];
	struct proc_waiting waiting;
	u64 pointer;

	if (size == 0)
		return 0;
	size--;
	switch (data[0] % 4) {
	case 0:
		fuzz_status(text, size);
		break;
	case 1:
		fuzz_smaps(text, size, data[0] / 4 + 1);
		break;
	case 2:
		fuzz_cgroup(text, size);
		break;
	case 3:
		stack_pointer_parse(text, size, &pointer);
		proc_waiting_parse(&waiting, text, size);
		if (exe_kind_parse(text, size, &kind) == 0)
			exe_kind_text(&kind, words, sizeof(words));
		break;
	}
	return 0;
}
