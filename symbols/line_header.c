// SPDX-License-Identifier: MIT
/*
 * The header of a line number program, DWARF 2 to 5 (DWARF 5, 6.2.4):
 *
 *	unit_length                     4, or 0xffffffff and 8
 *	version                         2
 *	[5] address_size, selector_size 1, 1
 *	header_length                   4 or 8
 *	minimum_instruction_length      1
 *	[4, 5] maximum_operations       1
 *	default_is_stmt, line_base, line_range, opcode_base    1 each
 *	standard_opcode_lengths         opcode_base - 1
 *	[2-4] directories: strings, ended by an empty one
 *	[2-4] files: string, three ULEB128; ended by an empty string
 *	[5] directories, then files: a count of (content, form) pairs (1), the pairs
 *	    (ULEB128), a count of entries (ULEB128), the entries
 */
#include "symbols/line_header.h"

#include <dwarf.h>
#include <string.h>

#define PROGRAM_MAX (8U << 20)
#define NAMES_MAX   (64U << 20)
#define FORMATS_MAX 16

struct cursor {
	const u8 *p, *end;
	bool broken;
};

static u64 take(struct cursor *c, size_t n)
{
	u64 value = 0;

	if (c->broken || (size_t)(c->end - c->p) < n) {
		c->broken = true;
		return 0;
	}
	memcpy(&value, c->p, n);
	c->p += n;
	return value;
}

static void skip(struct cursor *c, u64 n)
{
	if (c->broken || (u64)(c->end - c->p) < n)
		c->broken = true;
	else
		c->p += n;
}

static u64 take_uleb(struct cursor *c)
{
	u64 value = 0;

	for (unsigned int shift = 0; !c->broken; shift += 7) {
		u64 byte = take(c, 1);

		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

/* The length of the string here, which is skipped with its NUL. */
static size_t take_string(struct cursor *c)
{
	const u8 *nul = c->broken ? NULL : memchr(c->p, 0, (size_t)(c->end - c->p));
	size_t len;

	if (!nul) {
		c->broken = true;
		return 0;
	}
	len = (size_t)(nul - c->p);
	c->p = nul + 1;
	return len;
}

static size_t string_at(const struct dwarf_section *section, u64 offset)
{
	return offset < section->n
		       ? strnlen((const char *)section->bytes + offset, section->n - offset)
		       : 0;
}

/* What the names of the table add up to. */
struct names {
	size_t comp_dir;
	size_t longest_dir;
	u64 total;
};

static void note_dir(struct names *names, size_t len)
{
	if (len > names->longest_dir)
		names->longest_dir = len;
}

/* A relative directory is put behind the first one, or the compilation's. */
static void join_dirs(struct names *names)
{
	names->longest_dir = names->longest_dir * 2 + names->comp_dir;
}

static void add_file(struct names *names, size_t len)
{
	names->total += names->longest_dir + len + 2;
}

static void old_tables(struct cursor *c, struct names *names)
{
	size_t len;

	while ((len = take_string(c)))
		note_dir(names, len);
	join_dirs(names);
	while (!c->broken && (len = take_string(c))) {
		take_uleb(c);
		take_uleb(c);
		take_uleb(c);
		add_file(names, len);
	}
}

struct strings {
	const struct dwarf_section *line_str, *str;
	size_t offset_size;
};

/* Skips a value; the length of the string, if it is one. */
static size_t take_form(struct cursor *c, u64 form, const struct strings *s)
{
	switch (form) {
	case DW_FORM_string:
		return take_string(c);
	case DW_FORM_line_strp:
		return string_at(s->line_str, take(c, s->offset_size));
	case DW_FORM_strp:
		return string_at(s->str, take(c, s->offset_size));
	case DW_FORM_udata:
		take_uleb(c);
		return 0;
	case DW_FORM_block:
		skip(c, take_uleb(c));
		return 0;
	case DW_FORM_data1:
		skip(c, 1);
		return 0;
	case DW_FORM_data2:
		skip(c, 2);
		return 0;
	case DW_FORM_data4:
		skip(c, 4);
		return 0;
	case DW_FORM_data8:
		skip(c, 8);
		return 0;
	case DW_FORM_data16:
		skip(c, 16);
		return 0;
	default:
		c->broken = true;
		return 0;
	}
}

static void new_table(struct cursor *c, const struct strings *s, bool dirs, struct names *names)
{
	u64 content[FORMATS_MAX], form[FORMATS_MAX];
	u64 formats = take(c, 1);
	u64 entries;

	if (formats > FORMATS_MAX)
		c->broken = true;
	for (u64 i = 0; i < formats && !c->broken; i++) {
		content[i] = take_uleb(c);
		form[i] = take_uleb(c);
	}
	entries = take_uleb(c);
	/* Entries without a byte would cost nothing here, and much there. */
	if (entries > (u64)(c->end - c->p))
		c->broken = true;
	for (u64 k = 0; k < entries && !c->broken; k++) {
		size_t len = 0;

		for (u64 i = 0; i < formats; i++) {
			size_t n = take_form(c, form[i], s);

			if (content[i] == DW_LNCT_path && n > len)
				len = n;
		}
		if (!dirs)
			add_file(names, len);
		else
			note_dir(names, len);
		if (names->total > NAMES_MAX)
			c->broken = true;
	}
}

/* The bytes of one unit's table, without unit_length. */
static struct cursor open_unit(const struct dwarf_section *line, u64 offset, size_t *offset_size)
{
	struct cursor c = {.broken = true};
	u64 length;

	if (offset >= line->n)
		return c;
	c = (struct cursor){line->bytes + offset, line->bytes + line->n, false};
	*offset_size = 4;
	length = take(&c, 4);
	if (length == 0xffffffff) {
		*offset_size = 8;
		length = take(&c, 8);
	}
	if (c.broken || length > (u64)(c.end - c.p) || length > PROGRAM_MAX)
		c.broken = true;
	else
		c.end = c.p + length;
	return c;
}

/* The fields from minimum_instruction_length to standard_opcode_lengths. */
static void skip_opcodes(struct cursor *c, u64 version)
{
	u64 line_range, opcode_base;

	skip(c, version >= 4 ? 4 : 3);
	line_range = take(c, 1);
	opcode_base = take(c, 1);
	if (!line_range || !opcode_base)
		c->broken = true;
	skip(c, opcode_base - 1);
}

bool line_header_is_sane(const struct dwarf_section *line, const struct dwarf_section *line_str,
			 const struct dwarf_section *str, u64 offset, size_t comp_dir_len)
{
	struct strings strings = {.line_str = line_str, .str = str};
	struct cursor c = open_unit(line, offset, &strings.offset_size);
	struct names names = {.comp_dir = comp_dir_len};
	u64 version = take(&c, 2);

	if (version < 2 || version > 5)
		return false;
	if (version == 5)
		skip(&c, 2);
	skip(&c, strings.offset_size);
	skip_opcodes(&c, version);
	if (version == 5) {
		new_table(&c, &strings, true, &names);
		join_dirs(&names);
		new_table(&c, &strings, false, &names);
	} else {
		old_tables(&c, &names);
	}
	/* The program may define files, too, with six bytes each. */
	if (!c.broken)
		names.total += (u64)(c.end - c.p) / 6 * names.longest_dir / 8;
	return !c.broken && names.total <= NAMES_MAX;
}
