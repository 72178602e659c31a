/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_TASKS_H
#define MEMATTACH_PROC_TASKS_H

#include "base/err.h"
#include "base/types.h"

/*
 * The thread ids in /proc/PID/task now, into a malloc'ed array that the caller
 * frees. Threads may come and go meanwhile: repeat until a pass finds none that
 * is new. -ESRCH if the process is gone.
 */
int proc_tasks(pid_t pid, pid_t **tids, size_t *count, struct err *err);

#endif
