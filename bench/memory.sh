# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What memattach needs itself, with a target that holds many blocks (hold.c), and what it maps into
# the target: what the target's size grows by while it does nothing.

MEMORY_BLOCKS="1000000 5000000"

# memattach has read all that there was to read when its memory stays as it is.
memory_settle() {
	local before=0 now same=0
	while [ "$same" -lt 3 ]; do
		sleep 0.2
		now=$(memory VmRSS "$profiler")
		if [ "$now" = "$before" ]; then same=$((same + 1)); else same=0; fi
		before=$now
	done
}

# Memory of memattach's children (the guardian) that is not memattach's as well, KiB.
memory_children() {
	local pid sum=0
	for pid in $(pgrep -P "$profiler"); do
		sum=$((sum + $(awk '/^Private_/ { kb += $2 } END { print kb + 0 }' \
			"/proc/$pid/smaps_rollup")))
	done
	echo "$sum"
}

# Blocks and KiB to $work/memory.held, and by what the target grew to $work/memory.mapped.
memory_held() {
	local blocks before held=0
	target_start "$build/bench/hold"
	before=$(memory VmSize "$target")
	profiler_start "$target" -o "$work/memory.json"
	echo $(($(memory VmSize "$target") - before)) >"$work/memory.mapped"
	for blocks in $MEMORY_BLOCKS; do
		blocks=$(calc %d "$blocks / ${SCALE:-1}")
		target_ask $((blocks - held))
		held=$answer
		memory_settle
		echo "$held $(($(memory VmHWM "$profiler") + $(memory_children)))" \
			"$(memory RssShmem "$profiler")" >>"$work/memory.held"
	done
	profiler_end
	target_end
}

# memory_redis: what is mapped into a server with many libraries, and what stays of it.
memory_redis() {
	local before
	redis_start grown
	before=$(memory VmSize "${redis[0]}")
	profiler_start "${redis[0]}" -o "$work/memory.json"
	echo $(($(memory VmSize "${redis[0]}") - before)) >"$work/memory.redis"
	profiler_end
	echo $(($(memory VmSize "${redis[0]}") - before)) >"$work/memory.left"
	redis_end_all
}

# memory_row WHAT KIB LIMIT-KIB
memory_row() {
	row "$1" "$(calc %.1f "$2 / 1024")" "<= $(calc %.0f "$3 / 1024") MiB" "$(verdict "$2 <= $3")"
}

bench_memory() {
	local blocks kib shared left
	memory_held
	memory_redis
	heading "Memory, MiB"
	while read -r blocks kib shared; do
		memory_row "memattach's own at its most, $blocks blocks live" "$kib" \
			"$(calc %d "64 * 1024 + 32 * $blocks / 1024")"
		row "of that, shared with the target" "$(calc %.1f "$shared / 1024")"
	done <"$work/memory.held"
	memory_row "mapped into a small program" "$(cat "$work/memory.mapped")" 32768
	memory_row "mapped into redis-server" "$(cat "$work/memory.redis")" 32768
	left=$(cat "$work/memory.left")
	row "still there after detach" "$left" "0" "$(verdict "$left == 0")"
}
