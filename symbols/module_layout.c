// SPDX-License-Identifier: MIT
/*
 * A loaded ELF file in /proc/PID/maps (-z separate-code, bias 0x7f00_0000_0000):
 *
 *	7f0000000000 r--p 0000   libx.so   PT_LOAD 1
 *	7f0000001000 r-xp 1000   libx.so   PT_LOAD 2  <- the mapping at hand
 *	7f0000002000 r--p 2000   libx.so   PT_LOAD 3
 *	7f0000003000 r--p 2000   libx.so   PT_LOAD 4, RELRO part
 *	7f0000004000 rw-p 3000   libx.so   PT_LOAD 4
 *	7f0000005000 rw-p 0      (none)    its .bss
 *
 * Its bias follows from the mapping at hand alone. The program headers then say
 * how far it may reach, and the neighbours within that reach that are of the same
 * file, or anonymous, are its other parts.
 */
#include "symbols/module_layout.h"

#include <string.h>

bool module_same_file(const struct map *a, const struct map *b)
{
	return a->inode == b->inode && a->dev == b->dev && !strcmp(a->path, b->path);
}

/* Anonymous memory without a name, or with one that prctl gave it. */
static bool is_anonymous(const struct map *m)
{
	return !m->inode && (!m->path[0] || !strncmp(m->path, "[anon:", 6));
}

static bool may_belong(const struct map *m, const struct map *text)
{
	return is_anonymous(m) || module_same_file(m, text);
}

static void find_image(const struct maps *maps, size_t i, u64 floor, u64 low, u64 high,
		       struct module_layout *layout)
{
	const struct map *text = &maps->items[i];
	size_t first = i;
	size_t last = i;

	while (first && maps->items[first - 1].start >= low &&
	       maps->items[first - 1].start >= floor && may_belong(&maps->items[first - 1], text))
		first--;
	/* Its first part is of the file itself. */
	while (first < i && is_anonymous(&maps->items[first]))
		first++;
	while (last + 1 < maps->n && maps->items[last + 1].start < high &&
	       may_belong(&maps->items[last + 1], text))
		last++;
	layout->start = maps->items[first].start;
	layout->end = maps->items[last].end < high ? maps->items[last].end : high;
}

static void clip_text(const struct elf_headers *headers, const struct map *text,
		      struct module_layout *layout)
{
	u64 low, high;

	layout->text_start = text->start;
	layout->text_end = text->end;
	if (elf_headers_extent(headers, true, &low, &high)) {
		layout->text_start = low + layout->bias;
		layout->text_end = high + layout->bias;
	}
	if (layout->text_start < layout->start)
		layout->text_start = layout->start;
	if (layout->text_end > layout->end)
		layout->text_end = layout->end;
}

/* No ELF image: this mapping and what continues it. */
static void find_plain(const struct maps *maps, size_t i, struct module_layout *layout)
{
	const struct map *text = &maps->items[i];

	layout->start = text->start;
	layout->end = text->end;
	layout->bias = text->start - text->offset;
	for (i++; i < maps->n; i++) {
		const struct map *m = &maps->items[i];

		if (m->start != layout->end || m->start - m->offset != layout->bias ||
		    !module_same_file(m, text))
			break;
		layout->end = m->end;
	}
	layout->text_start = layout->start;
	layout->text_end = layout->end;
	layout->is_image = false;
}

void module_layout_find(const struct maps *maps, size_t i, u64 floor,
			const struct elf_headers *headers, struct module_layout *layout)
{
	const struct map *text = &maps->items[i];
	u64 low, high;

	if (!headers || !elf_headers_bias(headers, text->start, text->offset, &layout->bias) ||
	    !elf_headers_extent(headers, false, &low, &high)) {
		find_plain(maps, i, layout);
		return;
	}
	low += layout->bias;
	high += layout->bias;
	/* The segments wrap around the address space, or do not hold the mapping after all. */
	if (low >= high || text->start < low || text->start >= high) {
		find_plain(maps, i, layout);
		return;
	}
	layout->is_image = true;
	find_image(maps, i, floor, low, high, layout);
	clip_text(headers, text, layout);
}
