#!/usr/bin/env bash
# test_modes.sh: a model's modes agree bit for bit, with the kernels of each instruction set.
set -u
. "$(dirname "$0")/common.sh"

holds "the best kernels here" "$LUABENCH" -e 'dofile "tests/cli/model_modes.lua"'
for isa in avx512 avx2 portable; do
    if ! LUABENCH_ISA=$isa "$LUABENCH" -e 'lb.device "cpu"' > /dev/null 2>&1; then
        skipped=$((skipped + 1))
        echo "skipped: $isa: this machine has it not"
        continue
    fi
    holds "$isa" env LUABENCH_ISA=$isa "$LUABENCH" -e 'dofile "tests/cli/model_modes.lua"'
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
