# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Workload D: a redis-server, one for each run, under redis-benchmark on the loopback. The server
# runs under heaptrack or massif from its start; memattach attaches to it before the
# benchmark and detaches after it.

REDIS_TESTS=set,lpush,zadd

# A port on which nothing answers now. If somebody takes it first, the server ends, and that is seen.
free_port() {
	local tries
	for ((tries = 0; tries < 50; tries++)); do
		port=$((20000 + RANDOM % 10000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
	done
	return 1
}

redis_says() {
	timeout 5 redis-cli -s "$work/loaded.sock" "$@" 2>/dev/null
}

# Behind TOOL, if there is one; $server is the process to wait for.
loaded_start() {
	local tries
	free_port || return 1
	rm -f "$work/loaded.sock" "$work/loaded.pid"
	timeout --kill-after=5 "$RUN_LIMIT" "$@" redis-server --port "$port" --bind 127.0.0.1 \
		--unixsocket "$work/loaded.sock" --save '' --appendonly no --daemonize no \
		--pidfile "$work/loaded.pid" --dir "$work" </dev/null >"$work/run.out" 2>&1 &
	server=$!
	for ((tries = 0; tries < 100; tries++)); do
		[ "$(redis_says ping)" != PONG ] || return 0
		kill -0 "$server" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# By its own command: heaptrack and valgrind then write what they have.
loaded_end() {
	redis_says shutdown nosave >/dev/null || true
	end "$server"
	server=
}

# $figure: nanoseconds a request, the mean over the commands.
load() {
	bounded "$RUN_LIMIT" redis-benchmark -h 127.0.0.1 -p "$port" -t "$REDIS_TESTS" -P 16 -n "$1" -q \
		>"$work/load.out" 2>&1 || return 1
	figure=$(tr '\r' '\n' <"$work/load.out" | awk '
		/requests per second/ { sub(/.*: /, ""); ns += 1e9 / $1; n++ }
		END { if (n == 3) printf "%.1f\n", ns / n }')
	[ "$figure" ]
}

# run_redis COLUMN COUNT: as run_workload.
run_redis() {
	local port tool=() options=() attach='' status=0
	if column_options "$1"; then
		attach=yes
	else
		column_tool "$1"
	fi
	if ! loaded_start "${tool[@]}"; then
		why="redis-server did not start: $(reason "$work/run.out")"
		status=1
	elif [ "$attach" ] &&
		! profiler_try "$(cat "$work/loaded.pid")" "${options[@]}" -o "$work/speed.json"; then
		status=1
	elif ! { load "$(calc %d "$2 / 10 + 1")" && load "$2"; }; then
		why="redis-benchmark failed, or was not done after $RUN_LIMIT s"
		status=1
	fi
	[ -z "$profiler" ] || profiler_finish || status=1
	loaded_end
	return "$status"
}
