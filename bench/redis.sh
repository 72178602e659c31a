# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Workload D: two redis-servers, a native one and one under the tool, under redis-benchmark on the
# loopback, in turn. The server runs under heaptrack or massif from its start; memattach attaches
# to it before the benchmark and detaches after it.
#
# On a shared machine a server's speed changes by half from one second to the next. So the load comes in
# bursts of some tenths of a second, and what is compared is what two bursts side by side took:
# 40 such pairs tell the ratio to 2 %; of two servers without a tool it is 1.00.

REDIS_TESTS=set,lpush,zadd

# Requests of each command in a burst, to a server without a tool; enough to fill memattach's ring several times.
REDIS_BURST=50000

# A port on which nothing answers now. If somebody takes it first, the server ends, and that is seen.
free_port() {
	local tries
	for ((tries = 0; tries < 50; tries++)); do
		port=$((20000 + RANDOM % 10000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
	done
	return 1
}

# The port of each server, which are called native and tool; $loaded has the processes to wait for.
declare -A loaded_port

# redis_says NAME COMMAND...
redis_says() {
	timeout 5 redis-cli -s "$work/$1.sock" "${@:2}" 2>/dev/null
}

# loaded_start NAME [TOOL...]: a server, behind the tool if there is one. 1, and $why: it did not start.
loaded_start() {
	local name=$1 tries port
	shift
	why="redis-server found no free port"
	free_port || return 1
	rm -f "$work/$name.sock" "$work/$name.pid"
	timeout --kill-after=5 $((3 * RUN_LIMIT)) "$@" redis-server --port "$port" --bind 127.0.0.1 \
		--unixsocket "$work/$name.sock" --save '' --appendonly no --daemonize no \
		--pidfile "$work/$name.pid" --dir "$work" </dev/null >"$work/$name.out" 2>&1 &
	loaded[$name]=$!
	loaded_port[$name]=$port
	for ((tries = 0; tries < 100; tries++)); do
		[ "$(redis_says "$name" ping)" != PONG ] || return 0
		kill -0 "${loaded[$name]}" 2>/dev/null || break
		sleep 0.1
	done
	why="redis-server did not start: $(reason "$work/$name.out")"
	return 1
}

# By its own command: heaptrack and valgrind then write what they have.
loaded_end() {
	local name
	for name in "${!loaded[@]}"; do
		redis_says "$name" shutdown nosave >/dev/null || true
		end "${loaded[$name]}"
		unset "loaded[$name]"
	done
}

# load NAME REQUESTS: $took is nanoseconds a request, the mean over the commands. 1, and $why: it failed.
load() {
	why="redis-benchmark failed, or was not done after $RUN_LIMIT s"
	bounded "$RUN_LIMIT" redis-benchmark -h 127.0.0.1 -p "${loaded_port[$1]}" -t "$REDIS_TESTS" -P 16 \
		-n "$2" -q >"$work/load.out" 2>&1 || return 1
	took=$(tr '\r' '\n' <"$work/load.out" | awk '
		/requests per second/ { sub(/.*: /, ""); if ($1 > 0) { ns += 1e9 / $1; n++ } }
		END { if (n == 3) printf "%.1f\n", ns / n }')
	[ "$took" ]
}

# redis_turns REQUESTS: bursts to both servers; sums of what they took in $native and $figure.
redis_turns() {
	local i name took order bursts
	local -A requests sum=([native]=0 [tool]=0)
	requests[native]=$(workload_count D native)
	bursts=$((requests[native] < REDIS_BURST ? 1 : requests[native] / REDIS_BURST))
	requests[native]=$((requests[native] / bursts))
	requests[tool]=$(($1 < bursts ? 1 : $1 / bursts))
	for name in native tool; do
		load "$name" "${requests[$name]}" || return 1
	done
	for ((i = 0; i < bursts; i++)); do
		order=(native tool)
		[ $((i % 2)) -eq 0 ] || order=(tool native)
		for name in "${order[@]}"; do
			load "$name" "${requests[$name]}" || return 1
			sum[$name]=$(calc %.1f "${sum[$name]} + $took")
		done
	done
	native=$(calc %.1f "${sum[native]} / $bursts")
	figure=$(calc %.1f "${sum[tool]} / $bursts")
}

# run_redis COLUMN COUNT: as run_workload, and $native is what a request took without the tool.
run_redis() {
	local tool=() options=() attach='' status=0
	if column_options "$1"; then
		attach=yes
	else
		column_tool "$1"
	fi
	if ! loaded_start native || ! loaded_start tool "${tool[@]}"; then
		status=1
	elif [ "$attach" ] &&
		! profiler_try "$(cat "$work/tool.pid")" "${options[@]}" -o "$work/speed.json"; then
		status=1
	elif ! redis_turns "$2"; then
		status=1
	fi
	[ -z "$profiler" ] || profiler_finish || status=1
	loaded_end
	return "$status"
}
