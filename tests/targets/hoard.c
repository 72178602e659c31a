// SPDX-License-Identifier: MIT
/*
 * Keeps what it allocates.
 *
 *	hoard N		N more small blocks		-> "hoarded"
 *	round N		N times malloc and free		-> "done"
 *	reuse N		N times blocks between others	-> "done"
 */
#include <stdlib.h>

#include "talk.h"

struct link {
	struct link *next;
};

static struct link *hoard;

/* Every second of a row of blocks is allocated and freed, all of them n times. */
static void reuse(long n)
{
	enum { ROW = 1000 };
	static void *volatile row[ROW];

	for (int i = 0; i < ROW && !row[i]; i++)
		row[i] = malloc(24);
	for (int i = 0; i < ROW; i += 2)
		free(row[i]);
	for (; n > 0; n--) {
		for (int i = 0; i < ROW; i += 2)
			row[i] = malloc(24);
		for (int i = 0; i < ROW; i += 2)
			free(row[i]);
	}
	for (int i = 0; i < ROW; i += 2)
		row[i] = malloc(24);
}

int main(void)
{
	const char *line, *rest;

	say("ready");
	while ((line = hear())) {
		if ((rest = after(line, "hoard"))) {
			for (long n = atol(rest); n > 0; n--) {
				struct link *link = malloc(sizeof(*link));

				if (!link)
					hurt("no memory");
				link->next = hoard;
				hoard = link;
			}
			say("hoarded");
		} else if ((rest = after(line, "reuse"))) {
			reuse(atol(rest));
			say("done");
		} else if ((rest = after(line, "round"))) {
			for (long n = atol(rest); n > 0; n--) {
				void *volatile p = malloc(100);

				free(p);
			}
			say("done");
		}
	}
	return 0;
}
