#!/bin/sh
# SPDX-License-Identifier: MIT
#
#	tests/layers.sh [DIRECTORY]
#
# Which folder may include which: the table of the design. Every include of ours
# is root-relative ("folder/file.h"), so that it names its floor; this script reads
# those lines, prints each arrow that is not in the table, and fails if there is one.
set -eu
cd "${1:-.}"

find . -path ./build -prune -o -path ./.git -prune -o -path ./tests -prune -o -path ./bench -prune \
	-o -path ./demo -prune \
	-o -type f \( -name '*.[chS]' -o -name '*.cc' \) -print | sed 's|^\./||' | sort |
while IFS= read -r file; do
	grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' -- "$file" /dev/null || [ $? -eq 1 ]
	# A line for the file itself: its folder is to be in the table even if it includes nothing.
	printf '%s:0:""\n' "$file"
done | awk '
BEGIN {
	# Downwards only. A name with a slash allows that one header, not its folder.
	allowed["main"]    = "main session report base"
	allowed["session"] = "session agent/channel.h agent/sample.h agent/sample_filter.h probe heap attach unwind symbols ledger proc base"
	allowed["probe"]   = "probe attach unwind agent/abi.h agent/channel.h agent/fixup.h agent/frame.h agent/sample.h agent/sample_filter.h proc base"
	allowed["heap"]    = "heap attach ledger symbols base"
	allowed["report"]  = "report ledger symbols base"
	allowed["attach"]  = "attach proc base"
	allowed["symbols"] = "symbols proc base"
	allowed["unwind"]  = "unwind agent/abi.h agent/channel.h base"
	allowed["ledger"]  = "ledger base"
	allowed["proc"]    = "proc base"
	allowed["agent"]   = "agent unwind/walk.h unwind/table.h"
	allowed["base"]    = "base"
}

# The floor of a file: its folder; at the top, memattach.c and what only it uses, or the session.
function floor_of(path,    part) {
	if (split(path, part, "/") > 1)
		return part[1]
	return path ~ /^(memattach|options|output)[._]/ ? "main" : "session"
}

{
	file = line = $0
	sub(/:.*/, "", file)
	sub(/^[^:]*:/, "", line)
	number = line
	sub(/:.*/, "", number)
	header = line
	sub(/^[^"]*"/, "", header)
	sub(/".*/, "", header)
	from = floor_of(file)
	if (!(from in allowed)) {
		if (number == 0) {
			print file ": the folder " from "/ is not in the table of tests/layers.sh"
			bad = 1
		}
		next
	}
	if (number == 0)
		next
	to = floor_of(header)
	count = split(allowed[from], list, " ")
	for (i = 1; i <= count; i++)
		if (list[i] == to || list[i] == header)
			next
	print file ":" number ": " from " may not include \"" header "\" (only: " allowed[from] ")"
	bad = 1
}

END { exit bad }
'
