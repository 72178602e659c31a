// SPDX-License-Identifier: MIT
#include "report/line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/vec.h"

void line_init(struct line *line, bool color)
{
	memset(line, 0, sizeof(*line));
	line->color = color;
}

void line_deinit(struct line *line)
{
	free(line->text);
}

static void append(struct line *line, const char *s, size_t n, u32 columns)
{
	if (vec_reserve((void **)&line->text, &line->cap, line->n + n + 1, 1)) {
		line->failed = true;
		return;
	}
	memcpy(line->text + line->n, s, n);
	line->n += n;
	line->columns += columns;
}

void line_add(struct line *line, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	append(line, text, (size_t)n, (u32)n);
}

/* A run of plain ASCII at the beginning of s, which needs no escape. */
static size_t plain_prefix(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && s[i] >= 0x20 && s[i] < 0x7f)
		i++;
	return i;
}

void line_add_foreign(struct line *line, const char *s, size_t n)
{
	while (n) {
		size_t used = plain_prefix(s, n);
		char out[ESCAPE_MAX];
		u32 columns;

		if (used) {
			append(line, s, used, (u32)used);
		} else {
			used = escape_terminal(s, n, out, &columns);
			append(line, out, strlen(out), columns);
		}
		s += used;
		n -= used;
	}
}

u32 line_columns(const char *s, size_t n)
{
	u32 sum = 0;

	while (n) {
		size_t used = plain_prefix(s, n);
		char out[ESCAPE_MAX];
		u32 columns = (u32)used;

		if (!used)
			used = escape_terminal(s, n, out, &columns);
		sum += columns;
		s += used;
		n -= used;
	}
	return sum;
}

/* How many bytes of s fit into max columns. */
static size_t fitting(const char *s, size_t n, u32 max)
{
	size_t done = 0;
	u32 sum = 0;

	while (done < n) {
		char out[ESCAPE_MAX];
		u32 columns;
		size_t used = escape_terminal(s + done, n - done, out, &columns);

		if (sum + columns > max)
			break;
		sum += columns;
		done += used;
	}
	return done;
}

void line_add_short(struct line *line, const char *s, size_t n, u32 max)
{
	u32 columns = line_columns(s, n), tail_max = (max - 3) / 2;
	size_t head, skipped;

	if (columns <= max) {
		line_add_foreign(line, s, n);
		return;
	}
	/* The tail: skip whole characters until what is left fits. */
	head = fitting(s, n, max - 3 - tail_max);
	skipped = head;
	while (skipped < n && line_columns(s + skipped, n - skipped) > tail_max) {
		u32 over = line_columns(s + skipped, n - skipped) - tail_max;
		size_t step = fitting(s + skipped, n - skipped, over);
		char out[ESCAPE_MAX];

		if (!step) /* one character wider than what is over */
			step = escape_terminal(s + skipped, n - skipped, out, &over);
		skipped += step;
	}
	line_add_foreign(line, s, head);
	line_add(line, "...");
	line_add_foreign(line, s + skipped, n - skipped);
}

void line_pad(struct line *line, u32 column)
{
	while (line->columns < column && !line->failed)
		append(line, " ", 1, 1);
}

void line_add_right(struct line *line, const char *text, u32 width)
{
	size_t n = strlen(text);

	line_add(line, "%*s%s", n < width ? (int)(width - n) : 0, "", text);
}

void line_style(struct line *line, enum line_style style)
{
	static const char *const codes[] = {
		[STYLE_NONE] = "\x1b[0m",      [STYLE_HEADING] = "\x1b[1m",
		[STYLE_GUILTY] = "\x1b[1;31m", [STYLE_WARNING] = "\x1b[1;33m",
		[STYLE_DIM] = "\x1b[2m",
	};

	if (!line->color)
		return;
	if (line->style != STYLE_NONE)
		append(line, codes[STYLE_NONE], strlen(codes[STYLE_NONE]), 0);
	line->style = style;
	if (style != STYLE_NONE)
		append(line, codes[style], strlen(codes[style]), 0);
}

void line_end(struct line *line, FILE *f)
{
	line_style(line, STYLE_NONE);
	while (line->n && line->text[line->n - 1] == ' ')
		line->n--;
	if (line->n)
		fwrite(line->text, 1, line->n, f);
	putc('\n', f);
	line->n = 0;
	line->columns = 0;
}

/*
 * The bytes up to the next place where a line may be broken. A number stays with the
 * word that follows, which is its unit or what it counts, and with a ± in front.
 */
static size_t unbreakable(const char *text)
{
	static const char sign[] = "\u00b1 ";
	size_t word = strcspn(text, " ");

	if (strncmp(text, sign, sizeof(sign) - 1) == 0)
		return sizeof(sign) - 1 + unbreakable(text + sizeof(sign) - 1);
	if (word && text[0] >= '0' && text[0] <= '9' && text[word - 1] >= '0' &&
	    text[word - 1] <= '9' && text[word])
		word += 1 + strcspn(text + word + 1, " ");
	return word;
}

void line_end_wrapped(struct line *line, FILE *f, const char *text, u32 indent, u32 width)
{
	enum line_style style = line->style;
	bool first = true;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t word = unbreakable(text);
		u32 columns = line_columns(text, word);

		if (!first && line->columns + 1 + columns > width) {
			line_end(line, f);
			line_pad(line, indent);
			line_style(line, style);
		} else if (!first) {
			line_add(line, " ");
		}
		line_add_foreign(line, text, word);
		first = false;
		text += word;
	}
	line_end(line, f);
}
