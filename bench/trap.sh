# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A malloc/free pair under trap probes is three stops: malloc, its return, free. What they
# cost, against three stops of the least tracer there can be (bare_int3.c), in the same
# rounds.

TRAP_ROUNDS=5
TRAP_STOPS=30000
TRAP_PAIRS=10000

trap_round() {
	local mode depth
	for mode in blocking pinned spinning; do
		"$build/bench/bare_int3" "$mode" "$TRAP_STOPS" >>"$work/bare.$mode"
	done
	for depth in 1 20; do
		target_start "$build/bench/pair" "$depth"
		target_ask 1000000
		echo "$answer" >>"$work/native.$depth"
		profiler_start "$target" --probe trap -o "$work/pair.json"
		target_ask 1000 # the call sites get their breakpoints
		target_ask "$TRAP_PAIRS"
		echo "$answer" >>"$work/pair.$depth"
		profiler_end
		target_end
	done
}

bench_trap() {
	local i mode depth bare native pair ratio
	for ((i = 0; i < TRAP_ROUNDS; i++)); do
		trap_round
	done
	heading "Trap probes: one malloc/free pair, against three bare int3 stops (medians of $TRAP_ROUNDS)"
	for mode in blocking pinned spinning; do
		row "three bare stops, tracer $mode, us" \
			"$(calc %.1f "3 * $(median <"$work/bare.$mode")")"
	done
	for depth in 1 20; do
		native=$(median <"$work/native.$depth")
		pair=$(median <"$work/pair.$depth")
		row "pair, $depth deep: not traced, ns" "$(calc %.0f "$native")"
		row "pair, $depth deep: traced, us" "$(calc %.1f "$pair / 1000")"
		for mode in spinning blocking pinned; do
			bare=$(median <"$work/bare.$mode")
			ratio=$(calc %.2f "$pair / 1000 / (3 * $bare)")
			# memattach spins between stops: that tracer is its like, and the target's yardstick.
			if [ "$mode" = spinning ]; then
				row "pair, $depth deep / three bare stops, $mode" "$ratio x" \
					"<= 1.5 x" "$(verdict "$ratio <= 1.5")"
			else
				row "pair, $depth deep / three bare stops, $mode" "$ratio x"
			fi
		done
	done
}
