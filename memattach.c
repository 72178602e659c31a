// SPDX-License-Identifier: MIT
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "options.h"
#include "output.h"
#include "report/capture.h"
#include "report/json.h"
#include "session.h"

enum {
	EXIT_USAGE = 2,
	EXIT_OURS = 125,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

static void complain(const struct err *err)
{
	struct log log = {.level = LOG_WARN};

	log_warn(&log, "%s", err->msg);
}

static int exit_status(const struct options *options, const struct session_result *result)
{
	if (options->session.pid || !result->target_ended)
		return 0;
	if (WIFSIGNALED(result->status))
		return 128 + WTERMSIG(result->status);
	return WEXITSTATUS(result->status);
}

static int record(struct options *options)
{
	struct err err = ERR_INIT;
	struct session_result result;

	options->session.report = output_report;
	options->session.ctx = options;
	if (session_run(&options->session, &result, &err) == 0)
		return exit_status(options, &result);
	complain(&err);
	if (result.command_failed)
		return err.code == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
	return EXIT_OURS;
}

static int find_snapshot(const struct options *options, const struct capture *capture,
			 size_t *index, struct err *err)
{
	for (size_t i = 0; i < capture->snapshots_n; i++) {
		*index = i;
		if (options->snapshot == capture->snapshots[i].number)
			return 0;
	}
	if (!options->snapshot && capture->snapshots_n)
		return 0;
	return err_set(err, ENOENT, "%s has no snapshot %u; it has %zu", options->capture,
		       options->snapshot, capture->snapshots_n);
}

static int report(const struct options *options)
{
	struct err err = ERR_INIT;
	struct capture *capture = json_read(options->capture, &err);
	size_t index = 0;
	int ret = -EINVAL;

	if (capture)
		ret = find_snapshot(options, capture, &index, &err);
	if (ret == 0)
		ret = output_write(options, capture, index, 0, stdout, &err);
	capture_destroy(capture);
	if (ret == 0)
		return 0;
	complain(&err);
	return EXIT_OURS;
}

static int run(struct options *options)
{
	switch (options->mode) {
	case MODE_HELP:
		return fputs(options_help, stdout) < 0 || fflush(stdout) ? EXIT_OURS : 0;
	case MODE_VERSION:
		return puts("memattach " MEMATTACH_VERSION) < 0 || fflush(stdout) ? EXIT_OURS : 0;
	case MODE_REPORT:
		return report(options);
	default:
		return record(options);
	}
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct options options;
	int status;

	if (options_parse(&options, argc, argv, &err)) {
		complain(&err);
		fputs("Try 'memattach --help'.\n", stderr);
		status = EXIT_USAGE;
	} else {
		status = run(&options);
	}
	options_deinit(&options);
	return status;
}
