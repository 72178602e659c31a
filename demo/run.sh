#!/bin/bash
# SPDX-License-Identifier: MIT
#
#	demo/run.sh MEMATTACH LEAKY_SERVICE      (what "make demo" runs)
#
# Finds a leak in a service that is already running: starts demo/leaky_service.c, talks
# to it, attaches to it by PID for three seconds, prints the report, and shows that
# the service still answers when memattach has gone. Fails if the report does not name the
# line that leaks. Needs no terminal, and ends what it has started by PID.
set -euo pipefail

memattach=$1
leaky_service=$2
source=$(dirname "$0")/leaky_service.c
seconds=3

work=$(mktemp -d)
service= profiler=

cleanup() {
	# memattach first: it leaves the service as it found it.
	for pid in $profiler $service; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step() {
	printf '\n=== %s\n\n' "$*"
}

fail() {
	printf '\ndemo: FAILED: %s\n' "$*" >&2
	exit 1
}

# One request; succeeds if the answer is right.
ask() {
	local answer
	{
		printf 'hello %s\n' "$1" >&9
		read -r -t 10 answer <&9
	} 9<>"/dev/tcp/127.0.0.1/$port" || return 1
	[ "$answer" = "hello, $1" ]
}

step "A service is running, and it grows"
mkfifo "$work/out"
"$leaky_service" >"$work/out" &
service=$!
# It prints its port when it is ready.
read -r -t 10 port <"$work/out" || fail "the service did not start"
for ((i = 0; i < 200; i++)); do
	ask "client$i" || fail "the service does not answer"
done
echo "leaky_service is process $service on port $port; 200 requests answered"

step "memattach -p $service -d $seconds, while requests go on"
"$memattach" -p "$service" -d "$seconds" --top 3 -o "$work/report.txt" -o "$work/capture.json" &
profiler=$!
during=0
while kill -0 "$profiler" 2>/dev/null; do
	ask "client$during" || fail "the service does not answer while memattach is attached"
	during=$((during + 1))
done
status=0
wait "$profiler" || status=$?
profiler=
[ "$status" -eq 0 ] || fail "memattach ended with status $status"
cat "$work/report.txt"

step "memattach has gone"
tracer=$(awk '$1 == "TracerPid:" { print $2 }' "/proc/$service/status")
[ "$tracer" = 0 ] || fail "the service is still traced, by process $tracer"
ask "afterwards" || fail "the service does not answer after memattach has detached"
echo "$during requests were answered while it was attached, and process $service answers still"

# The first line of the table of stacks is the one to name it.
line=$(grep -n 'the leak:' "$source" | cut -d: -f1)
grep -Eq "^ *1 .*session_open leaky_service\.c:$line( |\$)" "$work/report.txt" ||
	fail "the report does not name session_open, leaky_service.c:$line"
printf '\nThe leak was found: session_open, leaky_service.c:%s\n%s\n' "$line" \
	"$(sed -n "${line}s/^[[:space:]]*/    /p" "$source")"
