#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# The behaviours of the C library, over the module.
program=/opt/flexsc/c/behaviour
status=0
names=$("$program") || exit
for name in $names; do
	if timeout 120 "$program" module "$name" >output 2>&1; then
		echo "PASS c.$name"
	else
		echo "FAIL c.$name: $(head -n 1 output)"
		status=1
	fi
done
exit $status
