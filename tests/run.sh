#!/usr/bin/env bash
# run.sh: runs every test and closes with "N passed, N failed[, N skipped]"; exit status 1 if any failed.
#
#   tests/run.sh [FILTER ...]     only the tests whose name has one of the FILTERs in it
#   BUILD=build                   where the built programs are
#   TEST_TIMEOUT=600              seconds that one test file may take
#   TEST_JOBS=2                   test files at a time; without it, the number of processors, at most 4
#
# c/*.c, gpu/*.c  built with cmocka as $BUILD/tests/*, and again with sanitizers in $BUILD/asan and $BUILD/tsan
# */*.lua         files that return a table of functions test_*; run by lua/run.lua in build/luabench
# */*.sh, */*.py  programs: exit status 0 passed, 77 skipped, else failed; a last line "N passed, N failed[, N skipped]"
#                 counts for itself. They find the program in $LUABENCH
# Helpers, which are no tests, have names that do not begin with "test_".
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
limit=${TEST_TIMEOUT:-600}
jobs=${TEST_JOBS:-$(n=$(nproc 2> /dev/null || echo 2); echo $((n > 4 ? 4 : n)))}
logs=$BUILD/test-logs
export LUABENCH=$PWD/$BUILD/luabench
case $BUILD in /*) LUABENCH=$BUILD/luabench ;; esac
# Sanitizers' reports must fail the test, and the leak checker knows nothing of LuaJIT's own allocator.
export ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=exitcode=99:halt_on_error=0
# What is kept from run to run (ceilings, choices, history) is the tests' own, shared by all of them: a device played on
# the CPU, or a choice made for a test, must not meet the user. A test to which another's matter takes a folder of its
# own. ccache, which tests that build may use, stays where it is.
[ -d ~/.ccache ] || export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
export XDG_CACHE_HOME=${LUABENCH%/*}/test-cache XDG_STATE_HOME=${LUABENCH%/*}/test-state
mkdir -p "$logs"
passed=0 failed=0 skipped=0 failures=()

wanted() {
    [ ${#filters[@]} = 0 ] && return 0
    for f in "${filters[@]}"; do [[ $1 == *"$f"* ]] && return 0; done
    return 1
}

# Counts of a log as "passed failed skipped"; nothing if it has none. Summaries of our own, of luaunit, of cmocka.
counts() {
    awk '
        /^[0-9]+ passed, [0-9]+ failed/ { p = $1; f = $3; s = /skipped/ ? $5 : 0; own = 1 }
        /^\[==========\] Running [0-9]+ test/ { run += $3; cm = 1 }
        /^\[==========\].*: Running [0-9]+ test/ { run += $4; cm = 1 }
        /^\[       OK \]/ { ok++ }
        /^\[  SKIPPED \] [^0-9]/ { if (!listed[$4]++) sk++ }
        END {
            if (own) print p + 0, f + 0, s + 0
            else if (cm) print ok + 0, run - ok - sk, sk + 0
        }' "$1"
}

# run NAME COMMAND...: runs it, says how it went, and leaves "passed failed skipped" beside its log. Each test has a
# folder for temporary files to itself: tests that look at what is left there must not meet another's.
run() {
    local name=$1 log=$logs/${1//\//-}.log start end status p f s state line
    shift
    start=$(date +%s%N)
    TMPDIR=$(mktemp -d) || exit
    export TMPDIR
    timeout -k 10 "$limit" "$@" > "$log" 2>&1 < /dev/null
    status=$?
    end=$(date +%s%N)
    rm -rf "$TMPDIR"
    read -r p f s <<< "$(counts "$log")"
    if [ $status = 77 ]; then p=0 f=0 s=1
    elif [ -z "${p:-}" ]; then p=$((status == 0)) f=$((status != 0)) s=0
    elif [ $status != 0 ] && [ "$f" = 0 ]; then f=1       # it crashed after its last test, or a sanitizer spoke up
    elif [ $((p + f + s)) = 0 ]; then f=1                 # a test file without tests tests nothing
    fi
    echo "$p $f $s" > "${log%.log}.counts"
    state=ok
    [ "$f" != 0 ] && state=FAILED
    [ $status = 124 ] && state="FAILED (over ${limit} s)"
    [ "$p$f" = 00 ] && state=skipped
    line=$(printf '%-44s %5d passed %3d failed %3d skipped %8.2f s  %s' "$name" "$p" "$f" "$s" \
        "$(((end - start) / 1000000))e-3" "$state")
    if [ "$f" != 0 ]; then
        line+=$'\n'"---- the end of $log (exit status $status)"$'\n'$(tail -n 40 "$log" | sed 's/^/    /')
    fi
    echo "$line"    # whole: other lanes write too
}

# Two rounds over all tests: the first begins those that take longest, so that no lane is alone with one at the end.
longest=" c/asan/test_matrix_kernels gpu/asan/test_emulated_ops gpu/asan/test_emulated_matrix_kernels
 gpu/test_emulated_matrix_kernels abuse/test_abuse.sh cli/test_model_bench.sh cli/test_cli.sh c/test_matrix_kernels
 c/test_ops gpu/test_bench.sh c/asan/test_ops c/asan/test_panels_together cli/test_disturbed.sh lua/test_selftest.lua
 cli/test_ab.sh gpu/test_emulated_ops cli/test_model.sh gpu/test_device.sh "
longest=${longest//$'\n'/}

# one NAME COMMAND...: notes a test, if it is wanted and its round, and runs it as soon as one of the lanes is free.
names=() running=0
one() {
    wanted "$1" || return 0
    if [[ $longest == *" $1 "* ]]; then [ "$round" = 1 ]; else [ "$round" = 2 ]; fi || return 0
    names+=("$1")
    rm -f "$logs/${1//\//-}.counts"
    while [ $running -ge "$lanes" ]; do
        wait -n
        running=$((running - 1))
    done
    run "$@" &
    running=$((running + 1))
}

# Those before are over; what follows runs with so many at a time.
lanes() {
    wait
    running=0
    lanes=$1
}

# What was noted has counts, or it failed: a lane that died says nothing itself.
add_up() {
    local name p f s
    for name in "${names[@]}"; do
        p=0 f=1 s=0
        [ -e "$logs/${name//\//-}.counts" ] && read -r p f s < "$logs/${name//\//-}.counts"
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        [ "$f" != 0 ] && failures+=("$name")
    done
}

filters=("$@")
lanes "$jobs"
for round in 1 2; do
    one layers bash tests/layers.sh
    for kind in '' asan/ tsan/; do
        for source in tests/c/test_*.c tests/gpu/test_*.c; do
            [ -e "$source" ] || continue
            folder=$(basename "$(dirname "$source")")
            program=$BUILD/${kind}tests/$(basename "${source%.c}")
            if [ -x "$program" ]; then
                one "$folder/$kind$(basename "$program")" "$program"
            elif [ -z "$kind" ]; then
                one "$folder/$(basename "$program")" sh -c "echo '$program was not built: make test builds it'; exit 1"
            fi
        done
    done
    for folder in lua cli abuse fuzz parity faults gpu; do
        for file in tests/$folder/test_*; do
            name=$folder/$(basename "$file")
            case $file in
                *.lua) LUABENCH_TEST_FILE=$file one "$name" "$LUABENCH" -e 'dofile "tests/lua/run.lua"' ;;
                *.sh) one "$name" bash "$file" ;;
                *.py) one "$name" python3 "$file" ;;
            esac
        done
    done
done

lanes 0
add_up
if [ ${#failures[@]} != 0 ]; then
    echo
    echo "failed: ${failures[*]}"
fi
echo
if [ $((passed + failed)) = 0 ]; then
    echo "no test ran${filters:+: no name has \"${filters[*]}\" in it}"
    failed=1
fi
for name in LUABENCH_TEST_FORMAT LUABENCH_TEST_KERNEL LUABENCH_TEST_OP; do
    [ -z "${!name:-}" ] || echo "not everything: $name=${!name}"
done
if [ "$skipped" != 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"
else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
