# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What all parts of the bench share: targets that are talked to, memattach attached to
# them, medians, lines of the table. Sourced by run.sh, which sets $build and $work.
#
# A target reads lines and answers each with one; a first line says that it is ready. One
# target and one memattach run at a time beside the redis-servers, each ended by its PID.

# Seconds that any single answer may take.
PATIENCE=100

target='' profiler='' runner='' why='' redis=()
declare -A loaded=()

die() {
	echo "bench: $*" >&2
	exit 1
}

# target_start COMMAND ARGS...: $target is its PID.
target_start() {
	rm -f "$work/to" "$work/from"
	mkfifo "$work/to" "$work/from"
	"$@" <"$work/to" >"$work/from" &
	target=$!
	exec 8>"$work/to" 9<"$work/from"
	read -r -t "$PATIENCE" -u 9 _ || die "$1 did not start"
}

# target_ask LINE: $answer is what it says to it.
target_ask() {
	target_tell "$1"
	target_hear
}

target_tell() {
	echo "$1" >&8
}

target_hear() {
	read -r -t "$PATIENCE" -u 9 answer || die "no answer from target $target"
}

end() {
	kill "$1" 2>/dev/null || true
	end_within 15 "$1"
	wait "$1" 2>/dev/null || true
}

# end_within SECONDS PID: it has been asked to end, and has no more time than that.
end_within() {
	timeout "$1" tail --pid="$2" -s 0.02 -f /dev/null 2>/dev/null || kill -KILL "$2" 2>/dev/null || true
}

target_end() {
	exec 8>&- 9<&-
	end "$target"
	target=
}

# bounded SECONDS COMMAND ARGS...: its exit status; 124 or 137 if it took longer. All that it has
# started ends with it, and the shell still hears signals meanwhile.
bounded() {
	local status=0
	timeout --kill-after=5 "$@" <&0 &
	runner=$!
	wait "$runner" || status=$?
	runner=
	return "$status"
}

# profiler_try PID ARGS...: comes back as soon as memattach has attached. If it does not: 1, and $why.
profiler_try() {
	local pid=$1
	shift
	rm -f "$work/verbose"
	mkfifo "$work/verbose"
	"$build/memattach" -v -p "$pid" "$@" 2>"$work/verbose" >"$work/profiler.out" 8>&- 9<&- &
	profiler=$!
	exec 7<"$work/verbose"
	profiler_hears "attached to" && return 0
	end "$profiler"
	exec 7<&-
	profiler=
	return 1
}

profiler_start() {
	profiler_try "$@" || die "$why"
}

# Waits for a line of memattach -v that has this text in it. None comes: 1, and $why.
profiler_hears() {
	local line said=nothing
	while read -r -t "$PATIENCE" -u 7 line; do
		case $line in
		*"$1"*) return 0 ;;
		"Try '"*) ;;
		*) said=$line ;;
		esac
	done
	why="memattach did not say \"$1\"; its last line was: $said"
	return 1
}

profiler_says() {
	profiler_hears "$1" || die "$why"
}

# Ends the run: not by SIGINT, which a script's background processes ignore. 1, and $why: it failed.
profiler_finish() {
	local line said='' status=0
	kill "$profiler" 2>/dev/null || true
	while read -r -t "$PATIENCE" -u 7 line; do
		said=$line
	done
	exec 7<&-
	end_within 15 "$profiler"
	wait "$profiler" || status=$?
	profiler=
	[ "$status" -ne 0 ] || return 0
	why="memattach ended with status $status: $said"
	return 1
}

profiler_end() {
	profiler_finish || die "$why"
}

# Whether memattach runs a command with these options; if not, $why.
profiler_can() {
	bounded 20 "$build/memattach" "$@" -o "$work/can.json" -- /bin/true >"$work/can.out" 2>&1 && return 0
	why=$(reason "$work/can.out")
	return 1
}

# $(reason FILE): the line of a failed command's output that says most.
reason() {
	grep -v -e '^$' -e "^Try '" "$1" | tail -n 1 | cut -c 1-120
}

# redis_start NAME: a redis-server on a socket in $work, with nothing to save; ready when it says so.
redis_start() {
	local line
	mkfifo "$work/$1.out"
	redis-server --port 0 --unixsocket "$work/$1.sock" --save '' --appendonly no \
		--daemonize no --dir "$work" >"$work/$1.out" 2>&1 &
	redis+=($!)
	exec 6<"$work/$1.out"
	while read -r -t "$PATIENCE" -u 6 line; do
		case $line in
		*[Rr]"eady to accept connections"*) return 0 ;;
		esac
	done
	die "redis-server did not start"
}

redis_end_all() {
	local pid
	for pid in "${redis[@]}"; do
		end "$pid"
	done
	redis=()
}

# Nothing of ours stays, however the bench ends. memattach first: it leaves its target whole.
end_all() {
	local pid
	for pid in $profiler $runner "${loaded[@]}" $target; do
		end "$pid"
	done
	redis_end_all
}

# $(memory FIELD PID): of /proc/PID/status, KiB.
memory() {
	sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$2/status"
}

# Of numbers on standard input, one a line.
median() {
	sort -g | awk '{ v[NR] = $1 } END {
		if (NR) printf "%.6g\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
	}'
}

largest() {
	sort -g | tail -n 1
}

# calc EXPRESSION, printed with %s's format: calc %.1f "3 / 2"
calc() {
	awk "BEGIN { printf(\"$1\", ($2)) }"
}

heading() {
	printf '\n%s\n' "$1"
}

# What is being done, while somebody watches; nothing clears it.
progress() {
	[ ! -t 2 ] || printf '\r\033[K%s' "$*" >&2
}

# Below a table, lines that fit.
note() {
	echo "$*" | fold -s -w 98 | sed 's/^/  /'
}

# row WHAT MEASURED [TARGET VERDICT]
row() {
	printf '  %-56s %12s %12s  %s\n' "$1" "$2" "${3:-}" "${4:-}"
}

# verdict CONDITION: met or missed, for awk to decide.
verdict() {
	if awk "BEGIN { exit !($1) }"; then echo met; else echo MISSED; fi
}
