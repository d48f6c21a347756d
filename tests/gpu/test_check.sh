#!/usr/bin/env bash
# test_check.sh: check.sh on the device played on the CPU (fake/): a kernel that faults, hangs, is refused or leaves
# tickets costs itself, results are kept one by one, and RESUME runs again only what did not pass.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
if [ ! -x "$BUILD/tests/gpu_ops" ]; then
    echo "no nvcc when this was built: the programs that make gpu-check runs are not there"
    exit 77
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export LUABENCH_CUDA=$PWD/$BUILD/tests/fake_cuda.so LUABENCH_FAKE=memory=256 OUT=$out BUILD CASES=^none JOBS=5
passed=0 failed=0
# expect WHAT COMMAND...
expect() {
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}
ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "it fails" [ $? = 1 ]
file=$(ls "$out"/check-*-played-on-the-CPU.txt)
expect "the right one passes" grep -qE '^passed   fill.f32.fake +[1-9][0-9]* launches' "$file"
expect "a fault is found" grep -qE '^FAILED   fill.f32.fake_fault .*status' "$file"
expect "and said" grep -q 'illegal memory access' "$file"
expect "a refused launch is found" grep -qE '^FAILED   fill.f32.fake_refused' "$file"
expect "tickets left behind are found" grep -qE '^FAILED   fill.f32.fake_ticket' "$file"
expect "in all" grep -q '^2 kernels passed, 3 failed, 0 not run' "$file"
cp "$file" "$out/before"
RESUME=$out/before ONLY=fill.f32.fake_ bash tests/gpu/check.sh > "$out/log" 2>&1
expect "the others again" grep -q '^2 kernels passed, 3 failed' "$file"
expect "what passed is there, though ONLY leaves it out" grep -qE '^passed   fill.f32.fake ' "$file"
RESUME=$out/before ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "what passed is kept" grep -qE '^passed   fill.f32.fake +[1-9][0-9]* launches' "$file"
sed -E 's/^(uuid[^0-9a-f]*).*/\1another/' "$out/before" > "$out/other"
RESUME=$out/other ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "another device's results are refused" [ $? = 2 ]
expect "and said" grep -q "other is of another device: .*; here is " "$out/log"
mkdir "$out/again" "$out/earlier"
cp "$out/other" "$out/earlier/check-1.txt"
sed '1s/played/another model, played/' "$out/other" > "$out/earlier/check-2.txt"
OUT=$out/again FROM=$out/earlier ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "but FROM takes those of its model" grep -q 'did so on another device of this model' "$out"/again/check-*.txt
expect "and keeps what passed" grep -q '^2 kernels passed' "$out"/again/check-*.txt
OUT=$out/again FROM=$out/again TIME=0 ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "also where TIME is over at once" grep -q '^2 kernels passed' "$out"/again/check-*.txt
expect "which is said of the device's cases" \
    grep -qE '^left     device_cases.lua .*TIME was over' "$out"/again/check-*.txt
# ended in the middle, with no time to say anything: what had passed stays, the rest is done, and nothing twice
mkdir "$out/killed" "$out/after"
OUT=$out/killed ONLY=f32. JOBS=1 LIMIT=60 setsid bash tests/gpu/check.sh > "$out/log" 2>&1 &
check=$!
for _ in $(seq 300); do grep -qs "^passed " "$out"/killed/check-*.txt && break; sleep 0.1; done
# shellcheck disable=SC2046  # process ids
kill -KILL $(ps -o pid= -s $check)
wait $check 2> /dev/null
expect "a kill leaves what had passed" [ "$(grep -c '^passed ' "$out"/killed/check-*.txt)" -ge 1 ]
expect "and not the end" [ "$(grep -c '^gpu-check: ' "$out"/killed/check-*.txt)" = 0 ]
OUT=$out/after FROM=$out/killed ONLY=fill.f32.fake bash tests/gpu/check.sh > "$out/log" 2>&1
expect "FROM goes on" grep -qE '^[2-9] kernels passed, 3 failed' "$out"/after/check-*.txt
expect "and has each kernel once" \
    [ -z "$(sed -nE 's/^(passed|FAILED) +([^ ]+) .*/\2/p' "$out"/after/check-*.txt | sort | uniq -d)" ]
expect "what had passed as it was" [ "$(grep '^passed ' "$out"/killed/check-*.txt)" = \
    "$(grep '^passed ' "$out"/killed/check-*.txt | grep -Fxf - "$(echo "$out"/after/check-*.txt)")" ]
mkdir "$out/cases"
CASES='^the device says' OUT=$out/cases ONLY=none bash tests/gpu/check.sh > "$out/log" 2>&1
OUT=$out/cases FROM=$out/cases ONLY=none bash tests/gpu/check.sh > "$out/log" 2>&1
expect "device_cases.lua that passed is kept" grep -q '^1 passed, 0 failed' "$out"/cases/check-*.txt
for wrong in FAULTS HANGS; do
    mkdir "$out/$wrong"
    env CASES='^conditions: [ow][nh][ea][t ]' OUT="$out/$wrong" ONLY=none LUABENCH_FAKE_$wrong=advance LIMIT=5 \
        bash tests/gpu/check.sh > "$out/log" 2>&1
    expect "$wrong: a case is lost" grep -qE '^conditions: one that .*FAILED: ' "$out/$wrong"/check-*.txt
    expect "$wrong: what is behind it is tested" grep -qE '^conditions: what is picked .* ok$' "$out/$wrong"/check-*.txt
    expect "$wrong: and counted" grep -q '^1 passed, 1 failed' "$out/$wrong"/check-*.txt
    expect "$wrong: and it fails" grep -q '^FAILED   device_cases.lua ' "$out/$wrong"/check-*.txt
done
rm "$file"
ONLY=hanging LIMIT=60 bash tests/gpu/check.sh > "$out/log" 2>&1 &
check=$!
for _ in $(seq 150); do grep -qs "^== kernels" "$file" && break; sleep 0.2; done
sleep 1
kill $check
wait $check
expect "a signal ends it" [ $? = 1 ]
expect "at once, with a last word" grep -q '^gpu-check: ended early' "$file"
ONLY=hanging LIMIT=2 bash tests/gpu/check.sh > "$out/log" 2>&1
expect "what hangs is ended" grep -qE '^FAILED   fill.f32.hanging .*still running after 2 s' "$file"
ONLY=hanging LIMIT=60 TIME=4 bash tests/gpu/check.sh > "$out/log" 2>&1
expect "TIME ends it" grep -qE '^left     fill.f32.hanging .*TIME was over' "$file"
expect "and says how it goes on" grep -q '^gpu-check: TIME was over, [12] are left: RESUME=' "$file"
[ $failed = 0 ] || cat "$file"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
