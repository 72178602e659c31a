#!/bin/sh
# SPDX-License-Identifier: MIT
#
#	tests/style.sh [DIRECTORY]
#
# What the style asks for and clang-format cannot see: an SPDX line first, files of
# at most 600 lines, functions of less than 60, no test file that is in no suite.
# Prints what is wrong and fails if anything is.
set -eu
cd "${1:-.}"

sources() {
	find . -path ./build -prune -o -path ./.git -prune \
		-o -type f \( -name '*.[chS]' -o -name '*.cc' -o -name '*.mk' -o -name '*.sh' \) -print |
		sed 's|^\./||' | sort
}

bad=0

for file in $(sources); do
	# In a script the first line says who runs it.
	head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT' || {
		echo "$file: no SPDX line at the top"
		bad=1
	}
	lines=$(wc -l <"$file")
	if [ "$lines" -gt 600 ]; then
		echo "$file: $lines lines; at most 600"
		bad=1
	fi
done

# In formatted code a function, and nothing else, has its braces alone at the left edge.
for file in $(sources | grep '\.[ch]$'); do
	awk '
	/^{$/ { begin = FNR; next }
	/^}$/ {
		if (begin && FNR - begin > 60) {
			print FILENAME ":" begin ": a function of " FNR - begin - 1 " lines; less than 60"
			bad = 1
		}
		begin = 0
	}
	END { exit bad }' "$file" || bad=1
done

for file in tests/test_*.c; do
	[ -e "$file" ] || continue
	name=${file#tests/test_}
	name=${name%.c}
	grep -q "X($name)" tests/suites.h || {
		echo "$file: not in SUITES of tests/suites.h, so it is never run"
		bad=1
	}
done

exit $bad
