// SPDX-License-Identifier: MIT
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/safe_file.h"
#include "report/builder.h"
#include "report/json.h"
#include "report/text.h"

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), len = strlen(suffix);

	return n > len && strcmp(name + n - len, suffix) == 0;
}

int output_check_name(const char *name, struct err *err)
{
	if (strcmp(name, "-") == 0 || has_suffix(name, ".json") || has_suffix(name, ".txt") ||
	    strncmp(name, "/dev/", 5) == 0)
		return 0;
	return err_set(err, EINVAL,
		       "cannot tell the format of '%s': end it in .json for a capture or in .txt "
		       "for text",
		       name);
}

/*
 * The name with %p and %n filled in. The report of an image that ended with an
 * exec would be overwritten by the next one's: without %n it becomes
 * name.exec-1.json.
 */
static char *expand(const char *name, pid_t pid, u32 number, u32 image)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	const char *suffix = strrchr(name, '.');
	bool numbered = strstr(name, "%n") != NULL;

	if (!f)
		return NULL;
	for (const char *c = name; *c; c++) {
		if (c == suffix && image && !numbered)
			fprintf(f, ".exec-%u", image);
		if (c[0] == '%' && c[1] == 'p')
			fprintf(f, "%d", (int)pid), c++;
		else if (c[0] == '%' && c[1] == 'n')
			fprintf(f, "%u", number), c++;
		else if (c[0] == '%' && c[1] == '%')
			fputc(*c++, f);
		else
			fputc(*c, f);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_text(FILE *f, const struct options *options, const struct capture *capture,
		      size_t index, struct err *err)
{
	struct text_options text = options->text;
	bool terminal = isatty(fileno(f));
	const char *term = getenv("TERM");
	struct winsize size;

	text.color = options->color == COLOR_ALWAYS;
	if (options->color == COLOR_AUTO)
		text.color = terminal && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
	if (terminal && ioctl(fileno(f), TIOCGWINSZ, &size) == 0)
		text.width = size.ws_col;
	return text_write(f, capture, index, &text, err);
}

static int write_file(const char *name, const struct options *options,
		      const struct capture *capture, size_t index, u32 image, struct err *err)
{
	const struct capture_snapshot *snapshot = &capture->snapshots[index];
	_cleanup_free_ char *path = expand(name, capture->target.pid, snapshot->number, image);
	struct safe_file file;
	int ret;

	if (!path)
		return err_set(err, ENOMEM, "out of memory");
	ret = safe_file_open(&file, path, err);
	if (ret)
		return ret;
	if (has_suffix(path, ".json"))
		ret = json_write(file.f, capture, err);
	else
		ret = write_text(file.f, options, capture, index, err);
	if (ret) {
		safe_file_abort(&file);
		return ret;
	}
	return safe_file_commit(&file, err);
}

int output_write(const struct options *options, const struct capture *capture, size_t index,
		 u32 image, FILE *fallback, struct err *err)
{
	int first = 0, ret;

	if (!options->outputs_n) {
		ret = write_text(fallback, options, capture, index, err);
		if (ret == 0 && (fflush(fallback) != 0 || ferror(fallback)))
			ret = err_sys(err, errno ? errno : EIO, "cannot write the report");
		return ret;
	}
	/* One that fails must not cost the others. */
	for (size_t i = 0; i < options->outputs_n; i++) {
		ret = write_file(options->outputs[i], options, capture, index, image, err);
		if (ret && !first)
			first = ret;
	}
	return first;
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

/* Names and settings; false when out of memory. */
static bool describe(struct capture *capture, const struct session_view *view,
		     const struct options *options)
{
	static const char *const unwinds[] = {"table", "libdw", "libunwind"};
	static const char *const probes[] = {
		[SESSION_PROBE_AUTO] = "auto",
		[SESSION_PROBE_JUMP] = "jump",
		[SESSION_PROBE_TRAP] = "trap",
	};
	const struct proc_identity *identity = view->identity;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	capture->version = copy(MEMATTACH_VERSION);
	capture->target.pid = view->pid;
	capture->target.exe = copy(identity->exe);
	capture->target.host = copy(host);
	capture->target.start_time = view->start_time;
	capture->target.command = calloc(identity->command_n + 1, sizeof(char *));
	capture->settings.probe = copy(probes[options->session.probe]);
	capture->settings.unwind = copy(unwinds[options->session.unwind]);
	capture->settings.depth = options->session.depth;
	capture->settings.sample_bytes = options->session.sample;
	capture->settings.whole_life = view->whole_life;
	capture->settings.allocators = calloc(view->allocators_n + 1, sizeof(char *));
	if (!capture->version || !capture->target.exe || !capture->target.host ||
	    !capture->target.command || !capture->settings.probe || !capture->settings.unwind ||
	    !capture->settings.allocators)
		return false;
	for (size_t i = 0; i < identity->command_n; i++) {
		capture->target.command[i] = copy(identity->command[i]);
		if (!capture->target.command[i])
			return false;
		capture->target.command_n++;
	}
	for (size_t i = 0; i < view->allocators_n; i++) {
		capture->settings.allocators[i] = copy(view->allocators[i]);
		if (!capture->settings.allocators[i])
			return false;
		capture->settings.allocators_n++;
	}
	return true;
}

static void fill_process(struct capture_process *process, const struct session_record *record)
{
	const struct proc_usage *u = &record->usage;

	*process = (struct capture_process){
		.rss = u->rss,
		.pss = u->pss,
		.vsz = u->vsz,
		.swap = u->swap,
		.hwm = u->hwm,
		.minor_faults = u->minor_faults,
		.major_faults = u->major_faults,
		.threads = u->threads,
		.heap_rss = u->heap_rss,
		.anonymous_rss = u->anonymous_rss,
		.stack_rss = u->stack_rss,
		.file_rss = u->file_rss,
		.shared_rss = u->shared_rss,
		.cgroup_limit = u->cgroup_limit,
		.cgroup_usage = u->cgroup_usage,
		.known = record->usage_known,
	};
}

static enum capture_reason reason_of(enum session_reason reason)
{
	static const enum capture_reason reasons[] = {
		[SESSION_SIGNAL] = CAPTURE_SIGNAL, [SESSION_INTERVAL] = CAPTURE_INTERVAL,
		[SESSION_EXIT] = CAPTURE_EXIT,     [SESSION_DETACH] = CAPTURE_DETACH,
		[SESSION_EXEC] = CAPTURE_EXEC,
	};

	return reasons[reason];
}

static int add_record(struct builder *builder, const struct session_record *record, struct err *err)
{
	struct capture_snapshot *snapshot;
	int ret = builder_add(builder, &record->totals, record->sites, record->sites_n, record->now,
			      reason_of(record->reason), &snapshot, err);

	if (ret)
		return ret;
	snapshot->number = record->number;
	snapshot->lost_events = record->lost_events;
	fill_process(&snapshot->process, record);
	snapshot->diagnosis = calloc(record->diagnosis.n + 1, sizeof(char *));
	if (!snapshot->diagnosis)
		return err_set(err, ENOMEM, "out of memory");
	for (u32 i = 0; i < record->diagnosis.n; i++) {
		snapshot->diagnosis[i] = copy(record->diagnosis.text[i]);
		if (!snapshot->diagnosis[i])
			return err_set(err, ENOMEM, "out of memory");
		snapshot->diagnosis_n++;
	}
	return 0;
}

int output_report(void *ctx, const struct session_view *view, struct err *err)
{
	const struct options *options = ctx;
	struct capture *capture = capture_create(err);
	struct builder *builder = NULL;
	int ret = -ENOMEM;

	if (!capture)
		goto out;
	if (!describe(capture, view, options)) {
		err_set(err, ENOMEM, "out of memory");
		goto out;
	}
	builder = builder_create(capture, view->stacks, view->modules, err);
	if (!builder)
		goto out;
	ret = builder_timeline(builder, view->timeline, err);
	for (size_t i = 0; i < view->records_n && !ret; i++)
		ret = add_record(builder, &view->records[i], err);
	if (ret == 0)
		ret = output_write(options, capture, capture->snapshots_n - 1, view->image,
				   options->session.pid ? stdout : stderr, err);
out:
	builder_destroy(builder);
	capture_destroy(capture);
	return ret;
}
