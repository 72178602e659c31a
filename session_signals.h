/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_SIGNALS_H
#define MEMATTACH_SESSION_SIGNALS_H

#include "base/err.h"
#include "base/types.h"

/*
 * The signals that memattach itself gets. Handlers only set flags; a blocked
 * waitpid returns with EINTR. A signal that comes just before waitpid blocks is
 * noticed at the next tick.
 */
int session_signals_install(u32 tick_ms, struct err *err);

/* Changes the time between ticks. 0 or -errno. */
int session_signals_tick(u32 ms);

/* Restores the handlers and stops the ticks. */
void session_signals_remove(void);

/* Each returns whether that has happened since it was last asked. */
bool session_signals_ticked(void);
bool session_signals_snapshot(void); /* SIGUSR1 */

/* The signal that asked to end the run (SIGINT, SIGTERM, SIGHUP), 0 if none did. */
int session_signals_stop(void);

#endif
