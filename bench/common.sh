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

target= profiler= redis=()

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
	wait "$1" 2>/dev/null || true
}

target_end() {
	exec 8>&- 9<&-
	end "$target"
	target=
}

# profiler_start PID ARGS...: comes back as soon as memattach has attached.
profiler_start() {
	local pid=$1
	shift
	rm -f "$work/verbose"
	mkfifo "$work/verbose"
	"$build/memattach" -v -p "$pid" "$@" 2>"$work/verbose" 8>&- 9<&- &
	profiler=$!
	exec 7<"$work/verbose"
	profiler_says "attached to"
}

# Waits for a line of memattach -v that has this text in it.
profiler_says() {
	local line said=
	while read -r -t "$PATIENCE" -u 7 line; do
		case $line in
		*"$1"*) return 0 ;;
		*) said=$line ;;
		esac
	done
	die "memattach did not say \"$1\"; its last line was: $said"
}

# Ends the run: not by SIGINT, which a script's background processes ignore.
profiler_end() {
	kill "$profiler" 2>/dev/null || true
	cat <&7 >/dev/null
	exec 7<&-
	wait "$profiler" || die "memattach ended with status $?"
	profiler=
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
	for pid in $profiler $target; do
		end "$pid"
	done
	redis_end_all
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
	awk "BEGIN { printf \"$1\", $2 }"
}

heading() {
	printf '\n%s\n' "$1"
}

# row WHAT MEASURED [TARGET VERDICT]
row() {
	printf '  %-56s %12s %12s  %s\n' "$1" "$2" "${3:-}" "${4:-}"
}

# verdict CONDITION: met or missed, for awk to decide.
verdict() {
	if awk "BEGIN { exit !($1) }"; then echo met; else echo MISSED; fi
}
