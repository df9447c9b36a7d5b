#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The list of calls in docs/abi.md is the module's table: the same numbers, names, lanes
# and gates.
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
repo=$(cd "$(dirname "$0")/../.." && pwd)
begin calls

# table: "number name lane gate" of each row between "calls! {" and "}".
table() {
	awk '/^calls! \{/ { on = 1; next } /^}/ { on = 0 } on && NF == 5 {
		sub(/^flexsc_call_/, "", $5); sub(/,$/, "", $5)
		# Calls of our own go by their names.
		if ($1 ~ /^0x/) { $1 = "FLEXSC_NR_" toupper($5) }
		print $1, $5, $2, ($3 == "true" ? "gated" : "-")
	}' "$1"
}

# list: the same of each row of the page's table of calls.
list() {
	awk -F '|' '/^\| number \| call \|/ { on = 1; next } !/^\|/ { on = 0 } on && !/^\|---/ {
		gsub(/ /, ""); print $2, $3, $4, ($5 == "" ? "-" : $5)
	}' "$1"
}

differs() { ! cmp -s "$1" "$2"; }

table "$repo/kmod/call.rs" >"$work/table"
list "$repo/docs/abi.md" >"$work/list"
result "the table is found" [ "$(wc -l <"$work/table")" -gt 30 ]
result "docs/abi.md lists the calls of kmod/call.rs" diff "$work/table" "$work/list"
result "the table is in the order of the numbers" diff <(sed '/FLEXSC_NR_/d' "$work/table" | sort -nu -k 1,1) <(sed '/FLEXSC_NR_/d' "$work/table")
for change in 's/^| 0 | read | W |/| 0 | read | T |/' 's/| 77 | ftruncate | W | gated |/| 77 | ftruncate | W |  |/' '/ | openat | /d' 's/| 3 | close/| 4 | close/'; do
	sed "$change" "$repo/docs/abi.md" | list /dev/stdin >"$work/changed"
	result "a list after $change is not taken for the same" differs "$work/table" "$work/changed"
done
exit "$status"
