#!/usr/bin/env bash
# long.sh SECONDS: every fuzz target for that long, one after the other; called by `make fuzz`. With clang's libFuzzer
# where it is there, which finds its way by coverage; else with driver.c and a seed of its own. What it finds that is
# new stays in $BUILD/fuzz/NAME/; an input that crashes is named.
set -eu
seconds=$1
cd "$(dirname "$0")/../.."
bad=0
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "${source%.c}")
    name=${name#fuzz_}
    found=$BUILD/fuzz/$name
    mkdir -p "$found"
    echo "== $name, $seconds s"
    if [ -x "$BUILD/libfuzzer/tests/fuzz_$name" ]; then
        "$BUILD/libfuzzer/tests/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -malloc_limit_mb=64 -timeout=20 \
            -artifact_prefix="$found-crash-" -print_final_stats=1 -verbosity=0 "$found" "tests/fuzz/corpus/$name" 2>&1 |
            grep -vE '^(INFO|stat::(new|slow))' || bad=1
        [ "${PIPESTATUS[0]}" = 0 ] || bad=1
    else
        seed=$(date +%s)
        echo "no libFuzzer: mutations with seed $seed"
        FUZZ_INPUT=$found-last ASAN_OPTIONS=max_allocation_size_mb=64:allocator_may_return_null=0:handle_abort=1 \
            "$BUILD/asan/tests/fuzz_$name" "tests/fuzz/corpus/$name" 0 "$seed" "$seconds" ||
            { bad=1; echo "the input is $found-last"; }
    fi
done
exit $bad
