// SPDX-License-Identifier: MIT
#include "tests/forked.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void forked_start(struct forked *child, void (*body)(struct forked_side *side), void *arg)
{
	int down[2], up[2];

	ck_assert_int_eq(pipe(down), 0);
	ck_assert_int_eq(pipe(up), 0);
	child->pid = fork();
	ck_assert_int_ge(child->pid, 0);
	if (child->pid == 0) {
		struct forked_side side = {.to = up[1], .from = down[0], .arg = arg};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		close(up[0]);
		body(&side);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	child->to = down[1];
	child->from = up[0];
}

void forked_pause(struct forked_side *side)
{
	char byte = '!';

	if (write(side->to, &byte, 1) != 1 || read(side->from, &byte, 1) != 1)
		_exit(1);
}

void forked_send(struct forked_side *side, int value)
{
	if (write(side->to, &value, sizeof(value)) != sizeof(value))
		_exit(1);
}

void forked_await(struct forked *child)
{
	char byte;

	ck_assert_int_eq(read(child->from, &byte, 1), 1);
}

int forked_receive(struct forked *child)
{
	int value;

	ck_assert_int_eq(read(child->from, &value, sizeof(value)), (ssize_t)sizeof(value));
	return value;
}

void forked_go(struct forked *child)
{
	ck_assert_int_eq(write(child->to, "!", 1), 1);
}

void forked_await_zombie(struct forked *child)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) != 0)
		ck_assert_int_eq(errno, EINTR);
}

void forked_end(struct forked *child)
{
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(child->to);
	close(child->from);
}
