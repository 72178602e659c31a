// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/names.h"
#include "report/text_parts.h"
#include "report/figures.h"

#define LABEL_WIDTH 13

/* "  label      value", the value wrapped. */
__attribute__((format(printf, 3, 4))) static void entry(struct text *text, const char *label,
							const char *fmt, ...)
{
	char value[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	line_add(&text->line, "  ");
	line_style(&text->line, STYLE_HEADING);
	line_add(&text->line, "%s", label);
	line_style(&text->line, STYLE_NONE);
	line_pad(&text->line, LABEL_WIDTH);
	line_end_wrapped(&text->line, text->f, value, LABEL_WIDTH, text->prose);
}

/* A sentence that nobody may overlook. */
__attribute__((format(printf, 2, 3))) static void warning(struct text *text, const char *fmt, ...)
{
	char value[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	line_style(&text->line, STYLE_WARNING);
	line_add(&text->line, "  ! ");
	line_end_wrapped(&text->line, text->f, value, 4, text->prose);
}

/*
 * What people call the program: the first word of its command line, which a
 * daemon may have set itself ("nginx: worker process"), since a program's file
 * may go by another name (Debian's redis-server is a link to redis-check-rdb).
 */
static const char *program_name(const struct capture *capture, size_t *len)
{
	const char *word = capture->target.command_n ? capture->target.command[0] : "";
	const char *name;

	*len = strcspn(word, " :");
	name = memrchr(word, '/', *len);
	name = name ? name + 1 : word;
	*len -= (size_t)(name - word);
	if (*len)
		return name;
	name = names_base(capture->target.exe);
	*len = strlen(name);
	return *len ? name : "?";
}

static void write_title(struct text *text)
{
	const struct capture *capture = text->capture;
	size_t name_length;
	const char *name = program_name(capture, &name_length);
	struct line *line = &text->line;
	char time[UNITS_MAX], when[128];

	line_style(line, STYLE_HEADING);
	line_add(line, "memattach ");
	line_add_foreign(line, capture->version ? capture->version : "",
			 capture->version ? strlen(capture->version) : 0);
	line_add(line, ": ");
	line_add_short(line, name, name_length ? name_length : 1, 64);
	line_add(line, " (PID %d)", (int)capture->target.pid);
	if (capture->target.host) {
		line_add(line, " on ");
		line_add_short(line, capture->target.host, strlen(capture->target.host), 64);
	}
	snprintf(when, sizeof(when), "snapshot %u (%s), %s after %s", text->snapshot->number,
		 capture_reason_name(text->snapshot->reason),
		 units_seconds(time, text->snapshot->time),
		 capture->settings.whole_life ? "its start" : "attach");
	line_add(line, ", ");
	line_end_wrapped(line, text->f, when, 2, text->width);
	if (!capture->target.command_n)
		return;
	line_style(line, STYLE_DIM);
	line_add(line, " ");
	for (size_t i = 0; i < capture->target.command_n; i++) {
		const char *word = capture->target.command[i];
		u32 room = text->width > line->columns + 5 ? text->width - line->columns - 5 : 0;

		line_add(line, " ");
		if (room < 8 || (line_columns(word, strlen(word)) > room && i)) {
			line_add(line, "...");
			break;
		}
		line_add_short(line, word, strlen(word), room);
	}
	line_end(line, text->f);
}

static void write_ledger(struct text *text)
{
	const struct ledger_totals *t = &text->snapshot->totals;
	bool whole_life = text->capture->settings.whole_life;
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX], d[UNITS_MAX];

	entry(text, "live", "%s (%s bytes) in %s block%s since %s", units_bytes(a, t->live_bytes),
	      units_count(b, t->live_bytes), units_count(c, t->live_blocks),
	      figures_plural(t->live_blocks), whole_life ? "the start" : "attach");
	entry(text, "peak", "%s (%s bytes), %s after %s", units_bytes(a, t->peak_bytes),
	      units_count(b, t->peak_bytes), units_seconds(c, t->peak_time / 1000.0),
	      whole_life ? "the start" : "attach");
	entry(text, "allocated", "%s (%s bytes) in %s call%s, %s temporary",
	      units_bytes(a, t->total_bytes), units_count(b, t->total_bytes),
	      units_count(c, t->total_allocations), figures_plural(t->total_allocations),
	      figures_percent(d, t->temporary, t->total_allocations));
	if (t->unknown_frees)
		entry(text, "freed", "%s block%s of these; %s more from before %s",
		      units_count(a, t->total_frees), figures_plural(t->total_frees),
		      units_count(b, t->unknown_frees), whole_life ? "the recording" : "attach");
	else
		entry(text, "freed", "%s block%s of these", units_count(a, t->total_frees),
		      figures_plural(t->total_frees));
	if (t->failed_allocations)
		entry(text, "failed", "%s allocation%s returned NULL",
		      units_count(a, t->failed_allocations), figures_plural(t->failed_allocations));
}

/* The same with sampling: no figure with more digits than it is worth. */
static void write_estimates(struct text *text)
{
	const struct ledger_totals *t = &text->snapshot->totals;
	const char *since = text->capture->settings.whole_life ? "the start" : "attach";
	char a[FIGURES_ESTIMATE_MAX], b[FIGURES_ESTIMATE_MAX], c[UNITS_MAX], temporary[64] = "";

	entry(text, "live", "%s in %s block%s since %s",
	      figures_bytes(a, t->live_bytes, true, t->live_bytes_error),
	      figures_count(b, t->live_blocks, true, t->live_blocks_error),
	      figures_plural(t->live_blocks), since);
	entry(text, "peak", "%s, %s after %s",
	      figures_bytes(a, t->peak_bytes, true, t->peak_bytes_error),
	      units_seconds(c, t->peak_time / 1000.0), since);
	/* Whether a block was temporary is not known of all. */
	if (t->temporary)
		snprintf(temporary, sizeof(temporary), ", %s temporary",
			 figures_percent(c, t->temporary, t->total_allocations));
	entry(text, "allocated", "%s in %s call%s%s",
	      figures_bytes(a, t->total_bytes, true, t->total_bytes_error),
	      figures_count(b, t->total_allocations, true, t->total_allocations_error),
	      figures_plural(t->total_allocations), temporary);
	entry(text, "freed", "%s block%s of these",
	      figures_count(a, t->total_frees, true, t->total_frees_error),
	      figures_plural(t->total_frees));
	if (t->failed_allocations)
		entry(text, "failed", "at least %s allocation%s returned NULL",
		      units_count(c, t->failed_allocations), figures_plural(t->failed_allocations));
}

static void write_process(struct text *text)
{
	const struct capture_process *p = &text->snapshot->process;
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX], d[UNITS_MAX], e[UNITS_MAX];

	if (!p->known) {
		entry(text, "process", "gone before its memory could be read");
		return;
	}
	entry(text, "process", "RSS %s (peak %s), PSS %s, VSZ %s, swap %s", units_bytes(a, p->rss),
	      units_bytes(b, p->hwm > p->rss ? p->hwm : p->rss), units_bytes(c, p->pss),
	      units_bytes(d, p->vsz), units_bytes(e, p->swap));
	if (p->heap_rss || p->anonymous_rss || p->file_rss)
		entry(text, "resident", "heap %s, anon %s, stacks %s, files %s, shared %s",
		      units_bytes(a, p->heap_rss), units_bytes(b, p->anonymous_rss),
		      units_bytes(c, p->stack_rss), units_bytes(d, p->file_rss),
		      units_bytes(e, p->shared_rss));
	entry(text, "faults", "%s minor, %s major; %s thread%s", units_count(a, p->minor_faults),
	      units_count(b, p->major_faults), units_count(c, p->threads),
	      figures_plural(p->threads));
	if (p->cgroup_limit)
		entry(text, "cgroup", "%s of %s, %s", units_bytes(a, p->cgroup_usage),
		      units_bytes(b, p->cgroup_limit),
		      figures_percent(c, p->cgroup_usage, p->cgroup_limit));
}

/* Stacks that do not reach the outermost frame: how many, why, and what they hold. */
static void warn_of_cuts(struct text *text)
{
	const struct capture_snapshot *snapshot = text->snapshot;
	u64 depth = 0, lost = 0, live = 0;
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX], why[80];

	for (size_t i = 0; i < snapshot->sites_n; i++) {
		enum capture_cut cut = text->capture->stacks[snapshot->sites[i].stack].cut;

		depth += cut == CAPTURE_CUT_DEPTH;
		lost += cut == CAPTURE_CUT_LOST;
		live += cut != CAPTURE_WHOLE ? snapshot->sites[i].live_bytes : 0;
	}
	if (!depth && !lost)
		return;
	snprintf(why, sizeof(why), "%s%s%s", depth ? "deeper than --depth" : "",
		 depth && lost ? ", or " : "", lost ? "code without unwind information" : "");
	warning(text, "%s of %s stacks cut short (%s), with %s of the live bytes.%s",
		units_count(a, depth + lost), units_count(b, snapshot->sites_n), why,
		figures_percent(c, live, snapshot->totals.live_bytes),
		depth ? " A larger --depth shows more." : "");
}

static void warn_of_sampling(struct text *text)
{
	const struct capture_snapshot *snapshot = text->snapshot;
	char a[UNITS_MAX], b[UNITS_MAX];

	warning(text,
		"Estimates from sampling, mean %s between samples: %s allocation%s recorded; \u00b1 "
		"is the standard error. Record without --sample for exact figures.",
		units_bytes(a, text->capture->settings.sample_bytes),
		units_count(b, snapshot->totals.recorded_allocations),
		snapshot->totals.recorded_allocations == 1 ? " was" : "s were");
}

static void write_exactness(struct text *text)
{
	const struct capture_snapshot *snapshot = text->snapshot;
	const struct capture *capture = text->capture;
	const char *since = capture->settings.whole_life ? "the start" : "attach";
	char a[UNITS_MAX];

	if (!snapshot->estimated && !snapshot->lost_events && !snapshot->totals.replaced)
		entry(text, "recorded", "every allocation since %s, exactly", since);
	if (snapshot->lost_events)
		warning(text, "%s event%s lost: figures are too low or too high by %s.",
			units_count(a, snapshot->lost_events),
			snapshot->lost_events == 1 ? " was" : "s were",
			snapshot->estimated ? "what the allocations and frees of those stand for"
					    : "up to that many allocations and frees");
	if (snapshot->totals.replaced)
		warning(text,
			"%s free%s missed (an address was allocated again while it was live): "
			"some blocks may be listed as live that are not.",
			units_count(a, snapshot->totals.replaced),
			snapshot->totals.replaced == 1 ? " was" : "s were");
	warn_of_cuts(text);
}

void text_write_head(struct text *text)
{
	const struct capture_snapshot *snapshot = text->snapshot;

	write_title(text);
	putc('\n', text->f);
	if (snapshot->estimated) {
		warn_of_sampling(text);
		write_estimates(text);
	} else {
		write_ledger(text);
	}
	write_process(text);
	write_exactness(text);
	if (!snapshot->diagnosis_n)
		return;
	text_heading(text, "What the figures say");
	for (u32 i = 0; i < snapshot->diagnosis_n; i++) {
		line_add(&text->line, "  - ");
		line_end_wrapped(&text->line, text->f, snapshot->diagnosis[i], 4, text->prose);
	}
}
