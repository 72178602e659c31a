// SPDX-License-Identifier: MIT
#include "tests/ledger_model.h"

#include <stdlib.h>

#include "base/hash.h"

struct model model;

u64 m_random(void)
{
	static u64 state = 12345;

	return hash_u64(state += 0x9e3779b97f4a7c15ULL);
}

u64 m_address(u32 i)
{
	return i % 2 ? i * 0x5d588b656c078ULL : (u64)(i / 2) << 55 | i / 128;
}

void m_live(const struct ledger_block *b, bool add)
{
	struct ledger_site *s = &model.site[b->stack];

	s->live_bytes += add ? b->size : -b->size;
	s->live_blocks += add ? 1 : -1ULL;
	model.t.live_bytes += add ? b->size : -b->size;
	model.t.live_blocks += add ? 1 : -1ULL;
}

void m_add(u32 i, const struct ledger_block *b, u64 serial, u32 now)
{
	struct m_block *m = &model.block[i];

	if (m->serial) {
		m_live(&m->b, false);
		model.t.replaced++;
	}
	m_live(b, true);
	*m = (struct m_block){serial, *b};
	if (model.t.live_bytes <= model.t.peak_bytes)
		return;
	model.t.peak_bytes = model.t.live_bytes;
	model.t.peak_time = now;
	for (u32 s = 0; s < M_STACKS; s++)
		model.site[s].peak_bytes = model.site[s].live_bytes;
}

void m_alloc(u32 i, const struct ledger_block *b, u32 thread)
{
	struct ledger_site *s = &model.site[b->stack];

	m_add(i, b, ++model.serial, b->time);
	model.last[thread] = model.serial;
	s->total_bytes += b->size;
	s->total_allocations++;
	if (b->size > s->largest)
		s->largest = b->size;
	model.t.total_bytes += b->size;
	model.t.total_allocations++;
}

void m_count_free(const struct m_block *m, u32 thread)
{
	bool temporary = model.last[thread] == m->serial;

	model.t.total_frees++;
	model.site[m->b.stack].total_frees++;
	model.t.temporary += temporary;
	model.site[m->b.stack].temporary += temporary;
}

int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

void m_ages(u32 stack, u32 now)
{
	struct ledger_site *s = &model.site[stack];
	u32 ages[M_ADDRESSES], n = 0;

	s->stack = stack;
	s->oldest_age = s->median_age = 0;
	for (u32 i = 0; i < M_ADDRESSES; i++)
		if (model.block[i].serial && model.block[i].b.stack == stack)
			ages[n++] = now - model.block[i].b.time;
	if (!n)
		return;
	qsort(ages, n, sizeof(*ages), compare_u32);
	s->oldest_age = ages[n - 1];
	s->median_age = n % 2 ? ages[n / 2] : (ages[n / 2 - 1] + ages[n / 2]) / 2;
}

bool m_same_totals(const struct ledger_totals *a, const struct ledger_totals *b)
{
	return a->live_bytes == b->live_bytes && a->live_blocks == b->live_blocks &&
	       a->total_bytes == b->total_bytes && a->total_allocations == b->total_allocations &&
	       a->total_frees == b->total_frees && a->unknown_frees == b->unknown_frees &&
	       a->failed_allocations == b->failed_allocations && a->replaced == b->replaced &&
	       a->temporary == b->temporary && a->peak_bytes == b->peak_bytes &&
	       a->peak_time == b->peak_time;
}

bool m_same_site(const struct ledger_site *a, const struct ledger_site *b)
{
	return a->stack == b->stack && a->live_bytes == b->live_bytes &&
	       a->live_blocks == b->live_blocks && a->peak_bytes == b->peak_bytes &&
	       a->total_bytes == b->total_bytes && a->total_allocations == b->total_allocations &&
	       a->total_frees == b->total_frees && a->temporary == b->temporary &&
	       a->largest == b->largest && a->oldest_age == b->oldest_age &&
	       a->median_age == b->median_age;
}
