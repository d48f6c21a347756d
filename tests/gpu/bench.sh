#!/usr/bin/env bash
# bench.sh: make gpu-bench: cuBLASLt called bare, PyTorch's and Triton's figures where they are found, the MoE scenario, then
# bench.lua, which prints the table of all of it. Result files go to $OUT or the current folder. Also from the archive of
# `make dist`: share/luabench/gpu/bench.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/../../../bin/luabench" ]; then
    program=$here/../../../bin/luabench scenarios=$here/../scenarios bare=$here/gpu_bare
else
    build=${BUILD:-$here/../../build}
    program=$build/luabench scenarios=$here/../../scenarios bare=$build/tests/gpu_bare
fi
gpu=${LUABENCH_GPU:-cuda:0}
OUT=${OUT:-.}
export OUT
if ! why=$("$program" -e 'io.write(lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").model)' 2>&1); then
    echo "$why"
    echo "nothing was run on a GPU"
    exit 77
fi
date=$(date -u +%Y-%m-%d)
model=$(echo "$why" | tr -cs 'A-Za-z0-9\n' '-')
scale=${LUABENCH_GPU_BENCH_SCALE:-1}
trial=
[ "$scale" = 1 ] || trial=trial-
REFERENCES=$(mktemp -d)
export REFERENCES
trap 'rm -rf "$REFERENCES"' EXIT
status=0

# another NAME COMMAND...: leaves NAME.json in $REFERENCES and beside the other results, or the reason why not in NAME.why
another() {
    local name=$1 log=$REFERENCES/$1.log
    shift
    if [ "$scale" != 1 ]; then
        echo "left out of a trial" > "$REFERENCES/$name.why"
    elif "$@" > "$log" 2>&1; then
        cp "$REFERENCES/$name.json" "$OUT/$name-$date-$model.json"
    else
        tail -n 1 "$log" > "$REFERENCES/$name.why"
    fi
    [ -s "$log" ] && cat "$log"
    [ -s "$REFERENCES/$name.why" ] && echo "$name: $(cat "$REFERENCES/$name.why")"
    return 0
}
another bare "$bare" "$REFERENCES/bare.json" "${gpu#*:}" bf16 16 8192 8192 bf16 256 8192 8192 fp8 8192 8192 8192
visible=${CUDA_VISIBLE_DEVICES:-${gpu#*:}}
another torch env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_torch.py" "$REFERENCES/torch.json"
another triton env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_moe_triton.py" "$REFERENCES/triton.json" 1 16 64 256
strategies=fast_mixed,fast_uniform small=
if [ "$scale" != 1 ]; then
    strategies=fast_mixed
    small="--hidden-dim 256 --intermediate-dim 256 --num-experts 4 --warmup-iterations 1 --measurement-iterations 2 --no-isolation"
fi
# shellcheck disable=SC2086  # options are meant to be split
"$program" "$scenarios/moe_mixed.lua" --device "$gpu" --model glm4 --tokens 1,16,64,256 --strategies $strategies \
    --quick $small -o "$REFERENCES/moe.json" || status=1
[ -f "$REFERENCES/moe.json" ] && cp "$REFERENCES/moe.json" "$OUT/moe-$trial$date-$model.json"
"$program" -e "dofile '$here/bench.lua'" || status=1
exit $status
