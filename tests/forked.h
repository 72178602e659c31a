/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_FORKED_H
#define MEMATTACH_TESTS_FORKED_H

#include <sys/types.h>

/*
 * A child process of the test that runs a function of the test. The two take
 * turns: a byte from the child says that it is where the test wants it, a byte
 * to it that it may go on. It dies with the test, whatever happens to that.
 */
struct forked {
	pid_t pid;
	int to, from; /* the test's ends of two pipes */
};

/* What the function in the child is given. */
struct forked_side {
	int to, from; /* the child's ends */
	void *arg;
};

/* Starts body in a child, which exits with 0 when body returns. Fails the test if it cannot. */
void forked_start(struct forked *child, void (*body)(struct forked_side *side), void *arg);

/* In the child: "I am there", then waits for forked_go. Exits if the test is gone. */
void forked_pause(struct forked_side *side);

/* In the child: a 32-bit number for forked_receive. In place of forked_pause's byte it does not wait. */
void forked_send(struct forked_side *side, int value);

/* In the test: waits until the child is in forked_pause. Fails the test if the child ended. */
void forked_await(struct forked *child);
int forked_receive(struct forked *child);

/* Lets the child go on behind forked_pause. */
void forked_go(struct forked *child);

/* Waits until the child has ended, without reaping it: it is a zombie then. */
void forked_await_zombie(struct forked *child);

/* Ends the child with SIGKILL, if it has not ended, and reaps it. */
void forked_end(struct forked *child);

#endif
