// SPDX-License-Identifier: MIT
/*
 * A capture as JSON, FORMATS.md "Capture" version 1, described in
 * capture.schema.json. One frame, stack, point and site a line, so that a
 * capture can be looked at with grep, and compared with diff.
 */
#include "report/json.h"
#include "report/json_out.h"

static const char *cut_name(enum capture_cut cut)
{
	return cut == CAPTURE_CUT_DEPTH ? "depth" : "lost";
}

static void write_target(FILE *f, const struct capture *capture)
{
	fputs("\"target\": {\"pid\": ", f);
	json_out_u64(f, capture->target.pid > 0 ? (u64)capture->target.pid : 0);
	json_out_key_string(f, "exe", capture->target.exe);
	json_out_key(f, "command", false);
	json_out_strings(f, capture->target.command, capture->target.command_n);
	json_out_key_string(f, "host", capture->target.host);
	json_out_key(f, "start_time", false);
	json_out_double(f, capture->target.start_time);
	fputs("}", f);
}

static void write_settings(FILE *f, const struct capture *capture)
{
	fputs("\"settings\": {\"probe\": ", f);
	json_out_string(f, capture->settings.probe);
	json_out_key_u64(f, "sample_bytes", capture->settings.sample_bytes);
	json_out_key_u64(f, "depth", capture->settings.depth);
	json_out_key_string(f, "unwind", capture->settings.unwind);
	json_out_key(f, "allocators", false);
	json_out_strings(f, capture->settings.allocators, capture->settings.allocators_n);
	json_out_key_bool(f, "whole_life", capture->settings.whole_life);
	fputs("}", f);
}

static void write_frame(FILE *f, const struct capture_frame *frame)
{
	fputs("{\"module\": ", f);
	json_out_string(f, frame->module);
	json_out_key_string(f, "build_id", frame->build_id);
	json_out_key_u64(f, "address", frame->address);
	json_out_key_u64(f, "offset", frame->offset);
	json_out_key_string(f, "function", frame->function);
	json_out_key_string(f, "file", frame->file);
	json_out_key(f, "line", false);
	if (frame->line)
		json_out_u64(f, frame->line);
	else
		fputs("null", f);
	json_out_key_bool(f, "inlined", frame->inlined);
	fputs("}", f);
}

static void write_stack(FILE *f, const struct capture_stack *stack)
{
	putc_unlocked('[', f);
	for (u32 i = 0; i < stack->n; i++) {
		if (i)
			putc_unlocked(',', f);
		json_out_u64(f, stack->frames[i]);
	}
	putc_unlocked(']', f);
}

/* Between two items of an array of many lines. */
static void separate(FILE *f, bool first)
{
	fputs(first ? "\n" : ",\n", f);
}

static void write_stacks(FILE *f, const struct capture *capture)
{
	bool first = true;

	fputs("\"frames\": [", f);
	for (size_t i = 0; i < capture->frames_n; i++) {
		separate(f, i == 0);
		write_frame(f, &capture->frames[i]);
	}
	fputs("],\n\"stacks\": [", f);
	for (size_t i = 0; i < capture->stacks_n; i++) {
		separate(f, i == 0);
		write_stack(f, &capture->stacks[i]);
	}
	fputs("],\n\"cut_stacks\": [", f);
	for (size_t i = 0; i < capture->stacks_n; i++) {
		if (capture->stacks[i].cut == CAPTURE_WHOLE)
			continue;
		separate(f, first);
		first = false;
		fputs("{\"stack\": ", f);
		json_out_u64(f, i);
		json_out_key_string(f, "reason", cut_name(capture->stacks[i].cut));
		fputs("}", f);
	}
	fputs("]", f);
}

static void write_timeline(FILE *f, const struct capture *capture)
{
	fputs("\"timeline\": [", f);
	for (size_t i = 0; i < capture->timeline_n; i++) {
		const struct timeline_point *point = &capture->timeline[i];

		separate(f, i == 0);
		fputs("{\"time\": ", f);
		json_out_ms(f, point->time);
		json_out_key_u64(f, "live_bytes", point->live_bytes);
		json_out_key_u64(f, "live_blocks", point->live_blocks);
		json_out_key_u64(f, "rss", point->rss);
		json_out_key_u64(f, "vsz", point->vsz);
		json_out_key_u64(f, "swap", point->swap);
		json_out_key_u64(f, "minor_faults", point->minor_faults);
		json_out_key_u64(f, "major_faults", point->major_faults);
		fputs("}", f);
	}
	fputs("]", f);
}

static void write_process(FILE *f, const struct capture_process *process)
{
	json_out_key(f, "process", false);
	if (!process->known) {
		fputs("null", f);
		return;
	}
	fputs("{\"rss\": ", f);
	json_out_u64(f, process->rss);
	json_out_key_u64(f, "pss", process->pss);
	json_out_key_u64(f, "vsz", process->vsz);
	json_out_key_u64(f, "swap", process->swap);
	json_out_key_u64(f, "hwm", process->hwm);
	json_out_key_u64(f, "minor_faults", process->minor_faults);
	json_out_key_u64(f, "major_faults", process->major_faults);
	json_out_key_u64(f, "threads", process->threads);
	json_out_key_u64(f, "heap_rss", process->heap_rss);
	json_out_key_u64(f, "anonymous_rss", process->anonymous_rss);
	json_out_key_u64(f, "stack_rss", process->stack_rss);
	json_out_key_u64(f, "file_rss", process->file_rss);
	json_out_key_u64(f, "shared_rss", process->shared_rss);
	json_out_key_u64(f, "cgroup_limit", process->cgroup_limit);
	json_out_key_u64(f, "cgroup_usage", process->cgroup_usage);
	fputs("}", f);
}

static void write_site(FILE *f, const struct capture_site *site, bool estimated)
{
	fputs("{\"stack\": ", f);
	json_out_u64(f, site->stack);
	json_out_key_u64(f, "live_bytes", site->live_bytes);
	json_out_key_u64(f, "live_blocks", site->live_blocks);
	json_out_key_u64(f, "peak_bytes", site->peak_bytes);
	json_out_key_u64(f, "total_bytes", site->total_bytes);
	json_out_key_u64(f, "total_allocations", site->total_allocations);
	json_out_key_u64(f, "total_frees", site->total_frees);
	json_out_key_u64(f, "temporary", site->temporary);
	json_out_key_u64(f, "largest", site->largest);
	json_out_key(f, "oldest_age", false);
	json_out_double(f, site->oldest_age);
	json_out_key(f, "median_age", false);
	json_out_double(f, site->median_age);
	if (estimated) {
		json_out_key_u64(f, "live_bytes_error", site->live_bytes_error);
		json_out_key_u64(f, "live_blocks_error", site->live_blocks_error);
		json_out_key_u64(f, "total_bytes_error", site->total_bytes_error);
		json_out_key_u64(f, "total_allocations_error", site->total_allocations_error);
	}
	fputs("}", f);
}

static void write_totals(FILE *f, const struct ledger_totals *totals)
{
	json_out_key_u64(f, "live_bytes", totals->live_bytes);
	json_out_key_u64(f, "live_blocks", totals->live_blocks);
	json_out_key_u64(f, "total_bytes", totals->total_bytes);
	json_out_key_u64(f, "total_allocations", totals->total_allocations);
	json_out_key_u64(f, "total_frees", totals->total_frees);
	json_out_key_u64(f, "unknown_frees", totals->unknown_frees);
	json_out_key_u64(f, "failed_allocations", totals->failed_allocations);
	json_out_key_u64(f, "replaced", totals->replaced);
	json_out_key_u64(f, "peak_bytes", totals->peak_bytes);
	json_out_key(f, "peak_time", false);
	json_out_ms(f, totals->peak_time);
	json_out_key_u64(f, "temporary", totals->temporary);
}

/* Only with sampling: what the totals are estimated from, and their standard errors. */
static void write_errors(FILE *f, const struct ledger_totals *totals)
{
	json_out_key_u64(f, "recorded_allocations", totals->recorded_allocations);
	json_out_key_u64(f, "live_bytes_error", totals->live_bytes_error);
	json_out_key_u64(f, "live_blocks_error", totals->live_blocks_error);
	json_out_key_u64(f, "total_bytes_error", totals->total_bytes_error);
	json_out_key_u64(f, "total_allocations_error", totals->total_allocations_error);
	json_out_key_u64(f, "total_frees_error", totals->total_frees_error);
	json_out_key_u64(f, "temporary_error", totals->temporary_error);
	json_out_key_u64(f, "peak_bytes_error", totals->peak_bytes_error);
}

static void write_snapshot(FILE *f, const struct capture_snapshot *snapshot)
{
	fputs("{\"number\": ", f);
	json_out_u64(f, snapshot->number);
	json_out_key_string(f, "reason", capture_reason_name(snapshot->reason));
	json_out_key(f, "time", false);
	json_out_double(f, snapshot->time);
	write_totals(f, &snapshot->totals);
	json_out_key_u64(f, "lost_events", snapshot->lost_events);
	json_out_key_bool(f, "estimated", snapshot->estimated);
	if (snapshot->estimated)
		write_errors(f, &snapshot->totals);
	write_process(f, &snapshot->process);
	json_out_key(f, "diagnosis", false);
	json_out_strings(f, snapshot->diagnosis, snapshot->diagnosis_n);
	json_out_key(f, "sites", false);
	fputs("[", f);
	for (size_t i = 0; i < snapshot->sites_n; i++) {
		separate(f, i == 0);
		write_site(f, &snapshot->sites[i], snapshot->estimated);
	}
	fputs("]}", f);
}

int json_write(FILE *f, const struct capture *capture, struct err *err)
{
	fputs("{\"format\": \"memattach-capture\", \"version\": 1,\n\"tool\": {\"version\": ", f);
	json_out_string(f, capture->version);
	fputs("},\n", f);
	write_target(f, capture);
	fputs(",\n", f);
	write_settings(f, capture);
	fputs(",\n", f);
	write_stacks(f, capture);
	fputs(",\n", f);
	write_timeline(f, capture);
	fputs(",\n\"snapshots\": [", f);
	for (size_t i = 0; i < capture->snapshots_n; i++) {
		separate(f, i == 0);
		write_snapshot(f, &capture->snapshots[i]);
	}
	fputs("]}\n", f);
	(void)err; /* nothing is kept in memory on the way, so nothing can fail here */
	return 0;
}
