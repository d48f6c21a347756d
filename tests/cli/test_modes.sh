#!/usr/bin/env bash
# test_modes.sh: a model's modes agree bit for bit, with the kernels of each instruction set.
set -u
. "$(dirname "$0")/common.sh"

holds "the best kernels here" "$LUABENCH" -e 'dofile "tests/cli/model_modes.lua"'
for isa in avx2 portable; do
    holds "$isa" env LUABENCH_ISA=$isa "$LUABENCH" -e 'dofile "tests/cli/model_modes.lua"'
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
