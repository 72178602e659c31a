# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The ledger without a process (ledger.c), 10 million live blocks; and a record of the ring from where
# the agent has put it to the ledger (records.c).

# The first number of the line with this text.
ledger_figure() {
	sed -n "s/^ *$1 *\([0-9.]*\).*/\1/p" "$work/ledger.out" | head -n 1
}

bench_ledger() {
	local what rate bytes
	"$build/bench/ledger" 10000000 >"$work/ledger.out"
	heading "Ledger alone, 10 million live blocks, one core"
	for what in "fill: allocations only" "mix: half frees, random order" \
		"the same, hints 8 events ahead" "drain: frees only"; do
		rate=$(ledger_figure "$what")
		[ "$rate" ] || die "ledger has no line \"$what\" any more"
		row "$what, M events/s" "$rate" ">= 5" "$(verdict "$rate >= 5")"
	done
	bytes=$(ledger_figure "memory a live block")
	row "bytes a live block" "$bytes" "<= 32" "$(verdict "$bytes <= 32")"
	"$build/bench/records" >"$work/records.out"
	for what in "a server's requests" "trees built and dropped"; do
		rate=$(sed -n "s/^ *$what *\([0-9.]*\) ns a record$/\1/p" "$work/records.out")
		[ "$rate" ] || die "records has no line \"$what\" any more"
		row "a record of $what, ns" "$rate" "" ""
	done
}
