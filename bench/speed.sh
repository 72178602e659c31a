# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What a profiler costs: each workload (workloads.sh) under each tool in turn, round after round. From
# the environment, all of them optional:
#
#	WORKLOADS   which of them ("A A4")
#	COLUMNS     which tools ("full heaptrack"); native is always there
#	ROUNDS      how often, 15 by default; medians are shown, of the rounds' ratios
#	SCALE       divides the amount of work, by 3 by default: many short rounds tell more than a few
#	            long ones
#
# A cell whose first run fails shows "-", and the reason stands below the table.

# Under traps and massif once: they take long, and what they say does not hang on a tenth.
speed_runs_in() {
	case $1 in
	trap | massif) [ "$2" -eq 0 ] ;;
	*) true ;;
	esac
}

# What the machine is like changes within minutes by more than what is measured. So each tool's run stands
# between two of the native one, and its ratio is to their mean; in workload D both take turns within a run
# (redis.sh). Medians are taken of ratios.

# speed_run WORKLOAD COLUMN ROUND: a line of $figure to its cell. 1: it has failed, now or before.
speed_run() {
	local cell=$work/speed.$1.$2
	[ ! -e "$cell.why" ] || return 1
	progress "round $(($3 + 1)) of $rounds: $1, $2"
	if ! run_workload "$1" "$2" "$(workload_count "$1" "$2")"; then
		echo "$why" >"$cell.why"
		rm -f "$cell" "$cell.ratio"
		return 1
	fi
	echo "$figure" >>"$cell"
}

# speed_cell WORKLOAD COLUMN ROUND: the ratio to $native, the run before, and to one behind it.
speed_cell() {
	local ratios=$work/speed.$1.$2.ratio figure mine
	if ! speed_run "$1" "$2" "$3"; then
		:
	elif [ "$1" = D ]; then
		calc "%.6g\n" "$figure / $native" >>"$ratios"
		echo "$native" >>"$work/speed.D.native"
	else
		mine=$figure
		if speed_run "$1" native "$3"; then
			calc "%.6g\n" "2 * $mine / ($native + $figure)" >>"$ratios"
			native=$figure
		fi
	fi
	[ "$2" != heaptrack ] || heaptrack_tidy
	rm -f "$work"/speed.json "$work"/heaptrack.zst "$work"/heaptrack.gz "$work"/massif
}

# speed_round ROUND: every cell of the table once.
speed_round() {
	local workload column figure native
	for workload in "${workloads[@]}"; do
		if [ "$workload" != D ] || [ ${#columns[@]} -eq 1 ]; then
			speed_run "$workload" native "$1" || continue
			native=$figure
		fi
		for column in "${columns[@]:1}"; do
			[ ! -e "$work/speed.$workload.native.why" ] || break
			! speed_runs_in "$column" "$1" || speed_cell "$workload" "$column" "$1"
		done
	done
}

# $(speed_of WORKLOAD COLUMN): the median; nothing if it was not measured.
speed_of() {
	[ ! -s "$work/speed.$1.$2" ] || median <"$work/speed.$1.$2"
}

# $(slowdown WORKLOAD COLUMN): the median of the rounds' ratios.
slowdown() {
	[ ! -s "$work/speed.$1.$2.ratio" ] || median <"$work/speed.$1.$2.ratio"
}

# $(added WORKLOAD COLUMN): the cost added to native, as a share of what heaptrack adds in the same round.
added() {
	local mine=$work/speed.$1.$2.ratio theirs=$work/speed.$1.heaptrack.ratio
	[ ! -s "$mine" ] || [ ! -s "$theirs" ] || paste "$mine" "$theirs" |
		awk 'NF == 2 { print ($2 > 1 ? ($1 - 1) / ($2 - 1) : 999) }' | median
}

# $(figure_text NUMBER): three digits or so.
figure_text() {
	awk -v x="$1" 'BEGIN { printf((x >= 99.5 ? "%.0f" : x >= 9.95 ? "%.1f" : "%.2f"), x) }'
}

speed_table() {
	local workload column value
	printf '  %-33s' ""
	for column in "${columns[@]}"; do
		printf ' %11s' "$(column_name "$column")"
	done
	printf '\n'
	for workload in "${workloads[@]}"; do
		printf '  %-3s %-29s' "$workload" "$(workload_name "$workload")"
		for column in "${columns[@]}"; do
			if [ "$column" = native ]; then
				value=$(speed_of "$workload" native)
				value=${value:+$(figure_text "$value") $(workload_unit "$workload")}
			else
				value=$(slowdown "$workload" "$column")
				value=${value:+$(figure_text "$value") x}
			fi
			printf ' %11s' "${value:--}"
		done
		printf '\n'
	done
}

speed_notes() {
	local workload column file reason
	case " ${columns[*]} " in
	*" trap "* | *" massif "*)
		note "(1) once, with less work than the others: the ratio of what a unit of work takes"
		;;
	esac
	for column in "${columns[@]}"; do
		for workload in "${workloads[@]}"; do
			file=$work/speed.$workload.$column.why
			[ ! -e "$file" ] || echo "$workload: $(cat "$file")"
		done | awk -v column="$(column_name "$column")" '
			{ who = $0; sub(/: .*/, "", who); sub(/[^:]*: /, "") }
			!($0 in whose) { order[++n] = $0 }
			{ whose[$0] = whose[$0] " " who }
			END { for (i = 1; i <= n; i++) print column ", no" whose[order[i]] ": " order[i] }' |
			while read -r reason; do
				note "$reason"
			done
	done
}

# speed_row WHAT VALUE LIMIT [UNIT]: nothing to say without a value.
speed_row() {
	local unit=${4- x}
	[ "$2" ] || return 0
	row "$1" "$(calc %.3g "$2")$unit" "<= $3$unit" "$(verdict "$2 <= $3")"
}

# Issue 3's table: what is asked of full recording, and of a sample.
speed_targets() {
	local workload
	speed_row "A, full: slowdown" "$(slowdown A full)" 3
	speed_row "C, full: slowdown" "$(slowdown C full)" 1.7
	speed_row "A, -s 512K: slowdown" "$(slowdown A sample)" 1.25
	speed_row "C, -s 512K: slowdown" "$(slowdown C sample)" 1.05
	speed_throughput full 0.75
	speed_throughput sample 0.97
	for workload in "${workloads[@]}"; do
		[ "$workload" != A0 ] || continue
		speed_row "$workload, full: added cost / heaptrack's" "$(added "$workload" full)" 0.167 ""
	done
	for workload in "${workloads[@]}"; do
		[ "$workload" != A0 ] || continue
		speed_row "$workload, -s 512K: added cost / heaptrack's" "$(added "$workload" sample)" 0.05 ""
	done
}

# speed_throughput COLUMN LIMIT
speed_throughput() {
	local share
	share=$(slowdown D "$1")
	[ "$share" ] || return 0
	share=$(calc %.3f "1 / $share")
	row "D, $([ "$1" = full ] && echo full || echo "-s 512K"): throughput / native" "$share" ">= $2" \
		"$(verdict "$share >= $2")"
}

# Into $workloads and $columns, in the order of the table.
speed_choose() {
	local one
	workloads=() columns=(native)
	for one in ${WORKLOADS:-${WORKLOADS_ALL[*]}}; do
		workload_name "$one" >/dev/null || die "no such workload: $one (${WORKLOADS_ALL[*]})"
		workloads+=("$one")
	done
	for one in ${COLUMNS:-${COLUMNS_ALL[*]}}; do
		[[ " ${COLUMNS_ALL[*]} " == *" $one "* ]] || die "no such column: $one (${COLUMNS_ALL[*]})"
		[ "$one" = native ] || columns+=("$one")
	done
}

bench_speed() {
	local i workloads columns rounds=${ROUNDS:-15} scale=${SCALE:-3}
	speed_choose
	for ((i = 0; i < rounds; i++)); do
		speed_round "$i"
	done
	progress ""
	heading "Slowdown, the part of each program that does the work (medians of $rounds)"
	speed_table
	speed_notes
	speed_targets >"$work/speed.targets"
	[ ! -s "$work/speed.targets" ] || heading "Of that, what was asked for"
	cat "$work/speed.targets"
}
