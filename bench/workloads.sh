# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The workloads of the speed table, and the tools that they run under. Each prints what a unit
# of its work took, without its own start and end and without the tool's report. See speed.sh.
#
#	A   malloc/free pairs from stacks 20 deep           pairs.c    ns a pair
#	A0  the same from a program that does nothing else  pairs.c    ns a pair
#	A4  the same from 4 threads, blocks handed on       pairs.c    ns a pair
#	B   sqlite3 INSERTs into a table with an index      below      us a row
#	C   python3 json, PYTHONMALLOC=malloc               json_rounds.py  ms a round
#	D   redis-server under redis-benchmark              redis.sh   ns a request
#	E   std::map of std::string to std::vector          maps.cc    ms a round
#
# memattach starts the command (-- COMMAND), but for D, which it attaches to (-p PID). heaptrack and
# massif can only start it, or had better.

WORKLOADS_ALL=(A A0 A4 B C D E)
COLUMNS_ALL=(native full sample trap heaptrack massif)

# Seconds that one run of one workload may take, its tool's start and report included.
RUN_LIMIT=40

workload_name() {
	case $1 in
	A) echo "malloc/free pair, 20 frames" ;;
	A0) echo "the same, leanest program" ;;
	A4) echo "4 threads, blocks handed on" ;;
	B) echo "sqlite3, row with an index" ;;
	C) echo "python3 json, round" ;;
	D) echo "redis-server, request" ;;
	E) echo "C++ map of vectors, round" ;;
	*) return 1 ;;
	esac
}

workload_unit() {
	case $1 in
	A* | D) echo ns ;;
	B) echo us ;;
	*) echo ms ;;
	esac
}

# How many units of work: the whole, for massif, and what stops are quick enough for.
workload_count() {
	local counts
	case $1 in
	A | A0) counts=(10000000 1000000 20000) ;;
	A4) counts=(4000000 400000 20000) ;;
	B) counts=(300000 30000 1000) ;;
	C) counts=(150 15 1) ;;
	D) counts=(1500000 150000 3000) ;;
	E) counts=(500 50 3) ;;
	esac
	case $2 in
	trap) calc %d "$(at_least_one "${counts[2]}")" ;;
	massif) calc %d "$(at_least_one "${counts[1]}")" ;;
	*) calc %d "$(at_least_one "${counts[0]}")" ;;
	esac
}

at_least_one() {
	echo "$1 / $scale < 1 ? 1 : $1 / $scale"
}

column_name() {
	case $1 in
	full) echo memattach ;;
	sample) echo "-s 512K" ;;
	trap) echo "traps (1)" ;;
	massif) echo "massif (1)" ;;
	*) echo "$1" ;;
	esac
}

# The options of memattach in this column, into $options. Not one of memattach's: 1.
column_options() {
	case $1 in
	full) options=() ;;
	sample) options=(--sample 512K) ;;
	trap) options=(--probe trap) ;;
	*) return 1 ;;
	esac
}

# What comes in front of a command in this column, into $tool.
column_tool() {
	local options
	case $1 in
	native) tool=() ;;
	heaptrack) # shellcheck disable=SC2016
		tool=(sh -c 'echo $$ >"$0" && exec "$@"' "$work/heaptrack.pid"
			heaptrack -o "$work/heaptrack")
		;;
	massif) tool=(valgrind --tool=massif --massif-out-file="$work/massif") ;;
	*)
		column_options "$1"
		tool=("$build/memattach" "${options[@]}" -o "$work/speed.json" --)
		;;
	esac
}

# What heaptrack leaves behind if it is ended.
heaptrack_tidy() {
	local pid
	[ -s "$work/heaptrack.pid" ] || return 0
	read -r pid <"$work/heaptrack.pid"
	rm -f "/tmp/heaptrack_fifo$pid" "$work/heaptrack.pid"
}

# The script of INSERT statements for workload B, as a dump has them; times itself.
rows_script() {
	[ ! -e "$work/rows.$1.sql" ] || return 0
	awk -v rows="$1" 'BEGIN {
		print "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);"
		print "CREATE INDEX names ON t (name);"
		print "CREATE TEMP TABLE began AS SELECT julianday(\"now\") AS at;"
		print "BEGIN;"
		for (i = 1; i <= rows; i++)
			printf "INSERT INTO t VALUES (%d, \"name %d of many\", %.1f);\n",
				i, i * 7919 % 1000003, i / 2
		print "COMMIT;"
		printf "SELECT printf(\"work %%.3f\", (julianday(\"now\") - at) * 86400e6 / %d) FROM began;\n", rows
	}' | tr '"' "'" >"$work/rows.$1.sql"
}

# run_command WORKLOAD COLUMN COUNT: its output is in $work/run.out.
run_command() {
	local tool command input=/dev/null
	column_tool "$2"
	case $1 in
	A) command=("$build/bench/pairs" 1 "$3") ;;
	A0) command=("$build/bench/pairs_lean" 1 "$3") ;;
	A4) command=("$build/bench/pairs" 4 "$3") ;;
	B)
		rows_script "$3"
		input=$work/rows.$3.sql
		command=(sqlite3 -batch :memory:)
		;;
	C) command=(/usr/bin/python3 -S bench/json_rounds.py "$3") ;;
	E) command=("$build/bench/maps" "$3") ;;
	esac
	PYTHONMALLOC=malloc bounded "$RUN_LIMIT" "${tool[@]}" "${command[@]}" <"$input" >"$work/run.out" 2>&1
}

# run_workload WORKLOAD COLUMN COUNT: $figure is what a unit took. If it failed: 1, and $why.
run_workload() {
	local status=0
	figure=
	if [ "$1" = D ]; then
		run_redis "$2" "$3" || return 1
		return 0
	fi
	run_command "$@" || status=$?
	figure=$(sed -n 's/^work \([0-9.]*\)$/\1/p' "$work/run.out" | head -n 1)
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		why="not done after $RUN_LIMIT s"
	elif [ "$status" -ne 0 ] || [ -z "$figure" ]; then
		why="exit status $status: $(reason "$work/run.out")"
	else
		return 0
	fi
	return 1
}
