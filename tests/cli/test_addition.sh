#!/usr/bin/env bash
# Adding a weight format and a kernel touches one file and one line each, and both are then tested without editing a
# test:
# in a copy of the tree, the example in addition/ is added, built and found by the suites; made wrong, it fails them.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() { # check WHAT CONDITION-STATUS
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

objects=${BUILD:-build}
cp -a Makefile engine kernels lua scenarios tests vendor "$work"/
mkdir -p "$work/build"
cp -a "$objects/obj" "$objects/flags" "$objects/version.h" "$work/build/" # so that only what is new gets compiled
check "the built objects are there" $?
here=tests/cli/addition
cp $here/q8_64.c "$work/kernels/quant/q8_64.c"
sed 's/WRONG_BY/0.0/' $here/gemm_q8_64_portable.c > "$work/kernels/cpu/gemm_q8_64_portable.c"
sed -i -e 's/^LB_KERNEL_X86(gemm_q8_0_avx512)$/&\nLB_KERNEL(gemm_q8_64_portable)/' \
    -e 's/^LB_QUANTIZER(q8_0)$/&\nLB_QUANTIZER(q8_64)/' "$work/kernels/registry.def"
check "two lines were added" \
    "$([ "$(diff kernels/registry.def "$work/kernels/registry.def" | grep -c '^>')" = 2 ]; echo $?)"

cd "$work" || exit 1
build() { make -s -j2 CUDA=0 all build/tests/test_matrix_kernels build/tests/test_quantizers > build/log 2>&1; }
export LUABENCH_TEST_FORMAT=q8_64 # of the kernels' suite only what meets the new format; test_quantizers tries all
build
check "the copy builds" $?
[ $failed -eq 0 ] || tail -20 build/log
export LUABENCH_TREE=$work
build/luabench list quantizers | grep -q q8_64
check "list quantizers names it" $?
build/luabench list kernels | grep -q gemm.q8_64.portable
check "list kernels names it" $?
build/tests/test_quantizers > build/quantizers.log 2>&1
check "the quantizers' suite passes" $?
build/tests/test_matrix_kernels > build/kernels.log 2>&1
check "the kernels' suite passes" $?
build/luabench -e 'local w = lb.randn({ 9, 128 }, { seed = 2 }):quantize "q8_64"
  local p = lb.plan():gemm { x = lb.randn({ 2, 128 }, { seed = 1 }), w = w }
  assert(p:check().passed and p:steps()[1].kernel == "gemm.q8_64.portable")'
check "a plan takes the kernel, checked" $?

sed 's/WRONG_BY/1.0/' tests/cli/addition/gemm_q8_64_portable.c > kernels/cpu/gemm_q8_64_portable.c
build
check "the wrong one builds" $?
build/tests/test_matrix_kernels > build/kernels.log 2>&1
check "made wrong, the kernels' suite fails" $(($? == 0))
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
