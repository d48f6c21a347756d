#!/usr/bin/env bash
# bench.sh: make gpu-bench: cuBLASLt called bare, then bench.lua, which prints a line for every goal, the MoE scenario,
# Triton, and at last PyTorch, which compiles for minutes; what these find out is added to the table. Result files go to
# $OUT or the current folder, each as soon as it is there. Also from the archive of `make dist`:
# share/luabench/gpu/bench.sh What takes longer than LIMIT (240) seconds is ended and says so; what it left, or what is
# there when all of this is ended, is part-NAME-DATE-DEVICE.json. TIME=540: ends after so many seconds in all.
# ROW_LIMIT=120: seconds after which a row of bench.lua is given up. FROM=FOLDER goes on from the result files there
# that are of this device. ONLY=PATTERN (Lua's): only rows whose names match are measured, the others stay as they
# were, and no other program is run. Status 0: it ran to its end, also where TIME was over; rows say why they are not
# there. 1: bench.lua or the MoE scenario failed. 77: no GPU.
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
scale=${LUABENCH_GPU_BENCH_SCALE:-1}
trial=
[ "$scale" = 1 ] || trial=trial-
# $OUT/bench-LABEL.json, and LABEL is [trial-]DATE-KEY; KEY: the model and the beginning of the uuid
rows=$(LUABENCH_GPU_BENCH_FILE=1 "$program" -e "dofile '$here/bench.lua'") || exit 1
label=${rows##*/bench-} label=${label%.json}
key=${label#"$trial"????-??-??-}
REFERENCES=$(mktemp -d)
trap 'rm -rf "$REFERENCES"' EXIT
export REFERENCES ROWS=$rows END=$(($(date +%s) + ${TIME:-86400}))
status=0 found=
# earlier NAME AS: the last NAME file in $FROM becomes AS
earlier() {
    local file last=
    for file in "$FROM/$1-$trial"????-??-??-"$key.json"; do [ -s "$file" ] && last=$file; done
    [ -n "$last" ] && cp "$last" "$2" && found=1
}
if [ -n "${FROM:-}" ] && [[ $key != *-no-uuid ]]; then
    for name in bare moe triton torch; do
        if earlier $name "$REFERENCES/$name.json"; then touch "$REFERENCES/$name.whole"
        else earlier part-$name "$REFERENCES/$name.json"; fi
    done
    earlier bench "$REFERENCES/rows.json" && export RESUME=$REFERENCES/rows.json
fi
[ -z "${FROM:-}" ] || [ -n "$found" ] || echo "$FROM has nothing of this device, $key: all is run"
# Seconds that the next program may take; 0: TIME is over.
limit() {
    local left=$((END - $(date +%s))) most=${LIMIT:-240}
    [ $left -gt 0 ] || left=0
    echo $((left < most ? left : most))
}

# Where a program writes: it is there whatever ends it.
part() { echo "$OUT/part-$1-$label.json"; }
# keep NAME: beside the other results what it left, as a part where it did not come to its end
keep() {
    [ -s "$REFERENCES/$1.json" ] || return 0
    if [ -e "$REFERENCES/$1.whole" ]; then
        cp "$REFERENCES/$1.json" "$OUT/$1-$label.json" && rm -f "$(part "$1")" "$(part "$1").journal"
    else cp "$REFERENCES/$1.json" "$(part "$1")"; fi
}

# another NAME SIGNAL COMMAND...: a program that writes to $(part NAME), where it finds what was there before. Leaves
# NAME.json in $REFERENCES and beside the other results, and in NAME.why why not all of it is there. 1: it failed.
another() {
    local name=$1 signal=$2 log=$REFERENCES/$1.log most ended=0
    shift 2
    rm -f "$REFERENCES/$name.why"
    most=$(limit)
    if [ "$scale" != 1 ] && [[ " ${LUABENCH_GPU_BENCH_TRIES:-moe} " != *" $name "* ]]; then
        echo "left out of a trial" > "$REFERENCES/$name.why"
    elif [ -e "$REFERENCES/$name.whole" ]; then
        echo "$name: kept from before"
    elif [ -n "${ONLY:-}" ]; then
        echo "left out with ONLY" > "$REFERENCES/$name.why"
    elif [ "$most" = 0 ]; then
        echo "TIME was over" > "$REFERENCES/$name.why"
    else
        rm -f "$(part "$name")" "$(part "$name").journal"
        [ ! -s "$REFERENCES/$name.json" ] || cp "$REFERENCES/$name.json" "$(part "$name")"
        timeout -s "$signal" -k 10 "$most" "$@" > "$log" 2>&1
        ended=$?
        [ ! -s "$(part "$name")" ] || cp "$(part "$name")" "$REFERENCES/$name.json"
        if [ $ended = 0 ]; then
            touch "$REFERENCES/$name.whole"
        elif [ $ended = 124 ] || [ $ended = 137 ]; then
            echo "still running after $most s" > "$REFERENCES/$name.why"
            ended=0
        else
            tail -n 1 "$log" | grep . > "$REFERENCES/$name.why" || echo "status $ended" > "$REFERENCES/$name.why"
        fi
    fi
    keep "$name"
    [ -s "$log" ] && cat "$log"
    [ -s "$REFERENCES/$name.why" ] && echo "$name: $(cat "$REFERENCES/$name.why")"
    [ $ended = 0 ]
}
# the rows so far, with what was found out since
add_late() { [ -s "$rows" ] && { LATE=$rows "$program" -e "dofile '$here/bench.lua'" || status=1; }; }
another bare TERM "$bare" "$(part bare)" "${gpu#*:}" bf16 16 8192 8192 bf16 256 8192 8192 fp8 8192 8192 8192
for name in moe triton torch; do
    [ -e "$REFERENCES/$name.whole" ] || echo "$name: runs after the rows above" > "$REFERENCES/$name.why"
done
# While this script runs: ends bench.lua, whose process id is in $WATCH/pid, where a row takes too long, or goes on when
# TIME was over half a minute ago.
watch_rows() {
    local now took
    while sleep 1 && kill -0 $$ 2> /dev/null; do
        [ -s "$WATCH/begun" ] || continue
        now=$(date +%s)
        took=$((now - $(stat -c %Y "$WATCH/begun" || echo "$now")))
        [ $took -ge "$ROW_LIMIT" ] || [ "$now" -ge $((END + 30)) ] || continue
        echo "still running after $took s" > "$WATCH/why"
        kill -KILL "$(cat "$WATCH/pid")"
        sleep 1
    done
}
# bench.lua, again from behind a row that faulted, hung or ended it: that row says so, the others are measured.
measure() {
    local ended watcher
    export WATCH=$REFERENCES/watch ROW_LIMIT=${ROW_LIMIT:-120}
    mkdir "$WATCH"
    watch_rows &
    watcher=$!
    for _ in {1..40}; do
        rm -f "$WATCH/begun" "$WATCH/why"
        bash -c 'echo $$ > "$WATCH/pid"; exec "$@"' bash "$program" -e "dofile '$here/bench.lua'"
        ended=$?
        [ -s "$WATCH/why" ] || echo "ended by signal $((ended - 128))" > "$WATCH/why"
        case $ended in
            75) ;;
            134 | 135 | 136 | 137 | 139)
                [ -s "$WATCH/begun" ] || break
                printf '%s\t%s\n' "$(cat "$WATCH/begun")" "$(cat "$WATCH/why")" >> "$WATCH/lost" ;;
            *) break ;;
        esac
        [ ! -s "$rows" ] || export RESUME=$rows
    done
    kill $watcher
    unset WATCH
    return $ended
}
measure || status=1
visible=${CUDA_VISIBLE_DEVICES:-${gpu#*:}}
strategies=fast_mixed,fast_uniform small=
if [ "$scale" != 1 ]; then
    strategies=fast_mixed
    small="--hidden-dim 256 --intermediate-dim 256 --num-experts 4 --warmup-iterations 1"
    small="$small --measurement-iterations 2 --no-isolation"
fi
# shellcheck disable=SC2086  # options are meant to be split
another moe INT "$program" "$scenarios/moe_mixed.lua" --device "$gpu" --model glm4 --tokens 1,16,64,256 \
    --strategies $strategies --quick $small -o "$(part moe)" || status=1
another triton TERM env CUDA_VISIBLE_DEVICES="$visible" \
    python3 "$here/bench_moe_triton.py" "$(part triton)" 1 16 64 256
add_late
another torch TERM env CUDA_VISIBLE_DEVICES="$visible" python3 "$here/bench_torch.py" "$(part torch)"
[ -s "$REFERENCES/torch.json" ] && add_late
[ "$(limit)" != 0 ] || echo "TIME was over: FROM=$OUT goes on"
exit $status
