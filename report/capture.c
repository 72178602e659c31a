// SPDX-License-Identifier: MIT
#include "report/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct capture *capture_create(struct err *err)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		err_sys(err, ENOMEM, "cannot make a capture");
	return capture;
}

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; strings && i < n; i++)
		free(strings[i]);
	free(strings);
}

void capture_frame_deinit(struct capture_frame *frame)
{
	free(frame->module);
	free(frame->build_id);
	free(frame->function);
	free(frame->file);
	memset(frame, 0, sizeof(*frame));
}

void capture_snapshot_deinit(struct capture_snapshot *snapshot)
{
	free_strings(snapshot->diagnosis, snapshot->diagnosis_n);
	free(snapshot->sites);
	memset(snapshot, 0, sizeof(*snapshot));
}

void capture_destroy(struct capture *capture)
{
	if (!capture)
		return;
	free(capture->version);
	free(capture->target.exe);
	free(capture->target.host);
	free_strings(capture->target.command, capture->target.command_n);
	free(capture->settings.probe);
	free(capture->settings.unwind);
	free_strings(capture->settings.allocators, capture->settings.allocators_n);
	for (size_t i = 0; i < capture->frames_n; i++)
		capture_frame_deinit(&capture->frames[i]);
	free(capture->frames);
	for (size_t i = 0; i < capture->stacks_n; i++)
		free(capture->stacks[i].frames);
	free(capture->stacks);
	for (size_t i = 0; i < capture->snapshots_n; i++)
		capture_snapshot_deinit(&capture->snapshots[i]);
	free(capture->snapshots);
	free(capture->timeline);
	free(capture);
}

static const char *const reason_names[] = {
	[CAPTURE_SIGNAL] = "signal", [CAPTURE_INTERVAL] = "interval", [CAPTURE_EXIT] = "exit",
	[CAPTURE_DETACH] = "detach", [CAPTURE_EXEC] = "exec",         [CAPTURE_USER] = "user",
};

const char *capture_reason_name(enum capture_reason reason)
{
	return (size_t)reason < ARRAY_SIZE(reason_names) ? reason_names[reason] : "user";
}

int capture_reason_parse(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(reason_names); i++)
		if (strcmp(word, reason_names[i]) == 0)
			return (int)i;
	return -1;
}
