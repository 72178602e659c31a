// SPDX-License-Identifier: MIT
/*
 * Loads and unloads libraries whose functions allocate, while the workers of the
 * engine go on. "load N" does so N times, alternately with two libraries, which
 * land at the same addresses, and is answered with "loaded".
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "talk.h"

#define KEPT 100

NOINLINE static void *site_plain_a(size_t size, size_t *asked)
{
	void *p = malloc(*asked = size);

	KEEP(p);
	return p;
}

NOINLINE static void *site_plain_b(size_t size, size_t *asked)
{
	void *p = malloc(*asked = size);

	KEEP(p);
	return p;
}

const struct kind engine_kinds[] = {
	{{"site_plain_a", "site_plain_b"},
	 TRUTH_DIRECT,
	 {site_plain_a, site_plain_b},
	 {NULL, NULL},
	 NULL,
	 true},
	{.names = {NULL}},
};

static char folder[4000];
static struct truth_block kept[KEPT];

/* One life of library number which; its block i is freed in a later one. */
static void load(int which, long i)
{
	char path[4096];
	void *(*allocate)(size_t);
	struct truth_block *block = &kept[i % KEPT];
	struct truth_block brief = {0};
	int site = truth_site(which ? "site_library_two" : "site_library_one", TRUTH_DIRECT);
	void *library, *p;

	snprintf(path, sizeof(path), "%s/libloaded_%s.so", folder, which ? "two" : "one");
	library = dlopen(path, RTLD_NOW);
	if (!library)
		hurt("%s", dlerror());
	allocate =
		(void *(*)(size_t))dlsym(library, which ? "site_library_two" : "site_library_one");
	if (!allocate)
		hurt("%s", dlerror());
	if (block->address) {
		p = block->address;
		truth_freed(block);
		free(p);
	}
	truth_allocated(block, site, allocate(100 + (size_t)i), 100 + (size_t)i);
	p = allocate(33);
	truth_allocated(&brief, site, p, 33);
	truth_freed(&brief);
	free(p);
	dlclose(library);
}

bool engine_command(const char *line)
{
	const char *rest = after(line, "load");

	if (!rest)
		return false;
	for (long i = 0; i < atol(rest); i++)
		load((int)(i % 2), i);
	say("loaded");
	return true;
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	if (n <= 0)
		hurt("no path of my own");
	folder[n] = '\0';
	*strrchr(folder, '/') = '\0';
	return engine_main(argc, argv);
}
