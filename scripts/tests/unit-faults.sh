#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What guest-tests/faults.sh takes for the consequence of an allocation that failed, and what not.
repo=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit
status=0
eval "$(sed -n '/^errno=/,/^}/p' "$repo/guest-tests/faults.sh")"

judged() { # NAME WANT [WHERE [PROGRAM]]: the behaviour in the file output is clean, or not
	local is=clean
	[[ -z $(unclean "${3:-}" "${4:-protocol}") ]] || is=wrong
	if [[ $is == "$2" ]]; then
		echo "PASS faults: $1 is $2"
	else
		echo "FAIL faults: $1 is taken for $is"
		status=1
	fi
}

while read -r verdict line; do
	printf '# program: seed 1\nPASS program.before\nFAIL program.it: %s\n' "$line" >output
	judged "$line" "$verdict"
done <<'LINES'
clean FLEXSC_IOC_SETUP failed: Cannot allocate memory (os error 12)
clean Too many open files in system (os error 23)
clean the open did not block: Completion { index: 2, ret: -12, flags: 0 }
clean a sleeping call completed: Completion { index: 0, ret: -14, flags: 0 }
clean pread64: ENOMEM, not 8
clean openat gave -12
clean panicked: failed to spawn thread: Os { code: 11, kind: WouldBlock, message: "Resource temporarily unavailable" }
clean tcp 127.0.0.1: Address already in use (os error 98)
clean /proc/thread-self/ns/net: No such file or directory (os error 2)
clean unshare: No such device (os error 19)
clean the socket has not ended: recv: Resource temporarily unavailable (os error 11)
wrong unshare: Operation not permitted (os error 1)
wrong entry 1 was not completed within 30 s
wrong openat gave -28
wrong read gave something else
wrong No such file or directory (os error 2)
wrong read: 12, not 8
wrong openat gave -1234
wrong cannot open /dev/flexsc: No such file or directory (os error 2); load flexsc.ko, run as root
wrong the process ended by Some(Exit(1))
wrong ended by Signal(6)
wrong ended by Signal(11)
LINES
printf 'the process to kill: FLEXSC_IOC_SETUP failed: Cannot allocate memory (os error 12)\nFAIL program.it: ended by Exit(1)\n' >output
judged "what a child has said before" clean
printf 'memory allocation of 4096 bytes failed\nFAIL program.it: ended by Signal(6)\n' >output
judged "what the allocator has said before" clean
printf 'a child: (os error 12)\nPASS program.another\nFAIL program.it: ended by Exit(1)\n' >output
judged "what was said of another behaviour" wrong
printf 'FAIL program.another: (os error 12)\nFAIL program.it: ended by Exit(1)\n' >output
judged "what another behaviour has failed by" wrong
printf 'FAIL program.it: handed back: Completion { index: 0, ret: -38, flags: 32768 }\n' >output
judged "what is handed back for want of the process's memory" wrong
judged "what is handed back for want of the module's memory" clean "inside the module"
judged "what cannot wait for want of the process's memory" clean "of the process's own" arm
printf 'FAIL program.a_posted_close_lets_unmount: openat gave -28\n' >output
judged "tmpfs without an inode" clean
printf 'FAIL program.a_posted_close_lets_unmount: openat gave -281\n' >output
judged "what is no errno of tmpfs" wrong
printf 'FAIL program.a_long_send_goes_on: sendmsg: 657792, not 3000000\n' >output
judged "a send that ends early" clean
printf 'FAIL program.a_long_send_goes_on: sendmsg: 0, not 3000000\n' >output
judged "a send of nothing" wrong
printf 'FAIL program.exec_from_another_thread: ended by Exit(127), not Exit(20)\n' >output
judged "a program without its libraries" clean
printf 'FAIL program.a_blocked_write_ends_with_room: the open did not block: Completion { index: 0, ret: 65536, flags: 0 }\n' >output
judged "a write that ends early outside of the module" wrong
judged "a write that ends early inside the module" clean "inside the module"
exit $status
