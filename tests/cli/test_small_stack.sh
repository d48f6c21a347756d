#!/usr/bin/env bash
# test_small_stack.sh: products of many rows, of every kind of kernel that has large sums, are right where stacks have
# 256 KiB.
set -u
. "$(dirname "$0")/common.sh"
cd "$work" || exit 1
cat > many.lua <<'END'
local lb = require "luabench"
local formats = [[f32 bf16 baseline q4_k q2_k q4_0 int4wo-32 int8wo int8dq nf4 mxfp8 nvfp4 sparse24 sparse24-int8dq
  block-sparse block-sparse-int8dq trellis-2-L8]]
local x = lb.randn({ 600, 256 }, { seed = 1 }) -- columns come in two blocks
local dense = lb.randn({ 272, 256 }, { seed = 2 }) -- the last panel has 16 rows
for format in formats:gmatch "%S+" do
  local w = format == "f32" and dense or format == "bf16" and dense:to(format) or dense:quantize(format)
  for _, op in ipairs { "gemm", "linear" } do
    local plan = lb.plan()
    local check = plan[op](plan, { x = x, w = w }):check()
    print(format, op, check.passed and "right" or check.reason)
  end
end
END
levels=()
grep -qw avx2 /proc/cpuinfo && levels+=(avx2)
grep -qw avx512f /proc/cpuinfo && levels+=(avx512)
if LUABENCH_ISA=amx "$LUABENCH" -e 'lb.device "cpu"' > /dev/null 2>&1; then
    levels+=(amx)
else
    skipped=$((skipped + 1))
    echo "skipped: amx: this machine has it not, or the process no permission"
fi
for isa in "${levels[@]}"; do
    check "$isa: it ends" 0 "" env LUABENCH_ISA="$isa" bash -c 'ulimit -s 256 && exec "$@"' small \
        "$LUABENCH" many.lua --threads 2
    grep -v "right$" out > all
    [ "$(grep -c "right$" out)" = 34 ] && passed=$((passed + 1)) || say_failed "$isa: all are right"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
