#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# docs/security.md names tests, in bold those that have a mutant: each of them exists.
# The single quotes below hold Markdown's code quotes.
# shellcheck disable=SC2016
cd "$(dirname "$0")/../.." || exit
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

missing=$(grep -oE '`[a-z]+\.[a-z_0-9]+`' docs/security.md | tr -d '`' | sort -u | while IFS=. read -r program name; do
	grep -qrE "\"($program\.)?$name\"" "guest-tests/src/$program" "guest-tests/src/$program.rs" || echo "$program.$name"
done)
verdict "docs/security.md names tests that exist" "$missing"

missing=$(grep -oE '\*\*`[a-z]+\.[a-z_0-9]+`\*\*' docs/security.md | tr -d '`*' | sort -u | while IFS=. read -r program name; do
	grep -qE "^[a-z_]+ +$program +$name( log)?\$" guest-tests/mutants.list || echo "$program.$name"
done)
verdict "each test in bold has a mutant" "$missing"
exit $status
