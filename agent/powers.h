/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_POWERS_H
#define MEMATTACH_AGENT_POWERS_H

#include "agent/channel.h"

/* HASH_K of agent/walk_state.h and its inverse, modulo 2^64, to the power of 0 to CHANNEL_DEPTH_MAX. */
extern const uint64_t agent_powers[CHANNEL_DEPTH_MAX + 1] __attribute__((visibility("hidden")));
extern const uint64_t agent_inverses[CHANNEL_DEPTH_MAX + 1] __attribute__((visibility("hidden")));

#endif
