#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What a new clone does not compile again: the files that are as they were when the old one in its
# place was compiled have the times that they had.
PROG=unit-times
. "$(dirname "$0")/../lib.sh"
# shellcheck source-path=SCRIPTDIR source=verdicts.sh
. "$(dirname "$0")/verdicts.sh"
begin times

from=$work/from clone=$work/clone build=$work/build
mkdir "$build"
git init -q "$from"
commit() { git -C "$from" add -A && git -C "$from" -c user.name=x -c user.email=x@localhost commit -qm x; }
clone() { rm -rf "$clone" && git clone -q "$from" "$clone"; }
keep() { keep_times "$clone" "$build"; }
time_of() { stat -c %.9Y "$clone/$1"; }
mkdir "$from/dir"
echo 1 >"$from/same"
echo 2 >"$from/dir/with a blank"
echo 3 >"$from/changes"
ln -s same "$from/link"
commit

clone && keep
same=$(time_of same) blank=$(time_of "dir/with a blank") changes=$(time_of changes)
echo 4 >"$from/changes"
echo 5 >"$from/comes"
commit
sleep 0.02
clone && keep
result "a file that did not change has its time again" [ "$(time_of same)" = "$same" ]
result "also one whose name has a blank" [ "$(time_of "dir/with a blank")" = "$blank" ]
result "one that changed is newer" [ "$(time_of changes)" != "$changes" ]
result "a new one is noted" grep -q ' comes$' "$build/sources"

# As it was before, but compiled since as something else.
changed=$(time_of changes)
echo 3 >"$from/changes"
commit
sleep 0.02
clone && keep
result "what is as it was two clones ago is newer" bash -c "[ '$(time_of changes)' != '$changes' ] && [ '$(time_of changes)' != '$changed' ]"

# In the clone itself it may have been compiled in between, by whomever.
sleep 0.02
touch "$clone/same"
keep
result "in the same clone nothing gets another time" [ "$(time_of same)" != "$same" ]

sleep 0.02
echo 6 >"$clone/same"
keep
echo 1 >"$clone/same"
keep
clone && keep
result "what was edited and is as it was is newer" [ "$(time_of same)" != "$same" ]

rm "$clone/changes"
ln -s nowhere "$clone/dangling"
result "with a file that is gone the others are noted" bash -c ". '$REPO/scripts/lib.sh'; keep_times '$clone' '$build'; grep -q ' same\$' '$build/sources'; ! grep -q ' changes\$' '$build/sources'"

rm -rf "$clone/.git"
result "a tree without git is left alone" keep
exit "$status"
