#!/usr/bin/env bash
# bench.sh: make gpu-bench: cuBLASLt called bare, then bench.lua, which prints a line for every goal, the MoE scenario, Triton, and
# at last PyTorch, which compiles for minutes; what these find out is added to the table. Result files go to $OUT or the
# current folder, each as soon as it is there. Also from the archive of `make dist`: share/luabench/gpu/bench.sh
# What takes longer than LIMIT (240) seconds is ended and says so. TIME=540: ends after so many seconds in all; FROM=FOLDER
# goes on from the result files there, if they are of this device.
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
trap 'rm -rf "$REFERENCES"' EXIT
export REFERENCES END=$(($(date +%s) + ${TIME:-86400}))
status=0
uuid=$("$program" -e 'io.write(tostring(lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").caps.uuid))' 2>&1)
rows=$OUT/bench-$trial$date-$model.json
if [ -n "${FROM:-}" ] && [ "$(cat "$FROM/bench-device.txt" 2> /dev/null)" = "$uuid" ]; then
    for name in bare moe triton torch; do
        for file in "$FROM/$name-$trial"2*-"$model.json"; do [ -s "$file" ] && cp "$file" "$REFERENCES/$name.json"; done
    done
    for file in "$FROM/bench-$trial"2*-"$model.json"; do
        [ -s "$file" ] && cp "$file" "$REFERENCES/rows.json" && export RESUME=$REFERENCES/rows.json
    done
elif [ -n "${FROM:-}" ]; then
    echo "$FROM has nothing of this device, $uuid: all is run"
fi
echo "$uuid" > "$OUT/bench-device.txt"
# Seconds that the next program may take; 0: TIME is over.
limit() {
    local left=$((END - $(date +%s))) most=${LIMIT:-240}
    [ $left -gt 0 ] || left=0
    echo $((left < most ? left : most))
}

# another NAME COMMAND...: leaves NAME.json in $REFERENCES and beside the other results, or the reason why not in NAME.why
another() {
    local name=$1 log=$REFERENCES/$1.log
    shift
    rm -f "$REFERENCES/$name.why"
    if [ "$scale" != 1 ]; then
        echo "left out of a trial" > "$REFERENCES/$name.why"
    elif [ -s "$REFERENCES/$name.json" ]; then
        echo "$name: kept from before"
    elif [ "$(limit)" = 0 ]; then
        echo "TIME was over" > "$REFERENCES/$name.why"
    else
        local most
        most=$(limit)
        timeout -k 5 "$most" "$@" > "$log" 2>&1
        local status=$?
        if [ $status = 124 ] || [ $status = 137 ]; then
            echo "still running after $most s" > "$REFERENCES/$name.why"
        elif [ $status != 0 ]; then
            tail -n 1 "$log" | grep . > "$REFERENCES/$name.why" || echo "status $status" > "$REFERENCES/$name.why"
        fi
    fi
    [ "$scale" = 1 ] && [ -s "$REFERENCES/$name.json" ] && cp "$REFERENCES/$name.json" "$OUT/$name-$date-$model.json"
    [ -s "$log" ] && cat "$log"
    [ -s "$REFERENCES/$name.why" ] && echo "$name: $(cat "$REFERENCES/$name.why")"
    return 0
}
# the rows so far, with what was found out since
add_late() { [ -s "$rows" ] && { LATE=$rows "$program" -e "dofile '$here/bench.lua'" || status=1; }; }
another bare "$bare" "$REFERENCES/bare.json" "${gpu#*:}" bf16 16 8192 8192 bf16 256 8192 8192 fp8 8192 8192 8192
for name in moe triton torch; do
    [ -s "$REFERENCES/$name.json" ] || echo "$name: runs after the rows above" > "$REFERENCES/$name.why"
done
"$program" -e "dofile '$here/bench.lua'" || status=1
visible=${CUDA_VISIBLE_DEVICES:-${gpu#*:}}
strategies=fast_mixed,fast_uniform small=
if [ "$scale" != 1 ]; then
    strategies=fast_mixed
    small="--hidden-dim 256 --intermediate-dim 256 --num-experts 4 --warmup-iterations 1 --measurement-iterations 2 --no-isolation"
fi
# shellcheck disable=SC2086  # options are meant to be split
[ -s "$REFERENCES/moe.json" ] || [ "$(limit)" = 0 ] || timeout -s INT -k 10 "$(limit)" "$program" "$scenarios/moe_mixed.lua" \
    --device "$gpu" --model glm4 --tokens 1,16,64,256 --strategies $strategies --quick $small -o "$REFERENCES/moe.json" ||
    status=1
[ "$(limit)" = 0 ] && echo "TIME was over" > "$REFERENCES/moe.why" || rm -f "$REFERENCES/moe.why"
[ -f "$REFERENCES/moe.json" ] && cp "$REFERENCES/moe.json" "$OUT/moe-$trial$date-$model.json"
another triton env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_moe_triton.py" "$REFERENCES/triton.json" 1 16 64 256
add_late
another torch env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_torch.py" "$REFERENCES/torch.json"
[ -s "$REFERENCES/torch.json" ] && add_late
[ "$(limit)" != 0 ] || echo "TIME was over: FROM=$OUT goes on"
exit $status
