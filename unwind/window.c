// SPDX-License-Identifier: MIT
/* The copied piece of stack of unwind/window.h. */
#include "unwind/window.h"

/* Moves the window to base. False if not even 8 bytes can be read there. */
static bool fill(struct window *w, u64 base)
{
	size_t size = w->next_size < w->budget ? w->next_size : w->budget;
	ssize_t n = w->memory->read(w->memory->ctx, base, w->data, size);

	w->base = base;
	w->len = 0;
	if (n < 8)
		return false;
	/* A reader that claims more than was asked for is not believed. */
	w->len = (size_t)n < size ? (size_t)n : size;
	w->budget -= w->len;
	if (w->next_size < WINDOW_MAX)
		w->next_size *= 2;
	return true;
}

void window_start(struct window *w, u64 sp)
{
	w->next_size = WINDOW_FIRST;
	w->budget = WINDOW_TOTAL;
	fill(w, sp);
}

bool window_miss(struct window *w, u64 address, u64 *value)
{
	/* An address that wraps around, or that no user mapping has. */
	if (address > ~0ULL - 8)
		return false;
	if (w->budget >= WINDOW_FIRST) {
		u64 below = address > WINDOW_BELOW ? WINDOW_BELOW : 0;

		/* The bytes below may be another mapping, or none. */
		if ((fill(w, address - below) && w->len >= below + 8) || fill(w, address)) {
			memcpy(value, w->data + (address - w->base), 8);
			return true;
		}
		return false;
	}
	return mem_read_all(w->memory, address, value, 8) == 0;
}
