#!/usr/bin/env bash
# test_fuzz.sh: every fuzz target over its corpus and ten thousand mutations of it, the same ones every time, under the
# address and undefined-behaviour sanitizers. `make fuzz SECONDS=600` goes on for longer, with other seeds.
set -u
build=$(dirname "$LUABENCH")/asan/tests
here=$(dirname "$0")
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# No input here is larger than 64 KiB: an allocation of 16 MiB is not justified by any of them.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:max_allocation_size_mb=16:allocator_may_return_null=0
ASAN_OPTIONS+=:detect_leaks=1:handle_abort=1
for source in "$here"/fuzz_*.c; do
    name=$(basename "${source%.c}")
    name=${name#fuzz_}
    if FUZZ_INPUT=$work/input "$build/fuzz_$name" "$here/corpus/$name" "${FUZZ_RUNS:-10000}" > "$work/log" 2>&1; then
        echo "$name: $(tail -n 1 "$work/log")"
        passed=$((passed + 1))
    else
        echo "$name: FAILED (exit status $?); its input, in base64, after the end of its output:"
        tail -n 60 "$work/log"
        [ -f "$work/input" ] && base64 "$work/input" | head -n 40
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
