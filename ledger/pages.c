// SPDX-License-Identifier: MIT
#include "ledger/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/vec.h"

#define SLAB_PAGES ((size_t)1 << PAGES_SLAB_SHIFT)
#define SLAB_BYTES (SLAB_PAGES * PAGES_SIZE)

/*
 * Slabs from this one on ask for huge pages: at tens of megabytes nearly every
 * event would be a TLB miss, too, while a small ledger must not take 2 MB.
 */
#define HUGE_FROM 10

/*
 * Unused pages that stay resident: one for this many in use; and while there
 * are huge pages as many as one of them has, lest it be torn up.
 */
#define RESERVE_SHARE 64

void pages_init(struct pages *pages)
{
	*pages = (struct pages){0};
}

void pages_deinit(struct pages *pages)
{
	for (size_t i = 0; i < pages->nslab; i++)
		munmap(pages->slab[i], SLAB_BYTES);
	free(pages->slab);
	free(pages->unused);
	pages_init(pages);
}

/* Address space for one slab that starts at a multiple of its size, so that it can be a huge page. */
static char *slab_map(void)
{
	size_t slack;
	char *p = mmap(NULL, 2 * SLAB_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	slack = -(uintptr_t)p & (SLAB_BYTES - 1);
	if (slack)
		munmap(p, slack);
	if (SLAB_BYTES - slack)
		munmap(p + slack + SLAB_BYTES, SLAB_BYTES - slack);
	return p + slack;
}

/* One slab more, when no page is unused. */
static int slab_add(struct pages *pages)
{
	size_t total = pages->nslab * SLAB_PAGES;
	bool huge = pages->nslab >= HUGE_FROM;
	char *slab;

	if (total + SLAB_PAGES > UINT32_MAX)
		return -ENOMEM;
	/* Room for every page in unused[], so that pages_put cannot fail. */
	if (vec_reserve((void **)&pages->unused, &pages->unused_cap, total + SLAB_PAGES,
			sizeof(*pages->unused)) ||
	    vec_reserve((void **)&pages->slab, &pages->slab_cap, pages->nslab + 1,
			sizeof(*pages->slab)))
		return -ENOMEM;
	slab = slab_map();
	if (!slab)
		return -ENOMEM;
	/* Only advice: without huge pages it works as well, only slower. */
	madvise(slab, SLAB_BYTES, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	pages->slab[pages->nslab++] = slab;
	for (size_t i = SLAB_PAGES; i-- > 0;)
		pages->unused[pages->nunused++] = (u32)(total + i);
	/* Small pages become resident one by one, a huge one at once. */
	pages->released = huge ? 0 : SLAB_PAGES;
	return 0;
}

int pages_get(struct pages *pages, u32 *number)
{
	if (!pages->nunused) {
		int r = slab_add(pages);

		if (r)
			return r;
	}
	*number = pages->unused[--pages->nunused];
	if (pages->released > pages->nunused)
		pages->released = pages->nunused;
	return 0;
}

void pages_put(struct pages *pages, u32 number)
{
	size_t in_use, reserve;

	pages->unused[pages->nunused++] = number;
	in_use = pages->nslab * SLAB_PAGES - pages->nunused;
	reserve = in_use / RESERVE_SHARE;
	if (in_use > HUGE_FROM * SLAB_PAGES)
		reserve += SLAB_PAGES;
	while (pages->nunused - pages->released > reserve) {
		void *page = pages_at(pages, pages->unused[pages->released]);

		if (madvise(page, PAGES_SIZE, MADV_DONTNEED))
			break;
		pages->released++;
	}
}

size_t pages_memory(const struct pages *pages)
{
	return (pages->nslab * SLAB_PAGES - pages->released) * PAGES_SIZE +
	       pages->unused_cap * sizeof(*pages->unused) + pages->slab_cap * sizeof(*pages->slab);
}
