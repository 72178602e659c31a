# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The report of a python3 with more than 5,000 distinct stacks (many_stacks.py): from SIGUSR1 to the
# line that says that the snapshot is written, with nothing known of any symbol before.

REPORT_ROUNDS=3

report_round() {
	local start
	target_start env PYTHONMALLOC=malloc /usr/bin/python3 -S bench/many_stacks.py
	profiler_start "$target" --top 0 -o "$work/stacks.txt" -o "$work/stacks-%n.json"
	target_ask go
	start=$EPOCHREALTIME
	kill -USR1 "$profiler"
	profiler_says "snapshot 1 written"
	calc '%.3f\n' "$EPOCHREALTIME - $start" >>"$work/report.seconds"
	profiler_end
	target_end
}

bench_report() {
	local i stacks seconds
	for ((i = 0; i < REPORT_ROUNDS; i++)); do
		report_round
	done
	stacks=$(/usr/bin/python3 -c 'import json, sys
print(len(json.load(open(sys.argv[1]))["snapshots"][0]["sites"]))' "$work/stacks-1.json")
	seconds=$(median <"$work/report.seconds")
	heading "Report of python3, text in full and JSON, symbolized (median of $REPORT_ROUNDS)"
	row "distinct stacks" "$stacks"
	row "seconds" "$seconds" "< 2 s" "$(verdict "$seconds < 2")"
}
