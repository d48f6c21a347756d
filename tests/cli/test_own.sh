#!/usr/bin/env bash
# test_own.sh: kernels of one's own as a user sees them: a good one is timed, and a wrong, crashing, hanging or broken
# one is a row that says so; no compiler; the example.
set -u
cd "$(dirname "$0")/../.."
tree=$PWD
. tests/cli/common.sh
cd "$work" || exit 1
cat > faults.lua <<'END'
local lb = require "luabench"
local BODY = {
  good = "",
  wrong = "if (begin == 0) out[0] += 0.5f;",
  poison = "out[begin] = 0.0f / 0.0f;",
  crash = "volatile long at = 8; *(volatile int *)at = 1;",
  hang = "for (volatile int i = 1; i;) { }",
  broken = "out[0] = nothing;",
}
return lb.scenario {
  about = "kernels of one's own, good and bad",
  grid = lb.grid { { "kind", { "good", "wrong", "poison", "crash", "hang", "broken" } } },
  case = function(g, opt)
    local k = lb.kernel.compile { op = "add", name = g.kind, split = "a_rows", source = [[
      void kernel(const float *a, const float *b, float *out, long a_cols, long begin, long end) {
        for (long i = begin * a_cols; i < end * a_cols; i++) out[i] = a[i] + b[i];
        ]] .. BODY[g.kind] .. "}" }
    local x = lb.randn({ 8, 64 }, { seed = 1, device = opt.device })
    return lb.plan(opt.device):call(k, { a = x, b = x })
  end,
}
END
run() { "$LUABENCH" "$@" > out 2> err; echo $?; }
holds "the statuses of good and bad kernels" test "$(run faults.lua --quick --max-time 0.05 \
    --kind good,wrong,poison,crash,broken -o r.json)" = 1
for row in '^good .*(ns|us)' '^wrong +failed: .*NMSE' '^poison +failed: ' \
    '^crash +crashed: killed by SIGSEGV.*check before' \
    '^broken +failed: .*does not compile .*compiler.: source: .*error: .*nothing' \
    '1 ok, 3 failed, 1 crashed'; do
    holds "row /$row/" grep -Eq "$row" out
done
holds "the record names the kernel" grep -q '"kernel": "add.any.good"' r.json
holds "its source" grep -Eq '"source": "faults.lua, source [0-9a-f]{16}"' r.json
holds "and why it ran" grep -q '"why": "asked for"' r.json
holds "objects are kept" sh -c 'ls cache/luabench/kernels/*.so'
holds "nothing half-made is left" sh -c '! ls cache/luabench/kernels | grep -q "^new-"'
holds "no temporary folder is left" sh -c '! ls tmp | grep -q luabench-'
holds "an endless loop" test "$(run faults.lua --quick --kind hang --timeout 4)" = 1
holds "is ended" grep -Eq '^hang +timeout: no end within 4 s' out
# The folder cannot be made: a file is in its way. It works all the same.
holds "a cache that cannot be written" \
    test "$(XDG_CACHE_HOME=/dev/null run faults.lua --quick --max-time 0.05 --only kind=good)" = 0
holds "no compiler" test "$(CC="no-such-cc -x" XDG_CACHE_HOME=$work/other run faults.lua --quick --only kind=good)" = 1
holds "no compiler is said" grep -q 'no C compiler: $CC is "no-such-cc -x".*install one' out
holds "a compiler that fails" test "$(CC=false XDG_CACHE_HOME=$work/other run faults.lua --quick --only kind=good)" = 1
holds "how it failed is said" grep -q 'no C compiler: $CC is "false": exit status 1' out
holds "the example" test "$(run "$tree/scenarios/own_kernel.lua" --quick --max-time 0.05 --n 64 --k 256)" = 0
holds "the example compares" grep -Eq '^ *own ' out
echo "$passed passed, $failed failed"
[ $failed = 0 ]
