/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_ORPHANS_H
#define MEMATTACH_TESTS_ORPHANS_H

#include <stdbool.h>

#include "tests/run_memattach.h"

/*
 * What is left when memattach is killed: its guardian, maybe a process that writes a
 * report, and its traces in the target.
 */

/* From now on orphans become children of this process, so that their ends can be waited for. */
void orphans_adopt(void);

/*
 * A child of parent other than this one; 0: there is none. It is not looked for by
 * its name, which it gives itself only once it runs.
 */
pid_t orphans_find(pid_t parent, pid_t other);

/*
 * Once memattach is dead its guardian, and whoever else it has left, do their work and
 * end well; then nothing of ours is in the target.
 */
void orphans_await(const struct target *target);

/* Kills whoever memattach has left, and reaps them. */
void orphans_kill(const struct target *target);

/*
 * How much is there of ours in the target, areas and channels? Areas without a header
 * (memattach was killed just behind the mmap) are counted apart.
 */
int orphans_count_traces(pid_t pid, int *blank);
bool orphans_has_traces(pid_t pid);

/* process_image (tests/process_image.h), without blank areas, which nobody can tell from the target's own. */
char *orphans_image(const struct target *target);

/* memattach was killed, and reaped: removes what is left of it here. */
void orphans_forget(struct memattach *m);

#endif
