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
BUILD=$BUILD LUABENCH_GPU_BENCH_SCALE=64 OUT=$out bash tests/gpu/bench.sh > "$out/log" 2> "$out/progress"
expect "bench.sh ends well" [ $? = 0 ]
for row in "GEMV int4wo-128" "GEMV int8wo" "GEMM int4wo-128 M = 16" "GEMM int4wo-128 M = 256" "bare cuBLASLt bf16 M = 16" \
    "bare cuBLASLt bf16 M = 256" "bare cuBLASLt fp8" "PyTorch int4 M = 1" "torch.compile" "Triton fused MoE int4, 256 tokens" \
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
lua() { "$BUILD/luabench" -e "$1" "${@:2}"; }
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

mkdir "$out/other"
for file in "$out"/kept/*-00000000.json; do cp "$file" "$out/other/$(basename "$file" 00000000.json)11111111.json"; done
again foreign other TIME=0
expect "another device's files are not taken" grep -q "other has nothing of this device" "$out/foreign.log"
expect "and nothing is measured when TIME is over" [ "$(measured "$out/foreign.log")" = 0 ]
[ $failed = 0 ] || cat "$out"/log "$out"/*.log "$out/progress"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
