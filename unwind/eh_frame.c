// SPDX-License-Identifier: MIT
/*
 * Reads .eh_frame (LSB 5.0, "Exception Frames") and .debug_frame (DWARF 5,
 * section 6.4.1) into rows. Both are a list of entries
 *
 *	u32 length (0xffffffff: then u64 length), id (4 or 8 bytes), ...
 *
 * A CIE has id 0 in .eh_frame, all ones in .debug_frame. Any other id makes it an
 * FDE and points to its CIE: back from the id itself in .eh_frame, from the
 * section's start in .debug_frame. A first pass reads the CIEs, each once; a
 * second one runs the FDEs.
 */
#include "unwind/eh_frame.h"

#include <errno.h>
#include <stdlib.h>

#include "base/vec.h"
#include "unwind/eh_pointer.h"
#include "unwind/rule.h"

struct reader {
	struct eh_rows *out;
	struct eh_base base;
	const struct cfi_section *section;
	bool debug;
	struct cfi_cie *cies; /* ascending by offset */
	size_t n_cies, cap_cies;
	const struct cfi_cie *last; /* the one that was asked for last */
};

/* An entry, cut out of the section. */
struct entry {
	struct cursor body; /* what follows the id */
	u64 offset;         /* of the entry in the section */
	u64 cie;            /* offset of its CIE */
	bool is_cie;
};

/* The next entry. False at the end, or where the list makes no sense any more. */
static bool next_entry(struct reader *r, struct cursor *in, struct entry *entry)
{
	for (;;) {
		const u8 *id_at, *body;
		unsigned id_size = 4;
		u64 length, id;

		entry->offset = (u64)(in->p - r->section->data);
		length = cursor_uint(in, 4);
		if (in->bad)
			return false;
		if (length == 0) { /* the terminator; some linkers leave several */
			if (!r->section->whole)
				return false;
			continue;
		}
		if (length == 0xffffffff) {
			length = cursor_uint(in, 8);
			id_size = 8;
		}
		id_at = in->p;
		body = cursor_bytes(in, length);
		if (!body)
			return false;
		entry->body = (struct cursor){.p = body, .end = in->p};
		id = cursor_uint(&entry->body, id_size);
		if (entry->body.bad)
			continue;
		if (r->debug) {
			entry->is_cie = id == (id_size == 4 ? 0xffffffff : UINT64_MAX);
			entry->cie = id;
		} else {
			entry->is_cie = id == 0;
			entry->cie = (u64)(id_at - r->section->data) - id;
		}
		return true;
	}
}

/* The augmentation of a CIE from behind the return address column on. */
static void read_augmentation(struct cfi_cie *cie, struct cursor *in, const char *letters,
			      const struct eh_base *base)
{
	struct cursor data;
	u64 len, ignored;
	u8 encoding;

	cie->pointer_encoding = DW_EH_PE_absptr;
	cie->usable = true;
	if (!*letters)
		return;
	if (*letters != 'z') {
		cie->usable = false;
		return;
	}
	cie->has_augmentation_data = true;
	len = cursor_uleb(in);
	data.p = cursor_bytes(in, len);
	if (!data.p) {
		cie->usable = false;
		return;
	}
	data.end = in->p;
	data.bad = false;
	while (*++letters && cie->usable) {
		switch (*letters) {
		case 'L':
			cursor_uint(&data, 1);
			break;
		case 'R':
			cie->pointer_encoding = (u8)cursor_uint(&data, 1);
			break;
		case 'P':
			encoding = (u8)cursor_uint(&data, 1);
			eh_pointer(&data, encoding, base, &ignored);
			break;
		case 'S':
			cie->signal_frame = true;
			break;
		case 'B': /* aarch64's pointer authentication */
			break;
		default:
			cie->usable = false;
		}
		cie->usable = cie->usable && !data.bad;
	}
}

static int read_cie(struct reader *r, const struct entry *entry)
{
	struct cursor in = entry->body;
	struct cfi_cie cie = {.offset = entry->offset};
	u8 version = (u8)cursor_uint(&in, 1);
	const char *letters = (const char *)in.p;
	u64 ra;

	while (cursor_uint(&in, 1))
		;
	if (in.bad || (version != 1 && version != 3 && version != 4))
		return 0;
	/* Version 4: the sizes of an address and of a segment selector. */
	if (version == 4 && (cursor_uint(&in, 1) != 8 || cursor_uint(&in, 1) != 0))
		return 0;
	cie.code_align = cursor_uleb(&in);
	cie.data_align = cursor_sleb(&in);
	ra = version == 1 ? cursor_uint(&in, 1) : cursor_uleb(&in);
	read_augmentation(&cie, &in, letters, &r->base);
	if (in.bad || !cie.usable || ra != CFI_RA)
		return 0;
	if (!cfi_run_initial(&cie, in.p, (size_t)(in.end - in.p)))
		return 0;
	if (vec_reserve((void **)&r->cies, &r->cap_cies, r->n_cies + 1, sizeof(*r->cies)))
		return -ENOMEM;
	r->cies[r->n_cies++] = cie;
	return 0;
}

static const struct cfi_cie *find_cie(struct reader *r, u64 offset)
{
	size_t low = 0, n = r->n_cies;

	if (r->last && r->last->offset == offset)
		return r->last;
	while (n > 0) {
		size_t half = n / 2;

		if (r->cies[low + half].offset < offset) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	if (low == r->n_cies || r->cies[low].offset != offset)
		return NULL;
	r->last = &r->cies[low];
	return r->last;
}

struct emit {
	struct eh_rows *out;
	const struct cfi_cie *cie;
	struct eh_span *span;
};

static int emit_row(void *ctx, u64 from, const struct cfi_state *state)
{
	struct emit *e = ctx;
	struct eh_rows *out = e->out;
	struct unwind_row row = {.start = (u32)(from - out->base),
				 .rule = unwind_rule_of(e->cie, state)};

	if (e->span->count && out->rows[out->n_rows - 1].rule == row.rule)
		return 0;
	if (vec_reserve((void **)&out->rows, &out->cap_rows, out->n_rows + 1, sizeof(row)))
		return -ENOMEM;
	out->rows[out->n_rows++] = row;
	e->span->count++;
	return 0;
}

static int read_fde(struct reader *r, const struct entry *entry)
{
	struct eh_rows *out = r->out;
	const struct cfi_cie *cie = find_cie(r, entry->cie);
	struct cursor in = entry->body;
	struct eh_span span = {.first = (u32)out->n_rows, .order = (u32)out->n_spans};
	struct emit emit = {.out = out, .cie = cie, .span = &span};
	u64 start, size, end;
	int ret;

	if (!cie || cie->pointer_encoding & DW_EH_PE_indirect ||
	    !eh_pointer(&in, cie->pointer_encoding, &r->base, &start) ||
	    !eh_number(&in, cie->pointer_encoding, &size))
		return 0;
	if (cie->has_augmentation_data)
		cursor_bytes(&in, cursor_uleb(&in));
	/* FDEs of functions that the linker dropped are left behind with start or size 0. */
	if (in.bad || size == 0 || __builtin_add_overflow(start, size, &end) || start < out->base ||
	    end > out->top || end - out->base > UINT32_MAX || out->n_rows > UINT32_MAX / 2)
		return 0;
	span.start = (u32)(start - out->base);
	span.end = (u32)(end - out->base);
	ret = cfi_run(cie, in.p, (size_t)(in.end - in.p), start, end, emit_row, &emit);
	if (ret || span.count == 0)
		return ret;
	if (vec_reserve((void **)&out->spans, &out->cap_spans, out->n_spans + 1, sizeof(span)))
		return -ENOMEM;
	out->spans[out->n_spans++] = span;
	return 0;
}

int eh_frame_read(struct eh_rows *rows, const struct cfi_section *section, bool debug, u64 data)
{
	struct reader r = {
		.out = rows,
		.base = {.section = section->data, .address = section->address, .data = data},
		.section = section,
		.debug = debug,
	};
	const struct cursor all = {.p = section->data, .end = section->data + section->size};
	struct cursor in = all;
	struct entry entry;
	int ret = 0;

	while (!ret && next_entry(&r, &in, &entry))
		if (entry.is_cie)
			ret = read_cie(&r, &entry);
	in = all;
	while (!ret && next_entry(&r, &in, &entry))
		if (!entry.is_cie)
			ret = read_fde(&r, &entry);
	free(r.cies);
	return ret;
}

void eh_rows_deinit(struct eh_rows *rows)
{
	free(rows->rows);
	free(rows->spans);
	rows->rows = NULL;
	rows->spans = NULL;
}
