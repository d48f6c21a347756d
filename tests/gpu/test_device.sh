#!/usr/bin/env bash
# test_device.sh: the engine's CUDA device on one that is played on the CPU (device_cases.lua, played_cases.lua),
# and what is missing is said.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
program=${LUABENCH:-$PWD/$BUILD/luabench}
passed=0 failed=0
fake=$PWD/$BUILD/tests/fake_cuda.so
export LUABENCH_FAKE=memory=256 LUABENCH_CUDA_LIBRARIES=$PWD/$BUILD/tests/fake_cuda
graphs=$(mktemp)
trap 'rm -f "$graphs"' EXIT
out=$(LUABENCH_CUDA=$fake LUABENCH_FAKE_GRAPHS=$graphs "$program" -e 'dofile "tests/gpu/device_cases.lua"' 2>&1)
echo "$out"
read -r p _ f _ <<< "$(echo "$out" | grep -E '^[0-9]+ passed' | tail -n 1)"
passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))

# One whose graphs take no choices but the smallest: the host reads what picks name, and it is said.
out=$(LUABENCH_CUDA=$fake LUABENCH_FAKE=memory=256,bodies=1 CASES=^conditions: \
    "$program" -e 'dofile "tests/gpu/device_cases.lua"' 2>&1)
echo "$out" | grep -v ' ok$'
read -r p _ f _ <<< "$(echo "$out" | grep -E '^[0-9]+ passed' | tail -n 1)"
passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))

# What it made and launched; and one that takes the first choice and no other.
for settings in memory=256 memory=256,choices=1; do
    out=$(LUABENCH_CUDA=$fake LUABENCH_FAKE=$settings LUABENCH_FAKE_GRAPHS=$graphs "$program" -e \
        'dofile "tests/gpu/played_cases.lua"' 2>&1)
    echo "$out"
    read -r p _ f _ <<< "$(echo "$out" | grep -E '^[0-9]+ passed' | tail -n 1)"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
done

# A model, by the CUDA kernels: the emulator runs them.
out=$(LUABENCH_CUDA=$fake LUABENCH_FAKE_KERNELS=$PWD/$BUILD/tests/emulated.so CASES='^a model' "$program" -e \
    'dofile "tests/gpu/device_cases.lua"' 2>&1)
echo "$out"
read -r p _ f _ <<< "$(echo "$out" | grep -E '^[0-9]+ passed' | tail -n 1)"
passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))

# The management library of the played device: energy, clocks, throttling.
for settings in memory=256 memory=256,throttled=1; do
    out=$(LUABENCH_CUDA=$fake LUABENCH_FAKE=$settings \
        LD_LIBRARY_PATH=$PWD/$BUILD/tests/fake_nvml${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
        "$program" -e 'dofile "tests/gpu/nvml_cases.lua"' 2>&1)
    echo "$out"
    read -r p _ f _ <<< "$(echo "$out" | grep -E '^[0-9]+ passed' | tail -n 1)"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
done

# says WHAT PATTERN ENVIRONMENT... -- CODE
says() {
    local what=$1 pattern=$2 got
    shift 2
    got=$(env "$@" "$program" -e 'print(select(2, pcall(lb.device, "cuda:0")))' 2>&1)
    if [[ $got =~ $pattern ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "$what: got: $got"; fi
}
says "a CUDA part that is not there" 'LUABENCH_CUDA names /nowhere.so, which cannot be read' LUABENCH_CUDA=/nowhere.so
alone=$(mktemp -d)
cp "$program" "$alone/luabench"
got=$(LUABENCH_CUDA= LUABENCH_LUA=$PWD/lua "$alone/luabench" -e 'print(select(2, pcall(lb.device, "cuda:0")))' 2>&1)
rm -rf "$alone"
if [[ $got == *"no CUDA part, $alone/lib/luabench_cuda.so: either it was not copied"*"or it was not built"* ]]; then
    passed=$((passed + 1))
else failed=$((failed + 1)); echo "no CUDA part: got: $got"; fi
says "a driver too old" 'driver is too old: it knows CUDA 12.4' "LUABENCH_CUDA=$fake" LUABENCH_FAKE=driver=12040
says "no device" 'shows no device' "LUABENCH_CUDA=$fake" LUABENCH_FAKE=devices=0
says "an old device" 'compute capability 7.5; the kernels need 8.0' "LUABENCH_CUDA=$fake" LUABENCH_FAKE=cc=75
if [ ! -e /dev/nvidiactl ] && [ -r "$PWD/$BUILD/lib/luabench_cuda.so" ]; then
    says "no driver" 'no NVIDIA driver' LUABENCH_CUDA=
fi
got=$(LUABENCH_CUDA=$fake LUABENCH_CUDA_LIBRARIES=/nowhere "$program" -e 'lb.kernel.compile {
    op = "fill", name = "mine", device = "cuda:0", grid = 1, block = 1,
    source = "__global__ void kernel(float *out) { out[0] = 1; }" }' 2>&1)
if [[ $got == *"NVRTC was not found"*"LUABENCH_CUDA_LIBRARIES"* ]]; then passed=$((passed + 1))
else failed=$((failed + 1)); echo "no NVRTC: got: $got"; fi
# NVIDIA's own NVRTC, where a toolkit is: it takes the options and compiles, with the builtins that lie beside it; the
# played device cannot load what it makes.
toolkit=${CUDA_HOME:-/usr/local/cuda}/lib64
if compgen -G "$toolkit/libnvrtc.so.1*" > /dev/null; then
    got=$(LUABENCH_CUDA=$fake LUABENCH_CUDA_LIBRARIES=$toolkit "$program" -e 'lb.kernel.compile {
        op = "fill", name = "mine", device = "cuda:0", grid = "out_numel", block = 1, source =
        "__global__ void kernel(float *out, float value, int64_t out_numel) { out[blockIdx.x] = value; }" }' 2>&1)
    if [[ $got == *"loading: an error"* ]]; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "NVRTC: got: $got"; fi
else
    echo "NVIDIA's own NVRTC: skipped: no libnvrtc in $toolkit"
fi
# A fault costs one case: it is named, and the next begins in another worker.
work=$(mktemp -d)
got=$(LUABENCH_CUDA=$fake LUABENCH_FAKE=memory=2000 "$program" tests/gpu/fault_scenario.lua --device cuda:0 --quick \
    --max-time 0.1 --output-dir "$work" 2>&1)
rm -rf "$work"
if [[ $got == *"fill by fill.f32.fake_fault"*"illegal memory access"*"1 ok, 1 failed"* ]]; then passed=$((passed + 1))
else failed=$((failed + 1)); echo "a faulting case: got: $got"; fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
