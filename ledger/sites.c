// SPDX-License-Identifier: MIT
#include "ledger/sites.h"

void sites_init(struct sites *sites)
{
	*sites = (struct sites){0};
	chunks_init(&sites->all, sizeof(struct site), SITES_SHIFT);
}

void sites_deinit(struct sites *sites)
{
	chunks_deinit(&sites->all);
}
