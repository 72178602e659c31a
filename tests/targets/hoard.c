// SPDX-License-Identifier: MIT
/*
 * Keeps what it allocates.
 *
 *	hoard N		N more small blocks		-> "hoarded"
 *	round N		N times malloc and free		-> "done"
 */
#include <stdlib.h>

#include "talk.h"

struct link {
	struct link *next;
};

static struct link *hoard;

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
