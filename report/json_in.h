/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_JSON_IN_H
#define MEMATTACH_REPORT_JSON_IN_H

#include <jansson.h>

#include "base/err.h"
#include "base/types.h"

/*
 * Checked access to JSON that comes from anywhere. The first thing that is
 * wrong is kept in err, with its place ("snapshots[2].sites[17].stack: ...");
 * after that every getter returns at once, so that a caller may read a whole
 * object and look at json_in_failed once.
 */
struct json_in {
	const char *name; /* of the file, for messages */
	struct err *err;
	bool failed;
};

/* Where a value stands: a key or an index in what stands at up. */
struct json_place {
	const struct json_place *up; /* NULL: the top of the file */
	const char *key;             /* NULL: an index */
	size_t index;
};

/* Records that what is at place is wrong. Control characters in the message are made visible. */
void json_in_fail(struct json_in *in, const struct json_place *place, int code, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));

enum json_need { JSON_REQUIRED, JSON_OPTIONAL };

/* The member key of object, NULL if it is not there; that is a failure if it is required. */
json_t *json_in_get(struct json_in *in, const struct json_place *place, json_t *object,
		    const char *key, enum json_need need);

/* The member key of object, which must be an array, an object; NULL if it is not. */
json_t *json_in_array(struct json_in *in, const struct json_place *place, json_t *object,
		      const char *key, enum json_need need);
json_t *json_in_object(struct json_in *in, const struct json_place *place, json_t *object,
		       const char *key, enum json_need need);

/* Is value, which stands at place, an object? Fails if not. */
bool json_in_is_object(struct json_in *in, const struct json_place *place, const json_t *value);

/* An integer from 0 to max; 0 if it is absent, or null where it is optional. */
u64 json_in_u64(struct json_in *in, const struct json_place *place, json_t *object, const char *key,
		enum json_need need, u64 max);

/* A number from 0 to max. */
double json_in_double(struct json_in *in, const struct json_place *place, json_t *object,
		      const char *key, enum json_need need, double max);

bool json_in_bool(struct json_in *in, const struct json_place *place, json_t *object,
		  const char *key, enum json_need need);

/* A malloc'ed copy of a string; NULL if it is null or absent. */
char *json_in_string(struct json_in *in, const struct json_place *place, json_t *object,
		     const char *key, enum json_need need);

/* An array of strings, malloc'ed, into *strings and *n. */
void json_in_strings(struct json_in *in, const struct json_place *place, json_t *object,
		     const char *key, enum json_need need, char ***strings, size_t *n);

/* Zeroed memory for n items; failure is recorded. n may be 0. */
void *json_in_alloc(struct json_in *in, size_t n, size_t size);

/* An integer member of an object, and the u64 in a struct where it belongs. */
struct json_field {
	const char *key;
	size_t offset;
	enum json_need need;
};

void json_in_fields(struct json_in *in, const struct json_place *place, json_t *object,
		    const struct json_field *fields, size_t n, void *to);

#endif
