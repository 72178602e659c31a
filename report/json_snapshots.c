// SPDX-License-Identifier: MIT
#include "report/json_snapshots.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"

#define SECONDS_MAX (UINT32_MAX / 1000.0) /* times are u32 milliseconds */

#define FIELD(type, name, need)                                                                    \
	{                                                                                          \
#name, offsetof(struct type, name), need                                           \
	}

static void read_totals(struct json_in *in, const struct json_place *at, json_t *object,
			struct ledger_totals *totals)
{
	static const struct json_field fields[] = {
		FIELD(ledger_totals, live_bytes, JSON_REQUIRED),
		FIELD(ledger_totals, live_blocks, JSON_REQUIRED),
		FIELD(ledger_totals, total_bytes, JSON_REQUIRED),
		FIELD(ledger_totals, total_allocations, JSON_REQUIRED),
		FIELD(ledger_totals, total_frees, JSON_REQUIRED),
		FIELD(ledger_totals, unknown_frees, JSON_REQUIRED),
		FIELD(ledger_totals, failed_allocations, JSON_REQUIRED),
		FIELD(ledger_totals, replaced, JSON_OPTIONAL),
		FIELD(ledger_totals, temporary, JSON_REQUIRED),
		FIELD(ledger_totals, peak_bytes, JSON_REQUIRED),
		FIELD(ledger_totals, recorded_allocations, JSON_OPTIONAL),
		FIELD(ledger_totals, live_bytes_error, JSON_OPTIONAL),
		FIELD(ledger_totals, live_blocks_error, JSON_OPTIONAL),
		FIELD(ledger_totals, total_bytes_error, JSON_OPTIONAL),
		FIELD(ledger_totals, total_allocations_error, JSON_OPTIONAL),
		FIELD(ledger_totals, total_frees_error, JSON_OPTIONAL),
		FIELD(ledger_totals, temporary_error, JSON_OPTIONAL),
		FIELD(ledger_totals, peak_bytes_error, JSON_OPTIONAL),
	};
	double peak = json_in_double(in, at, object, "peak_time", JSON_REQUIRED, SECONDS_MAX);

	json_in_fields(in, at, object, fields, ARRAY_SIZE(fields), totals);
	totals->peak_time = (u32)nearbyint(peak * 1000);
}

static void read_process(struct json_in *in, const struct json_place *up, json_t *snapshot,
			 struct capture_process *process)
{
	static const struct json_field fields[] = {
		FIELD(capture_process, rss, JSON_REQUIRED),
		FIELD(capture_process, pss, JSON_REQUIRED),
		FIELD(capture_process, vsz, JSON_REQUIRED),
		FIELD(capture_process, swap, JSON_REQUIRED),
		FIELD(capture_process, hwm, JSON_OPTIONAL),
		FIELD(capture_process, minor_faults, JSON_OPTIONAL),
		FIELD(capture_process, major_faults, JSON_OPTIONAL),
		FIELD(capture_process, threads, JSON_OPTIONAL),
		FIELD(capture_process, heap_rss, JSON_OPTIONAL),
		FIELD(capture_process, anonymous_rss, JSON_OPTIONAL),
		FIELD(capture_process, stack_rss, JSON_OPTIONAL),
		FIELD(capture_process, file_rss, JSON_OPTIONAL),
		FIELD(capture_process, shared_rss, JSON_OPTIONAL),
		FIELD(capture_process, cgroup_limit, JSON_OPTIONAL),
		FIELD(capture_process, cgroup_usage, JSON_OPTIONAL),
	};
	struct json_place at = {.up = up, .key = "process"};
	json_t *object = json_in_get(in, up, snapshot, "process", JSON_REQUIRED);

	if (!object || json_is_null(object) || !json_in_is_object(in, &at, object))
		return;
	process->known = true;
	json_in_fields(in, &at, object, fields, ARRAY_SIZE(fields), process);
}

static void read_site(struct json_in *in, const struct json_place *at, json_t *object,
		      struct capture_site *site)
{
	static const struct json_field fields[] = {
		FIELD(capture_site, live_bytes, JSON_REQUIRED),
		FIELD(capture_site, live_blocks, JSON_REQUIRED),
		FIELD(capture_site, peak_bytes, JSON_REQUIRED),
		FIELD(capture_site, total_bytes, JSON_REQUIRED),
		FIELD(capture_site, total_allocations, JSON_REQUIRED),
		FIELD(capture_site, total_frees, JSON_REQUIRED),
		FIELD(capture_site, temporary, JSON_REQUIRED),
		FIELD(capture_site, largest, JSON_REQUIRED),
		FIELD(capture_site, live_bytes_error, JSON_OPTIONAL),
		FIELD(capture_site, live_blocks_error, JSON_OPTIONAL),
		FIELD(capture_site, total_bytes_error, JSON_OPTIONAL),
		FIELD(capture_site, total_allocations_error, JSON_OPTIONAL),
	};

	if (!json_in_is_object(in, at, object))
		return;
	site->stack = (u32)json_in_u64(in, at, object, "stack", JSON_REQUIRED, UINT32_MAX);
	json_in_fields(in, at, object, fields, ARRAY_SIZE(fields), site);
	site->oldest_age = json_in_double(in, at, object, "oldest_age", JSON_REQUIRED, SECONDS_MAX);
	site->median_age = json_in_double(in, at, object, "median_age", JSON_REQUIRED, SECONDS_MAX);
}

/* seen has a flag for each stack: a stack has one site in a snapshot. */
static void check_stack(struct json_in *in, const struct json_place *at, size_t stacks_n, u32 stack,
			u8 *seen)
{
	struct json_place here = {.up = at, .key = "stack"};

	if (in->failed)
		return;
	if (stack >= stacks_n)
		json_in_fail(in, &here, ERANGE, "%u is not a stack", stack);
	else if (seen[stack])
		json_in_fail(in, &here, EINVAL, "stack %u has two sites", stack);
	else
		seen[stack] = 1;
}

static void read_sites(struct json_in *in, const struct json_place *up, json_t *object,
		       size_t stacks_n, struct capture_snapshot *snapshot)
{
	struct json_place sites = {.up = up, .key = "sites"};
	json_t *array = json_in_array(in, up, object, "sites", JSON_REQUIRED);
	size_t n = json_array_size(array);
	_cleanup_free_ u8 *seen = NULL;

	if (n > stacks_n)
		json_in_fail(in, &sites, EINVAL, "%zu sites, but only %zu stacks", n, stacks_n);
	if (in->failed)
		return;
	seen = json_in_alloc(in, stacks_n, 1);
	snapshot->sites = json_in_alloc(in, n, sizeof(*snapshot->sites));
	for (size_t i = 0; i < n && !in->failed; i++) {
		struct json_place at = {.up = &sites, .index = i};

		read_site(in, &at, json_array_get(array, i), &snapshot->sites[i]);
		check_stack(in, &at, stacks_n, snapshot->sites[i].stack, seen);
		snapshot->sites_n = i + 1;
	}
}

static void read_reason(struct json_in *in, const struct json_place *at, json_t *object,
			struct capture_snapshot *snapshot)
{
	struct json_place here = {.up = at, .key = "reason"};
	_cleanup_free_ char *word = json_in_string(in, at, object, "reason", JSON_REQUIRED);
	int reason = word ? capture_reason_parse(word) : -1;

	if (in->failed)
		return;
	if (reason < 0)
		json_in_fail(in, &here, EINVAL, "\"%s\" is none of the reasons for a snapshot",
			     word ? word : "null");
	else
		snapshot->reason = (enum capture_reason)reason;
}

static void read_snapshot(struct json_in *in, const struct json_place *at, json_t *object,
			  size_t stacks_n, struct capture_snapshot *snapshot)
{
	size_t sentences = 0;

	if (!json_in_is_object(in, at, object))
		return;
	snapshot->number = (u32)json_in_u64(in, at, object, "number", JSON_REQUIRED, UINT32_MAX);
	read_reason(in, at, object, snapshot);
	snapshot->time = json_in_double(in, at, object, "time", JSON_REQUIRED, SECONDS_MAX);
	read_totals(in, at, object, &snapshot->totals);
	snapshot->lost_events =
		json_in_u64(in, at, object, "lost_events", JSON_REQUIRED, INT64_MAX);
	snapshot->estimated = json_in_bool(in, at, object, "estimated", JSON_REQUIRED);
	read_process(in, at, object, &snapshot->process);
	json_in_strings(in, at, object, "diagnosis", JSON_REQUIRED, &snapshot->diagnosis,
			&sentences);
	snapshot->diagnosis_n = (u32)sentences; /* a file is smaller than 4 GiB */
	read_sites(in, at, object, stacks_n, snapshot);
}

void json_read_snapshots(struct json_in *in, struct capture *capture, json_t *root)
{
	struct json_place snapshots = {.key = "snapshots"};
	json_t *array = json_in_array(in, NULL, root, "snapshots", JSON_REQUIRED);
	size_t n = json_array_size(array);

	if (in->failed)
		return;
	capture->snapshots = json_in_alloc(in, n, sizeof(*capture->snapshots));
	if (!in->failed)
		capture->snapshots_cap = n;
	for (size_t i = 0; i < n && !in->failed; i++) {
		struct json_place at = {.up = &snapshots, .index = i};

		capture->snapshots_n = i + 1;
		read_snapshot(in, &at, json_array_get(array, i), capture->stacks_n,
			      &capture->snapshots[i]);
	}
}
