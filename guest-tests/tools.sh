#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# The field's tools at a program with a context: bpftrace counts its entries, gdb stops it, looks at
# its threads, and leaves it.
sync=(/opt/flexsc/bin/flexsync -a --backend module tree/)
status=0

result() { # NAME PROBLEM
	if [[ ! $2 ]]; then
		echo "PASS tools.$1"
	else
		echo "FAIL tools.$1: $2"
		status=1
	fi
}
same() { diff -r --no-dereference tree "$1" >/dev/null || echo "the copy is another: $(tail -n 1 output)"; }
# value NAME: that of one of bpftrace's maps
value() { sed -n "s/^@$1: //p" output; }

mkdir tree && cp -r /etc/security /etc/skel /etc/*.d tree/

timeout 300 bpftrace -e 'tracepoint:flexsc:flexsc_submit { @submitted = count() }
	tracepoint:flexsc:flexsc_complete { @completed = count() }' -c "${sync[*]} traced/" >output 2>&1
problem=$(same traced)
if [[ ! $problem && ! $(value submitted) -gt 100 ]]; then problem="it has seen $(value submitted) entries"; fi
if [[ ! $problem && $(value submitted) -ne $(value completed) ]]; then
	problem="$(value submitted) entries were submitted, $(value completed) completed"
fi
result bpftrace_sees_each_entry "$problem"

timeout 300 gdb -batch -ex 'catch syscall ioctl' -ex run -ex continue -ex continue -ex 'info threads' -ex delete \
	-ex continue --args "${sync[@]}" stopped/ >output 2>&1
problem=$(same stopped)
[[ $problem ]] || grep -q 'Catchpoint 1 (.*syscall' output || problem="gdb has not stopped it"
[[ $problem ]] || grep -q 'exited normally' output || problem="it did not end well: $(tail -n 1 output)"
result gdb_stops_it_and_goes_on "$problem"

# It goes on after gdb has left: when its output is closed, it has ended.
ended=$(timeout 300 gdb -batch -ex 'catch syscall ioctl' -ex run -ex continue -ex 'info threads' -ex delete -ex detach \
	--args "${sync[@]}" left/ 2>&1 | tee output | grep -c 'detached')
problem=$(same left)
[[ $problem || $ended -gt 0 ]] || problem="gdb did not leave it: $(tail -n 1 output)"
result gdb_leaves_it_at_work "$problem"
exit $status
