// SPDX-License-Identifier: MIT
#include "report/json_in.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

/* Appends place to the text in buf, "a.b[3].c". */
static void append_place(char *buf, size_t size, const struct json_place *place)
{
	size_t n;

	if (!place)
		return;
	append_place(buf, size, place->up);
	n = strlen(buf);
	if (place->key)
		snprintf(buf + n, size - n, "%s%s", n ? "." : "", place->key);
	else
		snprintf(buf + n, size - n, "[%zu]", place->index);
}

static void make_visible(const char *from, char *to, size_t size)
{
	size_t left = strlen(from), n = 0;

	while (left) {
		char out[ESCAPE_MAX];
		u32 columns;
		size_t len = escape_terminal(from, left, out, &columns);

		if (n + strlen(out) >= size)
			break;
		memcpy(to + n, out, strlen(out));
		n += strlen(out);
		from += len;
		left -= len;
	}
	to[n] = '\0';
}

void json_in_fail(struct json_in *in, const struct json_place *place, int code, const char *fmt,
		  ...)
{
	char where[160] = "", raw[300], text[300];
	va_list ap;

	if (in->failed)
		return;
	in->failed = true;
	append_place(where, sizeof(where), place);
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	make_visible(raw, text, sizeof(text));
	err_set(in->err, code, "%s: %s%s%s", in->name, where, where[0] ? ": " : "", text);
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static void fail_type(struct json_in *in, const struct json_place *up, const char *key,
		      const json_t *value, const char *wanted)
{
	struct json_place place = {.up = up, .key = key};

	json_in_fail(in, key ? &place : up, EINVAL, "%s where %s is expected", type_name(value),
		     wanted);
}

json_t *json_in_get(struct json_in *in, const struct json_place *place, json_t *object,
		    const char *key, enum json_need need)
{
	json_t *value = in->failed ? NULL : json_object_get(object, key);

	if (!value && need == JSON_REQUIRED)
		json_in_fail(in, place, EINVAL, "\"%s\" is missing; is the file a whole capture?",
			     key);
	return value;
}

json_t *json_in_array(struct json_in *in, const struct json_place *place, json_t *object,
		      const char *key, enum json_need need)
{
	json_t *value = json_in_get(in, place, object, key, need);

	if (!value || json_is_array(value))
		return value;
	fail_type(in, place, key, value, "an array");
	return NULL;
}

json_t *json_in_object(struct json_in *in, const struct json_place *place, json_t *object,
		       const char *key, enum json_need need)
{
	json_t *value = json_in_get(in, place, object, key, need);

	if (!value || json_is_object(value))
		return value;
	fail_type(in, place, key, value, "an object");
	return NULL;
}

bool json_in_is_object(struct json_in *in, const struct json_place *place, const json_t *value)
{
	if (!json_is_object(value))
		fail_type(in, place, NULL, value, "an object");
	return !in->failed;
}

u64 json_in_u64(struct json_in *in, const struct json_place *place, json_t *object, const char *key,
		enum json_need need, u64 max)
{
	struct json_place here = {.up = place, .key = key};
	json_t *value = json_in_get(in, place, object, key, need);
	json_int_t n;

	if (!value || (json_is_null(value) && need == JSON_OPTIONAL))
		return 0;
	if (!json_is_integer(value)) {
		fail_type(in, place, key, value, "an integer");
		return 0;
	}
	n = json_integer_value(value);
	if (n < 0 || (u64)n > max) {
		json_in_fail(in, &here, ERANGE, "%lld is not between 0 and %llu", (long long)n,
			     (unsigned long long)max);
		return 0;
	}
	return (u64)n;
}

double json_in_double(struct json_in *in, const struct json_place *place, json_t *object,
		      const char *key, enum json_need need, double max)
{
	struct json_place here = {.up = place, .key = key};
	json_t *value = json_in_get(in, place, object, key, need);
	double x;

	if (!value)
		return 0;
	if (!json_is_number(value)) {
		fail_type(in, place, key, value, "a number");
		return 0;
	}
	x = json_number_value(value);
	if (!(x >= 0 && x <= max)) {
		json_in_fail(in, &here, ERANGE, "%g is not between 0 and %g", x, max);
		return 0;
	}
	return x;
}

bool json_in_bool(struct json_in *in, const struct json_place *place, json_t *object,
		  const char *key, enum json_need need)
{
	json_t *value = json_in_get(in, place, object, key, need);

	if (value && !json_is_boolean(value))
		fail_type(in, place, key, value, "a boolean");
	return value && json_is_true(value);
}

static char *copy_string(struct json_in *in, const json_t *value)
{
	char *s = strdup(json_string_value(value));

	if (!s)
		json_in_fail(in, NULL, ENOMEM, "out of memory");
	return s;
}

char *json_in_string(struct json_in *in, const struct json_place *place, json_t *object,
		     const char *key, enum json_need need)
{
	json_t *value = json_in_get(in, place, object, key, need);

	if (!value || json_is_null(value))
		return NULL;
	if (!json_is_string(value)) {
		fail_type(in, place, key, value, "a string");
		return NULL;
	}
	return copy_string(in, value);
}

void json_in_strings(struct json_in *in, const struct json_place *place, json_t *object,
		     const char *key, enum json_need need, char ***strings, size_t *n)
{
	struct json_place list = {.up = place, .key = key};
	json_t *array = json_in_array(in, place, object, key, need);
	size_t count = json_array_size(array);

	*n = 0;
	*strings = array ? json_in_alloc(in, count, sizeof(**strings)) : NULL;
	for (size_t i = 0; i < count && !in->failed; i++) {
		struct json_place here = {.up = &list, .index = i};
		json_t *value = json_array_get(array, i);

		if (!json_is_string(value))
			fail_type(in, &here, NULL, value, "a string");
		else
			(*strings)[i] = copy_string(in, value);
		*n = i + 1;
	}
}

void *json_in_alloc(struct json_in *in, size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		json_in_fail(in, NULL, ENOMEM, "out of memory");
	return p;
}

void json_in_fields(struct json_in *in, const struct json_place *place, json_t *object,
		    const struct json_field *fields, size_t n, void *to)
{
	for (size_t i = 0; i < n && !in->failed; i++) {
		u64 value =
			json_in_u64(in, place, object, fields[i].key, fields[i].need, INT64_MAX);

		memcpy((char *)to + fields[i].offset, &value, sizeof(value));
	}
}
