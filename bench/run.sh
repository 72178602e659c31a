#!/bin/bash
# SPDX-License-Identifier: MIT
#
#	bench/run.sh BUILD [PART...]      (what "make bench" runs)
#
# Measures and prints one table: what was measured, the target where there is one, and
# whether it was met. Parts: speed, pause, memory, trap, report, ledger; all by default. It asserts
# nothing. Ratios are taken within one run, over rounds in which the things compared take
# turns, and medians are shown: absolute figures depend on the machine and on what else it
# does, so look at the load in the first lines.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(realpath "$1")
shift
parts=("$@")
[ $# -gt 0 ] || parts=(speed pause memory trap report ledger)
work=$(mktemp -d)

for part in common workloads redis speed pause memory trap report ledger; do
	# shellcheck source=/dev/null
	. "bench/$part.sh"
done

cleanup() {
	end_all
	heaptrack_tidy
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
echo "memattach bench, $(date -u '+%Y-%m-%d %H:%M UTC'), $("$build/memattach" --version)"
echo "$(nproc) x $cpu, Linux $(uname -r), load $(cut -d' ' -f1-3 /proc/loadavg)"
printf '\n  %-56s %12s %12s\n' "" measured target
for part in "${parts[@]}"; do
	"bench_$part"
done
printf '\nload at the end %s; %d seconds\n' "$(cut -d' ' -f1-3 /proc/loadavg)" "$SECONDS"
