/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_KILL_AT_CALL_H
#define MEMATTACH_TESTS_KILL_AT_CALL_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * kill -9 at a chosen moment: the victim, a child of the test, is traced and killed
 * at its n-th entry into a system call or exit from one (counted from 1). Whatever a
 * process does to another one it does by system calls, so this visits every
 * moment there is, which a random delay does not.
 */
struct moment {
	unsigned int n;
	long call; /* count from the first call of this number on; KILL_ANY_CALL: from the first one */
	int sig; /* count from when this signal is delivered to it; 0: at once */
};

#define KILL_ANY_CALL (-1L)

/*
 * Seizes the victim and interrupts it. From now on only kill_at_call may wait for it.
 * Works for one that has just been started, too.
 */
void kill_at_call_prepare(pid_t victim);

/*
 * Lets it run up to that moment and kills it there, and reaps it. False if it ended
 * before: *status is how then.
 */
bool kill_at_call(pid_t victim, const struct moment *moment, int *status);

#endif
