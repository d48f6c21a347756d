#!/usr/bin/env bash
# bench.sh: make gpu-bench: bench.lua, the MoE scenario, and PyTorch's figures where it is found (bench_torch.py). Result
# files go to $OUT or the current folder. Also from the archive of `make dist`: share/luabench/gpu/bench.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -x "$here/../../../bin/luabench" ]; then
    program=$here/../../../bin/luabench scenarios=$here/../scenarios
else
    program=${BUILD:-$here/../../build}/luabench scenarios=$here/../../scenarios
fi
gpu=${LUABENCH_GPU:-cuda:0}
OUT=${OUT:-.}
export OUT
if ! why=$("$program" -e 'io.write(lb.device(os.getenv "LUABENCH_GPU" or "cuda:0").model)' 2>&1); then
    echo "$why"
    echo "nothing was run on a GPU"
    exit 77
fi
status=0
"$program" -e "dofile '$here/bench.lua'" || status=1
"$program" "$scenarios/moe_mixed.lua" --device "$gpu" --model glm4 --tokens 1,16,64,256 --quick \
    -o "$OUT/moe-$(date -u +%Y-%m-%d).json" || status=1
if python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null; then
    python3 "$here/bench_torch.py" "$OUT/torch-$(date -u +%Y-%m-%d).json" || status=1
else
    echo "PyTorch with CUDA is not here: its figures are left out"
fi
exit $status
