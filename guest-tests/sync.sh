#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# guest: --disk 2G
#
# The demo on a small tree: the guest's own Python library. flexsync over the module and
# with plain calls makes the same copies as rsync, by the delta algorithm too.
tree=$(find /usr/lib -maxdepth 1 -name 'python3.*' | sort | tail -n 1)
tar -C "${tree%/*}" --exclude=__pycache__ -cf tree.tar "${tree##*/}" || exit 1
if python3 /opt/flexsc/demo.py tree.tar result.jsonl --files 300 --small >output 2>&1; then
	echo "PASS sync.copies_are_equal_to_the_tree"
else
	echo "FAIL sync.copies_are_equal_to_the_tree: $(grep -E 'error|broken' output | head -n 1)"
	sed 's/^/# /' output
	exit 1
fi
