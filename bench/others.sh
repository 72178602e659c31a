# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The same work under other tools, as far as they are installed. Trap probes are
# not made to win this: they need nothing in the target, and pay with three stops a pair.

OTHERS_ROUNDS=3
OTHERS_PAIRS=1000000

# seconds_of NAME COMMAND ARGS...: whole run, report included.
seconds_of() {
	local name=$1 start=$EPOCHREALTIME
	shift
	"$@" >"$work/others.out" 2>&1 </dev/null || die "$name failed: $(tail -n 1 "$work/others.out")"
	calc '%.3f\n' "$EPOCHREALTIME - $start" >>"$work/python.$name"
}

others_round() {
	local python=(env PYTHONMALLOC=malloc /usr/bin/python3 -S -c 'import json')
	seconds_of native "${python[@]}"
	seconds_of memattach "$build/memattach" -o "$work/python.json" -- "${python[@]}"
	if [ "$have_heaptrack" ]; then
		heaptrack -o "$work/heaptrack" "$build/bench/pair" 20 "$OTHERS_PAIRS" 2>/dev/null |
			grep -E '^[0-9]+\.[0-9]$' >>"$work/pair.heaptrack"
		seconds_of heaptrack heaptrack -o "$work/heaptrack" "${python[@]}"
	fi
	[ ! "$have_valgrind" ] || seconds_of massif valgrind --trace-children=yes --tool=massif \
		--massif-out-file="$work/massif" "${python[@]}"
}

bench_others() {
	local i native name have_heaptrack have_valgrind
	have_heaptrack=$(command -v heaptrack || true)
	have_valgrind=$(command -v valgrind || true)
	for ((i = 0; i < OTHERS_ROUNDS; i++)); do
		others_round
	done
	heading "Other tools, same work (medians of $OTHERS_ROUNDS; no target)"
	[ "$have_heaptrack" ] || echo "  heaptrack is not installed: left out"
	[ "$have_valgrind" ] || echo "  valgrind is not installed: left out"
	native=$(median <"$work/native.20")
	row "pair, 20 deep: memattach, traps / native" \
		"$(calc %.0f "$(cat "$work/trap_pair_ns") / $native") x"
	[ ! -s "$work/pair.heaptrack" ] || row "pair, 20 deep: heaptrack, preloaded / native" \
		"$(calc %.1f "$(median <"$work/pair.heaptrack") / $native") x"
	native=$(median <"$work/python.native")
	row "python3 -c 'import json', whole run: native, s" "$native"
	for name in memattach heaptrack massif; do
		[ -s "$work/python.$name" ] || continue
		row "python3 -c 'import json', whole run: $name / native" \
			"$(calc %.1f "$(median <"$work/python.$name") / $native") x"
	done
}
