#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# libflexsc's integration tests, those of the module's backend: on a machine without
# /dev/flexsc they are ignored.
status=0
for program in /opt/flexsc/library/*; do
	name=${program##*/}
	"$program" --ignored module --test-threads 1 >output 2>&1 || status=1
	sed -nE -e "s/^test (.*) \.\.\. ok$/PASS library.$name.\1/p" -e "s/^test (.*) \.\.\. FAILED$/FAIL library.$name.\1: see below/p" output
	if ! grep -q '^test result: ' output; then
		echo "FAIL library.$name: it ended early"
		status=1
	fi
	if grep -q '^test result: ok' output; then continue; fi
	status=1
	sed 's/^/# /' output
done
exit $status
