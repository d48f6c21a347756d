#!/usr/bin/env bash
# check.sh: make gpu-check: every registered CUDA kernel against the f64 oracles, on the GPU at hand, over the cases of
# tests/c/ (shapes with tails, ties, odd splits); then plans, graphs and errors on it. Also from the archive of `make dist`:
#   share/luabench/gpu/check.sh
# Writes RESULTS/check-DATE-DEVICE.txt; RESULTS is the current folder, or $OUT. Status 0: all right; 77: no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/../../../bin/luabench" ]; then
    program=$here/../../../bin/luabench programs=$here lib=$here/../../../lib
else
    build=${BUILD:-$here/../../build}
    program=$build/luabench programs=$build/tests lib=
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
failed=0
{
    echo "gpu-check, $(date -u +%FT%TZ), $device"
    "$program" -e 'local c = lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").caps
        for _, k in ipairs { "compute_capability", "driver_version", "runtime_version", "multiprocessors", "memory_bytes",
          "l2_bytes", "uuid" } do print(k, c[k]) end'
    for part in gpu_small_kernels gpu_ops gpu_matrix_kernels; do
        echo "== $part"
        "$programs/$part" 2>&1 || failed=1
    done
    echo "== device"
    "$program" -e "dofile '$here/device_cases.lua'" 2>&1 || failed=1
    [ $failed = 0 ] && echo "gpu-check: all passed" || echo "gpu-check: FAILED"
} 2>&1 | tee "$file"
echo "written: $file"
grep -q '^gpu-check: all passed' "$file"
