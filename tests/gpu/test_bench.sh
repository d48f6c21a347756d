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
    "MoE layer GLM-4.7-Flash fast_mixed, 1 token" "MoE layer GLM-4.7-Flash fast_mixed, 256 tokens" "flash prefill bf16, head 128" \
    "flash prefill bf16, head 64" "split-KV decode" "launch, graph replay" "launch, eager from Lua"; do
    expect "row $row" grep -qE "^$row.*( us |not run: .)" "$out/log"
done
expect "what is played says so" grep -q "nothing here is a measurement" "$out/log"
expect "a result file" [ -s "$out"/bench-trial-*-played-on-the-CPU.json ]
expect "the layer's result file" [ -s "$out"/moe-trial-*-played-on-the-CPU.json ]
expect "nothing is said to be reached" grep -q "^0 goals met, 0 missed" "$out/log"
mkdir "$out/again"
BUILD=$BUILD LUABENCH_GPU_BENCH_SCALE=64 OUT=$out/again FROM=$out TIME=0 bash tests/gpu/bench.sh > "$out/log2" 2> "$out/progress"
expect "FROM keeps what was measured" [ "$(grep -cE '^(GEMV|GEMM|split-KV|flash|MoE layer).* us ' "$out/log")" = \
    "$(grep -cE '^(GEMV|GEMM|split-KV|flash|MoE layer).* us ' "$out/log2")" ]
expect "and what TIME left is said" grep -q "^TIME was over: FROM=$out/again goes on" "$out/log2"
[ $failed = 0 ] || cat "$out/log" "$out/log2" "$out/progress"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
