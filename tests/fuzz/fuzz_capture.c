// SPDX-License-Identifier: MIT
/*
 * libFuzzer harness for a capture file, which may come from anywhere. What
 * json_read_buffer accepts must be writable as text in each order, and as JSON
 * that reads back to the same bytes.
 *
 *	make fuzz FUZZ=capture
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/json.h"
#include "report/text.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void write_texts(const struct capture *capture)
{
	static const u32 widths[] = {0, 1, 80, 300};
	FILE *f = fopen("/dev/null", "w");

	if (!f)
		abort();
	for (size_t i = 0; i < capture->snapshots_n && i < 3; i++)
		for (int sort = SORT_LIVE; sort <= SORT_GROWTH; sort++) {
			struct text_options options = {.sort = (enum text_sort)sort,
						       .top = (u32)sort % 3,
						       .color = sort & 1,
						       .width = widths[sort % 4]};
			struct err err = ERR_INIT;

			if (text_write(f, capture, i, &options, &err))
				abort();
		}
	fclose(f);
}

static char *to_json(const struct capture *capture, size_t *len)
{
	struct err err = ERR_INIT;
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f || json_write(f, capture, &err) || fclose(f))
		abort();
	return text;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct err err = ERR_INIT;
	struct capture *capture = json_read_buffer((const char *)data, size, "fuzz", &err), *again;
	size_t len, again_len;
	char *text, *again_text;

	if (!capture != (err.code != 0))
		abort();
	if (!capture)
		return 0;
	write_texts(capture);
	text = to_json(capture, &len);
	again = json_read_buffer(text, len, "again", &err);
	if (!again)
		abort();
	again_text = to_json(again, &again_len);
	if (len != again_len || memcmp(text, again_text, len) != 0)
		abort();
	capture_destroy(capture);
	capture_destroy(again);
	free(text);
	free(again_text);
	return 0;
}
