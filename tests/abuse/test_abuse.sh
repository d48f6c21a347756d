#!/usr/bin/env bash
# test_abuse.sh: the abuse suite (run.lua) as a test of its own; its last line has the counts.
cd "$(dirname "$0")/../.." || exit 1
exec "${LUABENCH:?}" -e 'dofile "tests/abuse/run.lua"'
