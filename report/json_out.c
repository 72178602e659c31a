// SPDX-License-Identifier: MIT
#include "report/json_out.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

static void put_escaped(FILE *f, u32 c)
{
	switch (c) {
	case '"':
		fputs("\\\"", f);
		return;
	case '\\':
		fputs("\\\\", f);
		return;
	case '\n':
		fputs("\\n", f);
		return;
	case '\t':
		fputs("\\t", f);
		return;
	}
	if (c > 0xffff) /* a surrogate pair */
		fprintf(f, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
	else
		fprintf(f, "\\u%04x", c);
}

void json_out_string(FILE *f, const char *s)
{
	size_t left = s ? strlen(s) : 0, plain = 0;

	if (!s) {
		fputs("null", f);
		return;
	}
	putc_unlocked('"', f);
	while (plain < left) {
		u32 c = 0;
		size_t len = utf8_decode(s + plain, left - plain, &c);

		if (len && c != '"' && c != '\\' && !utf8_is_hostile(c)) {
			plain += len;
			continue;
		}
		fwrite(s, 1, plain, f);
		if (len)
			put_escaped(f, c);
		else
			fputs("\xef\xbf\xbd", f); /* U+FFFD */
		s += plain + (len ? len : 1);
		left -= plain + (len ? len : 1);
		plain = 0;
	}
	fwrite(s, 1, plain, f);
	putc_unlocked('"', f);
}

void json_out_u64(FILE *f, u64 value)
{
	char digits[20];
	size_t n = sizeof(digits);

	if (value > INT64_MAX)
		value = INT64_MAX;
	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	fwrite(digits + n, 1, sizeof(digits) - n, f);
}

/* Whole thousandths, without zeros at the end: 5.25 for 5250. */
static void put_thousandths(FILE *f, u64 value)
{
	char fraction[8];
	size_t n = 4;

	json_out_u64(f, value / 1000);
	if (value % 1000 == 0)
		return;
	snprintf(fraction, sizeof(fraction), ".%03u", (unsigned int)(value % 1000));
	while (fraction[n - 1] == '0')
		n--;
	fwrite(fraction, 1, n, f);
}

void json_out_double(FILE *f, double value)
{
	char text[40];
	char *point;

	if (!isfinite(value))
		value = 0;
	/* Nearly every number is one of milliseconds: then this is exact, and short. */
	if (value >= 0 && value < 1e12 && nearbyint(value * 1000) / 1000 == value) {
		put_thousandths(f, (u64)nearbyint(value * 1000));
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	point = strstr(text, localeconv()->decimal_point);
	if (point)
		*point = '.';
	fputs(text, f);
}

void json_out_ms(FILE *f, u32 ms)
{
	put_thousandths(f, ms);
}

void json_out_strings(FILE *f, char *const *strings, size_t n)
{
	fputc('[', f);
	for (size_t i = 0; i < n; i++) {
		if (i)
			fputs(", ", f);
		json_out_string(f, strings[i] ? strings[i] : "");
	}
	fputc(']', f);
}

void json_out_key(FILE *f, const char *key, bool first)
{
	fputs(first ? "\"" : ", \"", f);
	fputs(key, f);
	fputs("\": ", f);
}

void json_out_key_u64(FILE *f, const char *key, u64 value)
{
	json_out_key(f, key, false);
	json_out_u64(f, value);
}

void json_out_key_string(FILE *f, const char *key, const char *value)
{
	json_out_key(f, key, false);
	json_out_string(f, value);
}

void json_out_key_bool(FILE *f, const char *key, bool value)
{
	json_out_key(f, key, false);
	fputs(value ? "true" : "false", f);
}
