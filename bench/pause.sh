# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# How long a process stands still when memattach attaches and when it detaches, as seen from
# inside (threads.c, busy.c) and by a client (ping.c): the longest gap in a window in which that
# happens, less the longest gap in a window of the same length in which nothing does. A third
# window, in which memattach attaches to another process, shows how much of it is nothing but
# memattach's use of the CPU while it prepares. redis-server has another turn with -s, and
# heaptrack -p is attached to one, too (and not taken off again: it stays in its target).

PAUSE_ROUNDS=7
PAUSE_HEAPTRACK_ROUNDS=3

# "412 us, 300 ms, 13042 pings" of the target: into $gap and $window.
pause_mark() {
	target_ask mark
	gap=${answer%% us*}
	window=${answer#*us, }
	window=${window%% ms*}
}

# pause_attach PID NAME OPTIONS...: the gaps of an attach and of a detach.
pause_attach() {
	local name=$2
	pause_mark
	profiler_start "$1" "${@:3}" -o "$work/pause.json"
	pause_mark
	echo "$gap" >>"$work/$name.attach"
	length=$window
	sleep 0.1
	pause_mark
	profiler_end
	pause_mark
	echo "$gap" >>"$work/$name.detach"
}

# pause_rounds PID NAME OTHER OPTIONS...: in turn nothing, an attach to PID, one to OTHER.
pause_rounds() {
	local i length=200
	for ((i = 0; i < PAUSE_ROUNDS; i++)); do
		pause_mark
		sleep "$(calc %.3f "$length / 1000")"
		pause_mark
		echo "$gap" >>"$work/$2.quiet"
		pause_attach "$3" "$2.other" "${@:4}"
		pause_attach "$1" "$2" "${@:4}"
	done
}

# A server for each time, since heaptrack does not come out of it again.
pause_heaptrack() {
	local i tries
	for ((i = 0; i < PAUSE_HEAPTRACK_ROUNDS; i++)); do
		redis_start "heaptracked$i"
		target_start "$build/bench/ping" "$work/heaptracked$i.sock"
		sleep 0.2
		pause_mark
		column_tool heaptrack
		timeout --kill-after=5 "$RUN_LIMIT" "${tool[@]}" -p "${redis[0]}" \
			</dev/null >"$work/run.out" 2>&1 8>&- 9<&- &
		runner=$!
		for ((tries = 0; tries < 300; tries++)); do
			! grep -qs "injection finished" "$work/run.out" || break
			sleep 0.1
		done
		pause_mark
		if [ -e "/proc/${redis[0]}/maps" ] && grep -q libheaptrack_inject "/proc/${redis[0]}/maps"; then
			echo "$gap" >>"$work/pause.heaptrack"
		fi
		target_end
		redis_end_all # after which heaptrack ends by itself
		end_within 15 "$runner"
		end "$runner"
		runner=''
		heaptrack_tidy
	done
}

# pause_rows NAME LIMIT-MS
pause_rows() {
	local quiet when value
	quiet=$(median <"$work/$1.quiet")
	row "longest gap, not attached, ms" "$(calc %.2f "$quiet / 1000")"
	row "the same, worst window, ms" "$(calc %.2f "$(largest <"$work/$1.quiet") / 1000")"
	row "attach to another process, ms more" \
		"$(calc %.2f "($(median <"$work/$1.other.attach") - $quiet) / 1000")"
	for when in attach detach; do
		value=$(calc %.2f "($(median <"$work/$1.$when") - $quiet) / 1000")
		row "$when, ms more" "$value" "<= $2 ms" "$(verdict "$value <= $2")"
		row "$when, worst window, ms more" \
			"$(calc %.2f "($(largest <"$work/$1.$when") - $quiet) / 1000")"
	done
}

bench_pause() {
	local sampled=''
	redis_start pinged
	redis_start other
	target_start "$build/bench/ping" "$work/pinged.sock"
	pause_rounds "${redis[0]}" redis "${redis[1]}"
	if profiler_can --sample 512K; then
		sampled=yes
		pause_rounds "${redis[0]}" sampled "${redis[1]}" --sample 512K
	fi
	target_end
	target_start "$build/bench/threads" 200
	pause_rounds "$target" threads "${redis[1]}"
	target_end
	target_start "$build/bench/busy"
	pause_rounds "$target" busy "${redis[1]}"
	target_end
	redis_end_all
	pause_heaptrack
	heading "Pause of redis-server, as a client that pings sees it (medians of $PAUSE_ROUNDS)"
	pause_rows redis 5
	heading "The same with -s 512K"
	if [ "$sampled" ]; then pause_rows sampled 5; else note "- because $why"; fi
	heading "Pause of redis-server, heaptrack -p (median of $PAUSE_HEAPTRACK_ROUNDS)"
	if [ -s "$work/pause.heaptrack" ]; then
		row "attach, ms more" "$(calc %.2f \
			"($(median <"$work/pause.heaptrack") - $(median <"$work/redis.quiet")) / 1000")"
	else
		note "- because it was not injected: $(reason "$work/run.out")"
	fi
	heading "Pause of 200 threads, the longest of any (medians of $PAUSE_ROUNDS)"
	pause_rows threads 20
	heading "Pause of a thread that allocates all the time (medians of $PAUSE_ROUNDS)"
	pause_rows busy 5
}
