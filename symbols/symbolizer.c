// SPDX-License-Identifier: MIT
#include "symbols/symbolizer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/frame.h"
#include "base/hash.h"
#include "symbols/module_symbols.h"
#include "symbols/string_pool.h"

struct slot {
	u64 frame;
	struct symbol_frame *frames; /* NULL: free slot */
	size_t n;
};

struct symbolizer {
	const struct modules *modules;
	struct string_pool *pool;
	struct module_symbols *of[FRAME_MODULE_MAX + 1]; /* by module id, when first asked for */
	struct slot *slots;                              /* open addressing, half empty */
	size_t n, size;                                  /* size is a power of two */
};

struct symbolizer *symbolizer_create(const struct modules *modules, struct err *err)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		goto fail;
	s->modules = modules;
	s->size = 4096;
	s->slots = calloc(s->size, sizeof(*s->slots));
	s->pool = string_pool_create();
	if (s->slots && s->pool)
		return s;
fail:
	symbolizer_destroy(s);
	err_sys(err, ENOMEM, "cannot make a symbolizer");
	return NULL;
}

void symbolizer_destroy(struct symbolizer *symbolizer)
{
	if (!symbolizer)
		return;
	for (size_t i = 0; i <= FRAME_MODULE_MAX; i++)
		module_symbols_destroy(symbolizer->of[i]);
	for (size_t i = 0; symbolizer->slots && i < symbolizer->size; i++)
		free(symbolizer->slots[i].frames);
	free(symbolizer->slots);
	string_pool_destroy(symbolizer->pool);
	free(symbolizer);
}

static struct slot *find(struct slot *slots, size_t size, u64 frame)
{
	size_t i = hash_u64(frame) & (size - 1);

	while (slots[i].frames && slots[i].frame != frame)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static bool grow(struct symbolizer *s)
{
	size_t size = s->size * 2;
	struct slot *slots = calloc(size, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < s->size; i++)
		if (s->slots[i].frames)
			*find(slots, size, s->slots[i].frame) = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->size = size;
	return true;
}

/* The frames at a frame value that is not cached; how many, or -ENOMEM. */
static int look_up(struct symbolizer *s, u64 frame, struct symbol_frame **frames)
{
	const struct module *module = modules_get(s->modules, frame_module(frame));
	u64 address = frame_address(frame);

	if (!module || address < module->start || address >= module->end) {
		*frames = calloc(1, sizeof(**frames));
		return *frames ? 1 : -ENOMEM;
	}
	if (!s->of[module->id])
		s->of[module->id] = module_symbols_create(module, s->pool);
	if (!s->of[module->id])
		return -ENOMEM;
	return module_symbols_find(s->of[module->id], address - module->bias, frames);
}

int symbolizer_lookup(struct symbolizer *symbolizer, u64 frame, const struct symbol_frame **frames,
		      size_t *count, struct err *err)
{
	struct symbol_frame *found;
	struct slot *slot;
	int n;

	if (symbolizer->n >= symbolizer->size / 2 && !grow(symbolizer))
		return err_sys(err, ENOMEM, "cannot name an address");
	slot = find(symbolizer->slots, symbolizer->size, frame);
	if (!slot->frames) {
		n = look_up(symbolizer, frame, &found);
		if (n < 0)
			return err_sys(err, ENOMEM, "cannot name an address");
		*slot = (struct slot){.frame = frame, .frames = found, .n = (size_t)n};
		symbolizer->n++;
	}
	*frames = slot->frames;
	*count = slot->n;
	return 0;
}
