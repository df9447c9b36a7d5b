#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# docs/security.md names tests, in bold those that have a mutant: each of them exists. Its
# table has a row for each hazard, and each guard that can be taken out of the module is in
# the list of mutants and there.
# The single quotes below hold Markdown's code quotes.
# shellcheck disable=SC2016
cd "$(dirname "$0")/../.." || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
doc=docs/security.md list=guest-tests/mutants.list
status=0

# verdict NAME PROBLEMS: a line with the verdict.
verdict() {
	if [[ -z $2 ]]; then
		echo "PASS $1"
	else
		echo "FAIL $1: ${2//$'\n'/ }"
		status=1
	fi
}

# finds PROBLEM CHECK: a line with the verdict on a check that has to find just this.
finds() {
	local found
	found=$("$2")
	if [[ $found == "$1" ]]; then verdict "security: $2 finds $1" ""; else verdict "security: $2 finds $1" "it found '${found//$'\n'/ }'"; fi
}

# table: the hazards' rows; tests: the names in code quotes, bold ones in them.
table() { awk '/^\| hazard \| how it is met \| test \|/ { on = 1; next } !/^\|/ { on = 0 } on && !/^\|---/' "$doc"; }
tests() { grep -oE '`[a-z]+\.[a-z_0-9]+`' | tr -d '`' | sort -u; }
bold() { grep -oE '\*\*`[a-z]+\.[a-z_0-9]+`\*\*' | tr -d '*' | tests; }
# listed: "guard program.behaviour" of each mutant; guards: those that the module has.
listed() { awk '!/^#/ && NF { print $1, $2 "." $3 }' "$list"; }
guards() {
	grep -ohE 'mutant!\("[a-z_]+"\)|FLEXSC_MUTANT\([a-z_]+\)' kmod/*.{rs,c,h} |
		sed -E 's/.*\("?([a-z_]+)"?\)/\1/' | grep -vx name | sort -u
}

unknown_tests() {
	local program name
	tests <"$doc" | while IFS=. read -r program name; do
		[[ $name != sh ]] || { [[ -f guest-tests/$program.sh ]] || echo "$program.sh"; continue; }
		grep -qrsE "\"($program\.)?$name\"" "guest-tests/src/$program" "guest-tests/src/$program.rs" || echo "$program.$name"
	done
	grep -oE '`libflexsc/tests/[a-z_]+(\.rs)?`' "$doc" | tr -d '`' | sort -u | while read -r name; do
		[[ -e $name ]] || echo "$name"
	done
}
hazards_without_a_row() {
	comm -23 <(seq -f H%g 37 | sort) <(table | cut -d '|' -f 2 | grep -oE '\<H[0-9]+\>' | sort -u)
}
rows_without_a_test() {
	table | awk -F '|' '$4 !~ /`/ { print $2 }'
}
bold_tests_without_a_mutant() {
	comm -23 <(bold <"$doc") <(listed | cut -d ' ' -f 2 | sort -u)
}
mutants_without_a_bold_test() {
	comm -13 <(table | bold) <(listed | cut -d ' ' -f 2 | sort -u)
}
guards_without_a_line() {
	comm -23 <(guards) <(listed | cut -d ' ' -f 1 | sort -u)
}
lines_without_a_guard() {
	comm -13 <(guards) <(listed | cut -d ' ' -f 1 | sort -u)
}

verdict "docs/security.md names tests that exist" "$(unknown_tests)"
verdict "each hazard has a row in docs/security.md" "$(hazards_without_a_row)"
verdict "each row of docs/security.md has a test" "$(rows_without_a_test)"
verdict "each test in bold has a mutant" "$(bold_tests_without_a_mutant)"
verdict "each mutant's test is in bold in the table of docs/security.md" "$(mutants_without_a_bold_test)"
verdict "each guard that can be taken out is in guest-tests/mutants.list" "$(guards_without_a_line)"
verdict "each line of guest-tests/mutants.list is a guard" "$(lines_without_a_guard)"

# Each of these checks finds what is missing.
doc=$work/security.md list=$work/mutants.list
change() { # SED-COMMAND: what there is, with one change
	sed -E "$1" docs/security.md >"$doc"
	sed -E "$1" guest-tests/mutants.list >"$list"
}
change 's/`arm.a_cancelled_accept_loses_nothing`/`arm.a_cancelled_accept_loses_it`/'
finds arm.a_cancelled_accept_loses_it unknown_tests
change 's/`libflexsc\/tests\/soundness.rs`/`libflexsc\/tests\/sound.rs`/'
finds libflexsc/tests/sound.rs unknown_tests
change 's/^\| H12 /| /'
finds H12 hazards_without_a_row
change 's/^tty +lanes .*//'
finds lanes.a_terminal_is_handed_back bold_tests_without_a_mutant
finds tty guards_without_a_line
change 's/\*\*`lanes.a_terminal_is_handed_back`\*\*, //'
finds lanes.a_terminal_is_handed_back mutants_without_a_bold_test
change 's/^tty /ttys /'
finds ttys lines_without_a_guard
exit $status
