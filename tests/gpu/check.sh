#!/usr/bin/env bash
# check.sh: make gpu-check: every registered CUDA kernel against the f64 oracles, on the GPU at hand, over the cases of
# tests/c/ (shapes with tails, ties, odd splits); before them plans, graphs and errors. Also from the archive of
# `make dist`:
#   share/luabench/gpu/check.sh
# A kernel is tested in processes of its own, which end after LIMIT seconds: one that is wrong, faults or hangs costs
# itself. Each result is in RESULTS/check-DATE-DEVICE.txt as soon as it is known; RESULTS is the current folder, or
# $OUT.
#   LIMIT=180 JOBS=8 (at a time)   ONLY=TEXT (kernels with it in their names)
#   RESUME=FILE: what passed there is not run again (of device_cases.lua all or nothing)
#   TIME=540: ends after so many seconds in all
#   FROM=FOLDER: goes on from the last result file there that is of a device of this model, if there is one
# What passed before stays in the file, also where ONLY leaves it out.
# Status 0: all right; 1: something failed, or TIME was over; 77: no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/../../../bin/luabench" ]; then
    program=$here/../../../bin/luabench programs=$here lib=$here/../../../lib
else
    build=${BUILD:-$here/../../build}
    program=$build/luabench programs=$build/tests lib=
fi
parts="gpu_small_kernels gpu_ops gpu_matrix_kernels"

# Tests kernel $2 of operation $3 and appends what is known then to $4.
if [ "${1:-}" = --one ]; then
    log=$(mktemp) launches=0 why= over= from=$(date +%s)
    trap 'rm -f "$log" "$log.part"' EXIT
    for part in $parts; do
        [[ $part = gpu_matrix_kernels && $3 != gemm && $3 != moe_ffn ]] && continue
        left=$((END - $(date +%s)))
        [ $left -gt 0 ] || { over=1; break; }
        # in the foreground: in its process group, which is ended as a whole
        LUABENCH_GPU_KERNEL=$2 LUABENCH_TEST_OP=$3 LUABENCH_TEST_KERNEL=$2 timeout --foreground -k 5 \
            $((left < LIMIT ? left : LIMIT)) "$programs/$part" > "$log.part" 2>&1
        status=$?
        n=$(sed -n 's/^launches: //p' "$log.part" | tail -n 1)
        launches=$((launches + ${n:-0}))
        [ $status = 0 ] && { grep 'not run:' "$log.part" >> "$log"; continue; }
        if [ $status = 124 ] || [ $status = 137 ]; then
            [ $left -lt "$LIMIT" ] && { over=1; break; }
            why="$part: still running after $LIMIT s"
        else
            why="$part: status $status"
        fi
        grep -vE '^\[ +(OK|RUN|PASSED) |^\[=+\]|^launches: ' "$log.part" >> "$log"
        break
    done
    took="$(($(date +%s) - from)) s"
    {
        flock 9
        if [ -n "$over" ]; then
            printf '%-8s %-36s %s\n' left "$2" "TIME was over, $took"
        elif [ -n "$why" ]; then
            printf '%-8s %-36s %s, %s\n' FAILED "$2" "$why" "$took"
            head -n 30 "$log" | sed 's/^/           /'
        elif [ $launches = 0 ]; then
            why=$(sed -n 's/.*not run: //p' "$log" | sort -u | head -n 1)
            printf '%-8s %-36s %s\n' "not run" "$2" "${why:-no case is for it}"
        else
            printf '%-8s %-36s %s launches, %s\n' passed "$2" "$launches" "$took"
        fi | tee -a "$4"
    } 9>> "$4"
    exit
fi

export LD_LIBRARY_PATH=${lib:+$lib:}${LD_LIBRARY_PATH:-}
export LUABENCH_CUDA=${LUABENCH_CUDA:-$(dirname "$program")/lib/luabench_cuda.so}
[ -r "$LUABENCH_CUDA" ] || LUABENCH_CUDA=$(dirname "$program")/../lib/luabench_cuda.so
if ! device=$("$program" -e 'io.write(lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").model)' 2>&1); then
    echo "$device"
    echo "nothing was run on a GPU"
    exit 77
fi
file=${OUT:-.}/check-$(date -u +%Y-%m-%d)-$(echo "$device" | tr -c 'A-Za-z0-9\n' '-').txt
before=$(mktemp)
trap 'rm -f "$before"' EXIT
facts=$("$program" -e 'local c = lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").caps
    for _, k in ipairs { "compute_capability", "driver_version", "runtime_version", "multiprocessors", "memory_bytes",
      "l2_bytes", "uuid" } do print(k, c[k]) end' 2>&1)
other= cases=
if [ -n "${FROM:-}" ]; then
    for last in "$FROM"/check-*.txt; do
        [ "$(sed -n '1s/^gpu-check, [^,]*, //p' "$last" 2> /dev/null)" = "$device" ] && RESUME=$last
    done
fi
if [ -n "${RESUME:-}" ]; then
    kept="$(sed -n '1s/^gpu-check, [^,]*, //p' "$RESUME")" uuid=$(grep -m 1 '^uuid' "$RESUME")
    [ "$uuid" = "$(grep '^uuid' <<< "$facts")" ] || other=$uuid
    if [ "$kept" != "$device" ] || { [ -n "$other" ] && [ -z "${FROM:-}" ]; }; then
        echo "$RESUME is of another device: $kept, $uuid; here is $device, $(grep '^uuid' <<< "$facts")"
        exit 2
    fi
    grep '^passed ' "$RESUME" > "$before"
    cases=$(sed '1,/^== device/d; /^== kernels/,$d' "$RESUME")
fi
say() { echo "$*" | tee -a "$file"; }
group=
ended() {
    trap '' TERM INT HUP
    [ -n "$group" ] && kill -- "-$group" 2> /dev/null && wait
    say "gpu-check: ended early; what is not above was not tested"
    exit 1
}
trap ended TERM INT HUP
export LIMIT=${LIMIT:-180} END=$(($(date +%s) + ${TIME:-86400}))
# The kernels, those that take long first. What passed before is in the new file from the start.
list=$(LUABENCH_GPU_LIST=1 timeout -k 5 60 "$programs/gpu_ops" 2>&1 | sed -n 's/^kernel //p' |
    awk '{ print ($2 == "gemm" || $2 == "moe_ffn" ? 0 : $2 == "attention" || $2 == "linear" ? 1 : 2), $0 }' |
    sort -s -n -k 1,1 | cut -d ' ' -f 2-)
{
    echo "gpu-check, $(date -u +%FT%TZ), $device"
    echo "$facts"
    [ -z "$other" ] || echo "what passed before did so on another device of this model, $other"
    if [ -z "$list" ]; then cat "$before"
    else while read -r name _; do grep -F "passed   $name " "$before"; done <<< "$list"; fi
} > "$file.new"
mv "$file.new" "$file" || exit 1
cat "$file"
[ -n "$list" ] || say "FAILED   gpu_ops                              it names no kernels"
# While device_cases.lua runs: ends it, its process id is in $BEGUN.pid, where a case takes too long.
watch_cases() {
    local took most=$((LIMIT < 60 ? LIMIT : 60))
    while sleep 1 && kill -0 $$ 2> /dev/null; do
        [ -s "$BEGUN" ] || continue
        took=$(($(date +%s) - $(stat -c %Y "$BEGUN" || date +%s)))
        [ $took -ge $most ] || continue
        echo "still running after $took s" > "$BEGUN.why"
        kill -KILL "$(cat "$BEGUN.pid")"
        return
    done
}
# device_cases.lua, again from behind a case that faults, hangs or ends it.
device_cases() {
    local left status watcher at failed what
    export BEGUN AFTER=0 LOST=0
    BEGUN=$(mktemp)
    while left=$((END - $(date +%s))) && [ $left -gt 0 ]; do
        rm -f "$BEGUN" "$BEGUN.why"
        watch_cases &
        watcher=$!
        timeout -k 5 $left bash -c 'echo $$ > "$BEGUN.pid"; exec "$@"' bash \
            "$program" -e "dofile '$here/device_cases.lua'" 2>&1 | tee -a "$file"
        status=${PIPESTATUS[0]}
        kill $watcher 2> /dev/null
        wait $watcher 2> /dev/null
        [ -s "$BEGUN" ] || break
        read -r at failed what < "$BEGUN"
        if [ -s "$BEGUN.why" ]; then printf '%-64s FAILED: %s\n' "$what" "$(cat "$BEGUN.why")" | tee -a "$file"
        elif [ $status = 124 ] || [ $status = 137 ]; then left=0 && break
        elif [ $status -ge 128 ]; then printf '%-64s FAILED: status %s\n' "$what" $status | tee -a "$file"
        elif [ $status != 75 ]; then break; fi
        AFTER=$at LOST=$((failed + 1))
    done
    rm -f "$BEGUN" "$BEGUN.why" "$BEGUN.pid"
    if [ $left -le 0 ]; then say "left     device_cases.lua                     TIME was over"
    elif [ "$status" != 0 ]; then say "FAILED   device_cases.lua                     status $status"; fi
}
say "== device"
if grep -qE '^[1-9][0-9]* passed, 0 failed' <<< "$cases"; then
    say "$cases"                     # as kernels that passed
else device_cases; fi
say "== kernels"
set -m                                  # what follows is a process group of its own
while read -r name op more; do
    if [ -z "$name" ] || [[ $name != *"${ONLY:-}"* ]] || grep -qF "passed   $name " "$before"; then continue
    elif [ -n "$more" ]; then printf '%-8s %-36s %s\n' "not run" "$name" "$more" | tee -a "$file" >&2
    else echo "$name $op"; fi
done <<< "$list" |
    xargs -r -P "${JOBS:-8}" -L 1 bash -c 'exec bash "$0" --one "$2" "$3" "$1"' "$here/check.sh" "$file" &
last=$! group=$(jobs -p)
set +m
wait $last
group=
count() { grep -c "^$1 " "$file"; }
say "$(count passed) kernels passed, $(count FAILED) failed, $(count 'not run') not run"
if [ "$(count FAILED)" != 0 ]; then say "gpu-check: FAILED"
elif [ "$(count passed)" = 0 ] && [ "$(count left)" = 0 ]; then say "gpu-check: FAILED: no kernel was tested"
elif [ "$(count left)" = 0 ]; then say "gpu-check: all passed"; fi
[ "$(count left)" = 0 ] || say "gpu-check: TIME was over, $(count left) are left: RESUME=$file goes on"
echo "written: $file"
grep -q '^gpu-check: all passed' "$file"
