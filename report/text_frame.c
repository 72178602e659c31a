// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/names.h"
#include "report/text_parts.h"

bool text_in_program(const struct text *text, const struct capture_frame *frame)
{
	const char *exe = text->capture->target.exe;

	return exe && frame->module && strcmp(exe, frame->module) == 0;
}

void text_location_short(const struct text *text, const struct capture_frame *frame, char *out,
			 size_t size)
{
	out[0] = '\0';
	if (frame->file && frame->line)
		snprintf(out, size, "%.200s:%u", names_base(frame->file), frame->line);
	else if (frame->function && frame->module && !text_in_program(text, frame))
		snprintf(out, size, "(%s)", names_base(frame->module));
	else if (frame->function && frame->file)
		snprintf(out, size, "%s", names_base(frame->file));
}

void text_function_short(const struct capture_frame *frame, char *out, size_t size)
{
	if (frame->function)
		names_compact(frame->function, out, size);
	else if (frame->module)
		snprintf(out, size, "%s+0x%" PRIx64, names_base(frame->module), frame->offset);
	else
		snprintf(out, size, "0x%" PRIx64, frame->address);
}
