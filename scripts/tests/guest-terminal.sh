#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# scripts/guest on a terminal. Everything is keyed to what the guest prints, not to time.
PROG=guest-terminal
. "$(dirname "$0")/../lib.sh"
load_setup

if ! command -v script >/dev/null; then
	echo "SKIP guest: on a terminal: there is no script(1)"
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/share"
status=0
shown() { # NAME PATTERN: passes if the terminal showed a line like that
	if grep -qE -- "$2" "$work/shown"; then
		echo "PASS guest: $1"
	else
		echo "FAIL guest: $1: nothing like \"$2\" was shown"
		sed 's/^/  | /' "$work/shown"
		status=1
	fi
}

export SHELL=/bin/bash
cat >"$work/share/session" <<'END'
tty
stty size
sed -n '/^SigIgn/p' /proc/self/status
trap 'echo got the interrupt; exit 3' INT
seq 100000
echo "WARNING: in user space, which is nobody's fault"
echo ready
while :; do sleep 0.1; done
END
coproc TERMINAL {
	rc=0
	script -qec "stty rows 33 cols 111; '$REPO/scripts/guest' --no-build --no-module --timeout 300 --share '$work/share' -- bash session" /dev/null 2>&1 || rc=$?
	echo "status $rc"
}
while read -r line; do
	line=${line//$'\r'/}
	echo "$line"
	[[ $line != ready ]] || printf '\003' >&"${TERMINAL[1]}"
	[[ $line != "status "* ]] || break
done <&"${TERMINAL[0]}" >"$work/shown"
grep -vxE '[0-9]+' "$work/shown" >"$work/rest" || :
if cmp -s <(grep -xE '[0-9]+' "$work/shown") <(seq 100000); then
	echo "PASS guest: a terminal gets all of a long output"
else
	echo "FAIL guest: a terminal gets all of a long output: $(grep -cxE '[0-9]+' "$work/shown") of 100000 lines came"
	status=1
fi
mv "$work/rest" "$work/shown"
shown "a terminal gets a terminal" '^/dev/pts/[0-9]+$'
shown "the terminal has the window's size" '^33 111$'
shown "no signal is ignored there" '^SigIgn:.0+$'
shown "Ctrl-C reaches the program in the guest" '^(\^C)?got the interrupt$'
shown "the exit status of a command on a terminal" '^status 3$'
exit $status
