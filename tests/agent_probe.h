/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_AGENT_PROBE_H
#define MEMATTACH_TESTS_AGENT_PROBE_H

#include <stdint.h>

/* Called by agent_probe with the stack pointer and rbp at its own entry. */
typedef void (*agent_hook_fn)(uint64_t sp, uint64_t bp);

extern __attribute__((visibility("hidden"))) agent_hook_fn agent_hook;

void agent_probe(void);

#endif
