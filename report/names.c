// SPDX-License-Identifier: MIT
/*
 * Taking demangled C++ and Rust names apart. There is no grammar to parse here, only
 * brackets to count: the name is the last word before the parameter list that
 * stands outside of all brackets. Two things would mislead: "operator<" and its like,
 * whose brackets are none, and "(anonymous namespace)", whose parentheses are no
 * parameters.
 */
#include "report/names.h"

#include <string.h>

#define ANONYMOUS "(anonymous namespace)"

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (u8)c >= 0x80;
}

/* If p, inside name, begins "operator" and what it names: where that ends; else p. */
static const char *skip_operator(const char *name, const char *p)
{
	if (!starts_with(p, "operator") || is_word(p[8]) || (p > name && is_word(p[-1])))
		return p;
	p += 8;
	if (starts_with(p, "()"))
		return p + 2;
	while (*p && *p != '(') /* a conversion's type, "new[]", "<<" */
		p++;
	return p;
}

/* The end of a bracketed part that begins at p; "->" and ">=" close nothing. */
static const char *skip_brackets(const char *p)
{
	u32 depth = 0;

	for (; *p; p++) {
		if (*p == '(' || *p == '<' || *p == '[' || *p == '{')
			depth++;
		else if (*p == '>' && p[-1] == '-')
			continue;
		else if (*p == ')' || *p == '>' || *p == ']' || *p == '}')
			depth--;
		if (!depth)
			return p + 1;
	}
	return p;
}

struct span names_qualified(const char *function)
{
	const char *start = function, *p = function;

	while (*p) {
		const char *end = skip_operator(function, p);

		if (end > p)
			return (struct span){start, (size_t)(end - start)};
		if (starts_with(p, ANONYMOUS)) {
			p += strlen(ANONYMOUS);
		} else if (*p == '(' && p > start) {
			/* The parameters, unless the name goes on: "f(int)::local", "decltype(x) f()". */
			end = skip_brackets(p);
			if (!starts_with(end, "::") && !(*end == ' ' && strchr(end, '(')))
				return (struct span){start, (size_t)(p - start)};
			p = end;
		} else if (*p == '<' || *p == '{') {
			p = skip_brackets(p);
		} else if (starts_with(p, " [clone ") || starts_with(p, " (.")) {
			break; /* " [clone .cold]": a part of a function, by the compiler */
		} else if (*p == ' ' && p[1] && p[1] != '(') {
			start = ++p;
		} else {
			p++;
		}
	}
	return (struct span){start, (size_t)(p - start)};
}

struct span names_last(struct span qualified)
{
	const char *end = qualified.s + qualified.n, *start = qualified.s;
	const char *p = qualified.s, *stop = end;

	while (p < end) {
		if (skip_operator(qualified.s, p) > p)
			return (struct span){p, (size_t)(end - p)};
		if (p[0] == ':' && p + 1 < end && p[1] == ':') {
			p += 2;
			start = p;
			stop = end;
		} else if (*p == '<' && p > start) {
			stop = p;
			p = skip_brackets(p);
		} else if (*p == '<' || *p == '(' || *p == '{') {
			p = skip_brackets(p);
		} else {
			p++;
		}
	}
	return (struct span){start, (size_t)((stop < end ? stop : end) - start)};
}

void names_compact(const char *function, char *out, size_t size)
{
	struct span name = names_qualified(function);
	const char *p = name.s, *end = name.s + name.n;
	size_t n = 0;

	while (p < end && n + 3 < size) {
		if (skip_operator(name.s, p) > p) {
			while (p < end && n + 1 < size)
				out[n++] = *p++;
			break;
		}
		if (starts_with(p, ANONYMOUS "::")) {
			p += strlen(ANONYMOUS "::");
		} else if (*p == '<' && p > name.s) {
			out[n++] = '<';
			out[n++] = '>';
			p = skip_brackets(p);
		} else {
			out[n++] = *p++;
		}
	}
	out[n] = '\0';
}

const char *names_base(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "";
}

const char *names_tail(const char *path)
{
	const char *base = names_base(path);
	size_t n = (size_t)(base - path);

	if (n < 2)
		return path;
	for (n--; n > 0 && path[n - 1] != '/'; n--)
		;
	/* "../malloc.c" and "./malloc.c" say no more than "malloc.c". */
	path += n;
	return starts_with(path, "../") || starts_with(path, "./") ? base : path;
}
