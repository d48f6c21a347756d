#!/usr/bin/env bash
# bench.sh: make gpu-bench: cuBLASLt called bare, the MoE scenario, Triton, then bench.lua, which prints a line for every goal,
# and at last PyTorch, which compiles for minutes. Result files go to $OUT or the current folder, each as soon as it is
# there. Also from the archive of `make dist`: share/luabench/gpu/bench.sh
# What takes longer than LIMIT (240) seconds is ended and says so. After an end from outside: REFERENCES=FOLDER keeps other
# programs' figures for the next time, RESUME=bench-DATE-DEVICE.json the rows.
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
if [ -z "${REFERENCES:-}" ]; then
    REFERENCES=$(mktemp -d)
    trap 'rm -rf "$REFERENCES"' EXIT
fi
mkdir -p "$REFERENCES"
export REFERENCES
limit=${LIMIT:-240}
status=0

# another NAME COMMAND...: leaves NAME.json in $REFERENCES and beside the other results, or the reason why not in NAME.why
another() {
    local name=$1 log=$REFERENCES/$1.log
    shift
    rm -f "$REFERENCES/$name.why"
    if [ "$scale" != 1 ]; then
        echo "left out of a trial" > "$REFERENCES/$name.why"
    elif [ -s "$REFERENCES/$name.json" ]; then
        echo "$name: kept from before"
    else
        timeout -k 5 "$limit" "$@" > "$log" 2>&1
        local status=$?
        if [ $status = 124 ] || [ $status = 137 ]; then
            echo "still running after $limit s" > "$REFERENCES/$name.why"
        elif [ $status != 0 ]; then
            tail -n 1 "$log" | grep . > "$REFERENCES/$name.why" || echo "status $status" > "$REFERENCES/$name.why"
        fi
    fi
    [ "$scale" = 1 ] && [ -s "$REFERENCES/$name.json" ] && cp "$REFERENCES/$name.json" "$OUT/$name-$date-$model.json"
    [ -s "$log" ] && cat "$log"
    [ -s "$REFERENCES/$name.why" ] && echo "$name: $(cat "$REFERENCES/$name.why")"
    return 0
}
another bare "$bare" "$REFERENCES/bare.json" "${gpu#*:}" bf16 16 8192 8192 bf16 256 8192 8192 fp8 8192 8192 8192
visible=${CUDA_VISIBLE_DEVICES:-${gpu#*:}}
strategies=fast_mixed,fast_uniform small=
if [ "$scale" != 1 ]; then
    strategies=fast_mixed
    small="--hidden-dim 256 --intermediate-dim 256 --num-experts 4 --warmup-iterations 1 --measurement-iterations 2 --no-isolation"
fi
# shellcheck disable=SC2086  # options are meant to be split
[ -s "$REFERENCES/moe.json" ] || timeout -k 5 "$limit" "$program" "$scenarios/moe_mixed.lua" --device "$gpu" --model glm4 \
    --tokens 1,16,64,256 --strategies $strategies --quick $small -o "$REFERENCES/moe.json" || status=1
[ -f "$REFERENCES/moe.json" ] && cp "$REFERENCES/moe.json" "$OUT/moe-$trial$date-$model.json"
another triton env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_moe_triton.py" "$REFERENCES/triton.json" 1 16 64 256
echo "torch: runs after the table" > "$REFERENCES/torch.why"
"$program" -e "dofile '$here/bench.lua'" || status=1
another torch env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_torch.py" "$REFERENCES/torch.json"
rows=$OUT/bench-$date-$model.json
[ "$scale" = 1 ] && [ -s "$rows" ] && { LATE=$rows "$program" -e "dofile '$here/bench.lua'" || status=1; }
exit $status
