// SPDX-License-Identifier: MIT
#include "base/escape.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *s, size_t n, u32 *character)
{
	static const u32 smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const u8 *p = (const u8 *)s;
	size_t len;
	u32 c;

	if (p[0] < 0x80) {
		*character = p[0];
		return 1;
	}
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	c = p[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return len;
}

struct range {
	u32 first, last;
};

static bool in_ranges(u32 c, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

bool utf8_is_hostile(u32 c)
{
	static const struct range hostile[] = {
		{0x00, 0x1f},       {0x7f, 0x9f},     {0xad, 0xad}, /* soft hyphen */
		{0x61c, 0x61c},                                     /* Arabic letter mark */
		{0x180e, 0x180e},   {0x200b, 0x200f},               /* zero width, LRM, RLM */
		{0x2028, 0x202e},                                   /* separators, overrides */
		{0x2060, 0x206f},   {0xfeff, 0xfeff},               /* isolates, byte order mark */
		{0xfff9, 0xfffb},   {0xfffe, 0xffff},               /* annotation, no characters */
		{0xe0000, 0xe0fff},                                 /* tags, variation selectors */
	};

	if (c >= 0x20 && c < 0x7f)
		return false;
	return in_ranges(c, hostile, ARRAY_SIZE(hostile));
}

/* Terminals show these in two columns (Unicode Standard Annex 11, the large blocks). */
static bool is_wide(u32 c)
{
	static const struct range wide[] = {
		{0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xac00, 0xd7a3}, {0xf900, 0xfaff},
		{0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
		{0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
	};

	return c >= 0x1100 && in_ranges(c, wide, ARRAY_SIZE(wide));
}

static bool is_combining(u32 c)
{
	static const struct range combining[] = {
		{0x300, 0x36f}, {0x483, 0x489}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}};

	return c >= 0x300 && in_ranges(c, combining, ARRAY_SIZE(combining));
}

size_t escape_terminal(const char *s, size_t n, char out[ESCAPE_MAX], u32 *columns)
{
	u32 c = 0;
	size_t len = utf8_decode(s, n, &c);

	if (len && !utf8_is_hostile(c)) {
		memcpy(out, s, len);
		out[len] = '\0';
		*columns = is_wide(c) ? 2 : is_combining(c) ? 0 : 1;
		return len;
	}
	if (len < 2) {
		*columns = (u32)snprintf(out, ESCAPE_MAX, "\\x%02x", (u8)s[0]);
		return 1;
	}
	*columns = (u32)snprintf(out, ESCAPE_MAX, c > 0xffff ? "\\U%06x" : "\\u%04x", c);
	return len;
}
