// SPDX-License-Identifier: MIT
/*
 * A capture from JSON. jansson parses, and bounds the nesting; the shape, the
 * ranges and every index are checked here, so that a capture which was read is
 * as sound as one that was recorded. What version 1 had from its first day is
 * required; members that are unknown are passed over.
 */
#include "report/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/vec.h"
#include "report/json_in.h"
#include "report/json_snapshots.h"

#define CAPTURE_MAX_BYTES (1ULL << 30)
#define SECONDS_MAX       (UINT32_MAX / 1000.0) /* times are u32 milliseconds */

static u32 read_ms(struct json_in *in, const struct json_place *place, json_t *object,
		   const char *key)
{
	double s = json_in_double(in, place, object, key, JSON_REQUIRED, SECONDS_MAX);

	return (u32)nearbyint(s * 1000);
}

static void read_header(struct json_in *in, struct capture *capture, json_t *root)
{
	json_t *format = json_object_get(root, "format"), *tool;
	json_int_t version = json_integer_value(json_object_get(root, "version"));

	if (!json_is_string(format) || strcmp(json_string_value(format), "memattach-capture")) {
		json_in_fail(
			in, NULL, EINVAL,
			"this is no memattach capture (\"format\" is not \"memattach-capture\")");
		return;
	}
	if (version != 1) {
		json_in_fail(in, NULL, EINVAL,
			     "capture version %lld; this memattach reads version 1",
			     (long long)version);
		return;
	}
	tool = json_in_object(in, NULL, root, "tool", JSON_REQUIRED);
	capture->version = json_in_string(in, &(struct json_place){.key = "tool"}, tool, "version",
					  JSON_REQUIRED);
}

static void read_target(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place at = {.key = "target"};
	json_t *target = json_in_object(in, NULL, root, "target", JSON_REQUIRED);

	capture->target.pid = (pid_t)json_in_u64(in, &at, target, "pid", JSON_REQUIRED, INT_MAX);
	capture->target.exe = json_in_string(in, &at, target, "exe", JSON_REQUIRED);
	capture->target.host = json_in_string(in, &at, target, "host", JSON_REQUIRED);
	capture->target.start_time =
		json_in_double(in, &at, target, "start_time", JSON_REQUIRED, 1e12);
	json_in_strings(in, &at, target, "command", JSON_REQUIRED, &capture->target.command,
			&capture->target.command_n);
}

static void read_settings(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place at = {.key = "settings"};
	json_t *settings = json_in_object(in, NULL, root, "settings", JSON_REQUIRED);

	capture->settings.probe = json_in_string(in, &at, settings, "probe", JSON_REQUIRED);
	capture->settings.unwind = json_in_string(in, &at, settings, "unwind", JSON_REQUIRED);
	capture->settings.sample_bytes =
		json_in_u64(in, &at, settings, "sample_bytes", JSON_REQUIRED, INT64_MAX);
	capture->settings.depth =
		(u32)json_in_u64(in, &at, settings, "depth", JSON_REQUIRED, UINT32_MAX);
	capture->settings.whole_life = json_in_bool(in, &at, settings, "whole_life", JSON_OPTIONAL);
	json_in_strings(in, &at, settings, "allocators", JSON_OPTIONAL,
			&capture->settings.allocators, &capture->settings.allocators_n);
}

/* The array key of object with at most UINT32_MAX items, and room for them all at *items. */
static json_t *begin_array(struct json_in *in, const struct json_place *up, json_t *object,
			   const char *key, size_t item_size, void **items)
{
	struct json_place at = {.up = up, .key = key};
	json_t *array = json_in_array(in, up, object, key, JSON_REQUIRED);

	if (json_array_size(array) > UINT32_MAX)
		json_in_fail(in, &at, EFBIG, "too many items");
	if (in->failed)
		return NULL;
	*items = json_in_alloc(in, json_array_size(array), item_size);
	return *items ? array : NULL;
}

static void read_frame(struct json_in *in, const struct json_place *at, json_t *object,
		       struct capture_frame *frame)
{
	if (!json_in_is_object(in, at, object))
		return;
	frame->module = json_in_string(in, at, object, "module", JSON_REQUIRED);
	frame->build_id = json_in_string(in, at, object, "build_id", JSON_REQUIRED);
	frame->address = json_in_u64(in, at, object, "address", JSON_REQUIRED, INT64_MAX);
	frame->offset = json_in_u64(in, at, object, "offset", JSON_REQUIRED, INT64_MAX);
	frame->function = json_in_string(in, at, object, "function", JSON_REQUIRED);
	frame->file = json_in_string(in, at, object, "file", JSON_REQUIRED);
	frame->line = (u32)json_in_u64(in, at, object, "line", JSON_OPTIONAL, UINT32_MAX);
	frame->inlined = json_in_bool(in, at, object, "inlined", JSON_REQUIRED);
}

static void read_frames(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place frames = {.key = "frames"};
	json_t *array = begin_array(in, NULL, root, "frames", sizeof(*capture->frames),
				    (void **)&capture->frames);

	for (size_t i = 0; i < json_array_size(array) && !in->failed; i++) {
		struct json_place at = {.up = &frames, .index = i};

		read_frame(in, &at, json_array_get(array, i), &capture->frames[i]);
		capture->frames_cap = capture->frames_n = i + 1;
	}
}

static void read_stack(struct json_in *in, const struct json_place *at, const json_t *array,
		       size_t frames_n, struct capture_stack *stack)
{
	size_t n = json_array_size(array);

	if (!json_is_array(array) || n > UINT32_MAX) {
		json_in_fail(in, at, EINVAL, "not an array of frame numbers");
		return;
	}
	stack->frames = json_in_alloc(in, n, sizeof(*stack->frames));
	for (size_t i = 0; i < n && !in->failed; i++) {
		struct json_place here = {.up = at, .index = i};
		const json_t *value = json_array_get(array, i);
		json_int_t index = json_integer_value(value);

		if (!json_is_integer(value) || index < 0 || (u64)index >= frames_n)
			json_in_fail(in, &here, ERANGE, "not the number of one of the %zu frames",
				     frames_n);
		else
			stack->frames[stack->n++] = (u32)index;
	}
}

static void read_cut_stacks(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place cuts = {.key = "cut_stacks"};
	json_t *array = json_in_array(in, NULL, root, "cut_stacks", JSON_OPTIONAL);

	for (size_t i = 0; i < json_array_size(array) && !in->failed; i++) {
		struct json_place at = {.up = &cuts, .index = i};
		json_t *cut = json_array_get(array, i);
		_cleanup_free_ char *reason = NULL;
		u64 stack;

		if (!json_in_is_object(in, &at, cut))
			return;
		stack = json_in_u64(in, &at, cut, "stack", JSON_REQUIRED, UINT32_MAX);
		reason = json_in_string(in, &at, cut, "reason", JSON_REQUIRED);
		if (in->failed)
			return;
		if (stack >= capture->stacks_n)
			json_in_fail(in, &at, ERANGE, "stack: %llu is not a stack",
				     (unsigned long long)stack);
		else if (reason && strcmp(reason, "depth") == 0)
			capture->stacks[stack].cut = CAPTURE_CUT_DEPTH;
		else if (reason && strcmp(reason, "lost") == 0)
			capture->stacks[stack].cut = CAPTURE_CUT_LOST;
		else
			json_in_fail(in, &at, EINVAL, "reason: neither \"depth\" nor \"lost\"");
	}
}

static void read_stacks(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place stacks = {.key = "stacks"};
	json_t *array = begin_array(in, NULL, root, "stacks", sizeof(*capture->stacks),
				    (void **)&capture->stacks);

	for (size_t i = 0; i < json_array_size(array) && !in->failed; i++) {
		struct json_place at = {.up = &stacks, .index = i};

		capture->stacks_cap = capture->stacks_n = i + 1;
		read_stack(in, &at, json_array_get(array, i), capture->frames_n,
			   &capture->stacks[i]);
	}
	read_cut_stacks(in, capture, root);
}

#define POINT_FIELD(name)                                                                          \
	{                                                                                          \
#name, offsetof(struct timeline_point, name), JSON_REQUIRED                        \
	}

static void read_timeline(struct json_in *in, struct capture *capture, json_t *root)
{
	static const struct json_field fields[] = {
		POINT_FIELD(live_bytes),   POINT_FIELD(live_blocks), POINT_FIELD(rss),
		POINT_FIELD(vsz),          POINT_FIELD(swap),        POINT_FIELD(minor_faults),
		POINT_FIELD(major_faults),
	};
	struct json_place timeline = {.key = "timeline"};
	json_t *array = begin_array(in, NULL, root, "timeline", sizeof(*capture->timeline),
				    (void **)&capture->timeline);

	for (size_t i = 0; i < json_array_size(array) && !in->failed; i++) {
		struct json_place at = {.up = &timeline, .index = i};
		json_t *point = json_array_get(array, i);

		if (!json_in_is_object(in, &at, point))
			return;
		capture->timeline[i].time = read_ms(in, &at, point, "time");
		json_in_fields(in, &at, point, fields, ARRAY_SIZE(fields), &capture->timeline[i]);
		capture->timeline_n = i + 1;
	}
}

static void read_all(struct json_in *in, struct capture *capture, json_t *root)
{
	read_header(in, capture, root);
	if (in->failed)
		return;
	read_target(in, capture, root);
	read_settings(in, capture, root);
	read_frames(in, capture, root);
	read_stacks(in, capture, root);
	read_timeline(in, capture, root);
	json_read_snapshots(in, capture, root);
}

struct capture *json_read_buffer(const char *text, size_t len, const char *name, struct err *err)
{
	struct json_in in = {.name = name, .err = err};
	struct capture *capture;
	json_error_t error;
	json_t *root;

	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		json_in_fail(&in, NULL, EINVAL, "not JSON, or cut short: line %d, column %d: %s",
			     error.line, error.column, error.text);
		return NULL;
	}
	capture = capture_create(err);
	in.failed = !capture;
	if (capture)
		read_all(&in, capture, root);
	json_decref(root);
	if (in.failed) {
		capture_destroy(capture);
		return NULL;
	}
	return capture;
}

/* Appends what fd gives to the growing text. 0 or -errno with err filled. */
static int slurp(int fd, const char *path, char **text, size_t *len, struct err *err)
{
	size_t cap = 0;
	ssize_t n;

	*text = NULL;
	*len = 0;
	do {
		if (*len > CAPTURE_MAX_BYTES)
			return err_set(err, EFBIG, "%s is larger than 1 GiB: no capture is", path);
		if (vec_reserve((void **)text, &cap, *len + 65536, 1))
			return err_sys(err, ENOMEM, "cannot read %s", path);
		n = read(fd, *text + *len, cap - *len);
		if (n > 0)
			*len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? err_sys(err, errno, "cannot read %s", path) : 0;
}

struct capture *json_read(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (fd < 0) {
		err_sys(err, errno, "cannot open the capture %s", path);
		return NULL;
	}
	if (slurp(fd, path, &text, &len, err))
		return NULL;
	return json_read_buffer(text, len, path, err);
}
