#!/usr/bin/env bash
# test_bench.sh: bench.sh runs to its end without a GPU, on the device played on the CPU (fake/), with sizes
# that mean nothing: every row of the table is there, each with a time or the reason why not, and the files are written.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export LUABENCH_CUDA=$PWD/$BUILD/tests/fake_cuda.so LUABENCH_FAKE=memory=300
passed=0 failed=0
# expect WHAT CONDITION...
expect() {
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}
lua() { "$BUILD/luabench" -e "$1" "${@:2}"; }
# times FILE: "name time" of each row that has a time, in order
times() {
    FILE=$1 lua 'for _, r in ipairs(lb.load(os.getenv "FILE").rows) do if r.us then print(r.what, r.us) end end'
}
# killed WHAT FILE PATTERN COUNT COMMAND...: kills it and all it has begun when FILE has COUNT lines with the pattern
killed() {
    local what=$1 file=$2 pattern=$3 count=$4 session found=
    shift 4
    setsid "$@" > "$out/killed.log" 2>&1 &
    session=$!
    for _ in $(seq 600); do
        found=$(cat $file 2> /dev/null | grep -c "$pattern")
        [ "$found" -ge "$count" ] && break
        sleep 0.1
    done
    # shellcheck disable=SC2046  # process ids
    kill -KILL $(ps -o pid= -s $session)
    wait $session 2> /dev/null
    expect "$what: something was there to be ended" [ "$found" -ge "$count" ]
}

# ended in the middle, with no time to say anything; then it goes on
mkdir "$out/killed"
export BUILD LUABENCH_GPU_BENCH_SCALE=64
killed "bench.sh" "$out/killed/bench-trial-*.json" '"us": *[0-9]' 6 env OUT="$out/killed" bash tests/gpu/bench.sh
kept=$(times "$(echo "$out"/killed/bench-trial-*)")
OUT=$out FROM=$out/killed bash tests/gpu/bench.sh > "$out/log" 2> "$out/progress"
expect "bench.sh ends well" [ $? = 0 ]
all=$(times "$(echo "$out"/bench-trial-*)")
expect "what was measured before it was ended is as it was" [ "$kept" = "$(grep -Fxf <(echo "$kept") <<< "$all")" ]
expect "and was $(wc -l <<< "$kept") of $(wc -l <<< "$all")" [ "$(wc -l <<< "$kept")" -ge 5 ]
expect "no row is there twice" [ -z "$(FILE=$(echo "$out"/bench-trial-*) \
    lua 'for _, r in ipairs(lb.load(os.getenv "FILE").rows) do print(r.what) end' | sort | uniq -d)" ]
for row in "GEMV int4wo-128" "GEMV int8wo" "GEMM int4wo-128 M = 16" "GEMM int4wo-128 M = 256" \
    "bare cuBLASLt bf16 M = 16" "bare cuBLASLt bf16 M = 256" "bare cuBLASLt fp8" \
    "PyTorch int4 M = 1" "torch.compile" "Triton fused MoE int4, 256 tokens" \
    "MoE layer GLM-4.7-Flash fast_mixed, 1 token" \
    "MoE layer GLM-4.7-Flash fast_mixed, 256 tokens" "flash prefill bf16, head 128" \
    "flash prefill bf16, head 64" "split-KV decode" "launch, graph replay" "launch, eager from Lua"; do
    expect "row $row" grep -qE "^$row.*( us |not run: .)" "$out/log"
done
expect "what is played says so" grep -q "nothing here is a measurement" "$out/log"
expect "a result file" [ -s "$out"/bench-trial-*-played-on-the-CPU-*.json ]
expect "the layer's result file" [ -s "$out"/moe-trial-*-played-on-the-CPU-*.json ]
expect "nothing is said to be reached" grep -q "^0 goals met, 0 missed" "$out/log"
# again NAME FROM VARIABLES...: bench.sh to $out/NAME, with what is in $out/FROM; its words are in $out/NAME.log
again() {
    local name=$1 from=$2
    shift 2
    mkdir -p "$out/$name"
    env BUILD="$BUILD" LUABENCH_GPU_BENCH_SCALE=64 OUT="$out/$name" FROM="$out/$from" "$@" bash tests/gpu/bench.sh \
        > "$out/$name.log" 2> "$out/progress"
}
measured() { grep -E '^(GEMV|GEMM|launch|MoE layer).* us ' "$1" | grep -vc 'not run: '; }
rows() { lua 'print(#lb.load(os.getenv "FILE").rows)'; }

again kept . TIME=0
expect "what was measured" [ "$(measured "$out/log")" -gt 10 ]
before=$(grep -E '^(GEMV|GEMM|launch).* us ' "$out/log")
expect "FROM keeps it" [ "$(grep -E '^(GEMV|GEMM|launch).* us ' "$out/kept.log")" = "$before" ]
expect "the layer's, too" [ "$(grep -cE '^MoE layer.* us ' "$out/kept.log")" = 8 ]
expect "and what TIME left is said" grep -q "^TIME was over: FROM=$out/kept goes on" "$out/kept.log"

# the layer's scenario ended early: what it left is a part, whose cases are in the table until it runs again
mkdir "$out/cut"
cp "$out"/kept/bench-* "$out/cut"
moe=$(basename "$out"/kept/moe-*)
FILE=$out/kept/$moe PART=$out/cut/part-$moe lua 'local r = lb.load(os.getenv "FILE")
    r.cases = { r.cases[1] }
    require("luabench.sys").replace_file(os.getenv "PART", require("luabench.json").encode(r))'
again only cut "ONLY=^GEMV q4_0"
expect "ONLY runs what it names" [ "$(measured "$out/only.log")" = 1 ]
expect "and says that the layer is left out" grep -q "^moe: left out with ONLY" "$out/only.log"
expect "and keeps all rows" [ "$(FILE=$(echo "$out"/only/bench-*) rows)" = "$(FILE=$(echo "$out"/kept/bench-*) rows)" ]
expect "a part stays a part" [ "$(cd "$out/only" && echo *moe*)" = "part-$moe" ]
again whole only
expect "and is run again" [ "$(cd "$out/whole" && echo *moe*)" = "$moe" ]
expect "as a whole" grep -q "^4 ok" "$out/whole.log"

# rows whose kernels fault or hang: they say so, the others are measured
LUABENCH_GPU_BENCH_TRIES=none again faults nothing LUABENCH_FAKE_FAULTS=empty LUABENCH_FAKE_HANGS=add ROW_LIMIT=3
expect "a fault is its row's" [ "$(grep -cE '^.*launch.* not run: .*illegal memory access' "$out/faults.log")" = 5 ]
expect "what hangs is given up" \
    grep -qE '^launch, eager from Lua .* not run: still running after [345] s' "$out/faults.log"
expect "the others are there" [ "$(grep -E '^(GEMV|GEMM).* us ' "$out/faults.log" | cut -c 1-58 | sort -u)" = \
    "$(grep -E '^(GEMV|GEMM).* us ' "$out/log" | cut -c 1-58 | sort -u)" ]
expect "and measured once" [ -z "$(grep -E '^(GEMV|GEMM).* us ' "$out/faults.log" | cut -c 1-58 | sort | uniq -d)" ]

mkdir "$out/other"
for file in "$out"/kept/*-00000000.json; do cp "$file" "$out/other/$(basename "$file" 00000000.json)11111111.json"; done
again foreign other TIME=0
expect "another device's files are not taken" grep -q "other has nothing of this device" "$out/foreign.log"
expect "and nothing is measured when TIME is over" [ "$(measured "$out/foreign.log")" = 0 ]
# PyTorch's part (fake/torch.py plays it): ended by TIME while a product hangs, by a kill, refused without words; then
# all of it is there, what was measured as it was, and nothing was measured twice
if command -v python3 > /dev/null; then
    export PYTHONPATH=$PWD/tests/gpu/fake PYTHONDONTWRITEBYTECODE=1 FAKE_TORCH_LOG=$out/tried
    export LUABENCH_GPU_BENCH_TRIES=torch
    torch_times() {
        FILE=$1 lua 'for k, r in pairs(lb.load(os.getenv "FILE").rows) do print(k, r.us or r.error) end' | sort
    }
    mkdir "$out/torch"
    again torch_time kept FAKE_TORCH_HANGS=int4 FAKE_TORCH_FAILS=fp8 LIMIT=4
    first=$(torch_times "$(echo "$out"/torch_time/part-torch-*)")
    expect "LIMIT ends PyTorch, and what it measured is a part" [ "$(grep -c . <<< "$first")" = 5 ]
    expect "one that failed has no time" [ "$(grep -c 'RuntimeError$' <<< "$first")" = 1 ]
    killed "PyTorch" "$out/tried" attention 1 env OUT="$out/torch" FROM="$out/torch_time" FAKE_TORCH_HANGS=attention \
        bash tests/gpu/bench.sh
    second=$(torch_times "$(echo "$out"/torch/part-torch-*)")
    expect "a kill leaves what was measured until then" [ "$(grep -c . <<< "$second")" = 8 ]
    again torch_end torch
    third=$(torch_times "$(echo "$out"/torch_end/torch-*)")
    expect "then all of it is there" [ "$(grep -c '[0-9]$' <<< "$third")" = 11 ]
    expect "as it was" [ "$(grep -v RuntimeError <<< "$first")" = \
        "$(grep -Fxf <(grep -v RuntimeError <<< "$first") <<< "$third")" ]
    expect "and as it was at the kill" [ "$second" = "$(grep -Fxf <(echo "$second") <<< "$third")" ]
    expect "no part is left" [ ! -e "$(echo "$out"/torch_end/part-torch-*)" ]
    expect "nothing was measured twice" [ "$(sort "$out/tried" | uniq -c | tr -s ' \n' ' ')" = \
        " 2 attention 2 fp8 2 int4 2 linear 2 packing " ]
else
    echo "PyTorch's part: skipped: no python3"
fi
[ $failed = 0 ] || cat "$out"/log "$out"/*.log "$out/progress"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
