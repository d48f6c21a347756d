#!/usr/bin/env bash
# test_compare.sh: `luabench compare` from outside: exit statuses, files, refusals; on results made here, and on real
# runs.
set -u
. "$(dirname "$0")/common.sh"

cd "$work" || exit 1
# make NAME SEED [CHANGE]: a result of four cases in eight processes each; CHANGE is Lua that sees r, its cases c1 to
# c4.
cat > make.lua <<'END'
local lb = require "luabench"
local name, seed, change = ...
local r = { schema = "luabench/1", run = { id = name }, machine = { cpu = "C" }, cases = {} }
for i = 1, 4 do
  local z, p = lb.randn({ 8 }, { seed = seed * 10 + i }):totable(), {}
  for k = 1, 8 do p[k] = { median_ns = 1000 * i * (1 + 0.002 * z[k]) } end
  r.cases[i] = { scenario = "s", case = "m=" .. i, axes = { m = i }, status = "ok", processes = p,
    time = { median = 1000 * i } }
end
if change then
  local f = assert(loadstring("local r, c1, c2, c3, c4 = ... " .. change))
  f(r, unpack(r.cases))
end
lb.save(name, r)
END
make() { "$LUABENCH" make.lua "$@"; }
slow='for _, p in ipairs(c2.processes) do p.median_ns = p.median_ns * 1.06 end'
make base.json 1
make same.json 2
make slow.json 3 "$slow"
make slow.json.gz 3 "$slow"
make fast.json 4 "${slow/1.06/0.9}"
make broken.json 5 'c3.status = "crashed" c3.reason = "killed by SIGSEGV" c3.time = nil'
make single.json 6 "$slow for _, c in ipairs(r.cases) do c.processes = { c.processes[1] } end"
make cpu.json 7 "$slow r.machine.cpu = \"D\""
make fewer.json 8 'r.cases[4] = nil r.cases[3].axes = { m = 33 } r.cases[3].case = "m=33"'
make none.json 9 'for i, c in ipairs(r.cases) do c.scenario = "t" end'

check "the same" 0 "no regression found: 4 same" "$LUABENCH" compare base.json same.json
check "a regression" 1 "m=2 .*\+[56]\.[0-9]+ % .*slower" "$LUABENCH" compare base.json slow.json
check "which case it is" 1 "^  slower: s m=2$" "$LUABENCH" compare base.json slow.json
check "compressed" 1 "REGRESSION" "$LUABENCH" compare base.json slow.json.gz
check "a gain is no regression" 0 "1 faster" "$LUABENCH" compare base.json fast.json
check "below the threshold" 0 "no regression found: 4 same" "$LUABENCH" compare base.json slow.json --threshold 10%
check "a threshold as a share" 1 "from 1.00 % on" "$LUABENCH" compare base.json slow.json --threshold 0.01
check "a case that broke" 1 "broken: s m=3" "$LUABENCH" compare base.json broken.json
check "single processes decide nothing" 0 "needs several processes on both sides" \
    "$LUABENCH" compare base.json single.json
check "another machine is refused" 2 "different machines .CPU: C in BASE, D in NEW.; --different-machines" \
    "$LUABENCH" compare base.json cpu.json
check "unless told" 1 "REGRESSION" "$LUABENCH" compare base.json cpu.json --different-machines
check "or forced" 1 "REGRESSION" "$LUABENCH" compare base.json cpu.json --force
check "missing and new cases" 0 "2 same, 2 missing in NEW, 1 only in NEW" "$LUABENCH" compare base.json fewer.json
check "nothing in common" 2 "no case in common" "$LUABENCH" compare base.json none.json
check "files in two formats" 1 "REGRESSION" "$LUABENCH" compare base.json slow.json -o c.md -o c.json -o c.txt
check "Markdown" 0 "" grep -q '^| m=2 |.* \*\*slower\*\* |' c.md
check "JSON" 0 "" grep -q '"schema": "luabench-compare/1"' c.json
check "text" 0 "" grep -q '^REGRESSION' c.txt
check "Markdown on the standard output" 1 "^### luabench: REGRESSION" \
    "$LUABENCH" compare base.json slow.json --format md
check "only there" 1 "^### luabench: REGRESSION" "$LUABENCH" compare base.json slow.json --format md -o -
check "quiet" 1 "" "$LUABENCH" compare base.json slow.json --quiet
check "quiet says nothing" 0 "" test ! -s all
if command -v python3 > /dev/null; then
    check "python reads the JSON" 0 "" python3 -c '
import json
c = json.load(open("c.json"))
assert c["regression"] is True and [r["verdict"] for r in c["rows"]] == ["same", "slower", "same", "same"], c
assert c["rows"][1]["ci95"][0] > 1.02 and c["rows"][1]["processes"] == [8, 8]
assert c["counts"] == {"same": 3, "slower": 1}'
fi

check "help" 0 "--threshold SHARE" "$LUABENCH" compare --help
check "a file is missing" 2 "missing argument 'new'" "$LUABENCH" compare base.json
check "no such file" 2 "nope.json: no such file" "$LUABENCH" compare base.json nope.json
check "not a result" 2 "no result of luabench" sh -c "echo '{}' > x.json; '$LUABENCH' compare base.json x.json"
check "cut off" 2 "y.json: " sh -c "head -c 300 base.json > y.json; '$LUABENCH' compare base.json y.json"
check "a bad threshold" 2 'between 0 and 1, as 2% or 0.02, got "200%"' \
    "$LUABENCH" compare base.json same.json --threshold 200%
check "an unknown metric" 2 'did you mean "time"' "$LUABENCH" compare base.json same.json --metric tiem
check "an unknown option" 2 "did you mean '--threshold'" "$LUABENCH" compare base.json same.json --treshold 1%
check "a file of no kind" 2 "ends in .md, .json or .txt" "$LUABENCH" compare base.json same.json -o c.pdf

# ---- real runs: their processes are the values ----
cat > s.lua <<'END'
local lb = require "luabench"
return lb.scenario { about = "a product", grid = lb.grid { m = { 1 } }, case = function(g, opt)
  return lb.plan(opt.device):gemm { x = lb.randn({ g.m, 256 }, { seed = 1 }), w = lb.randn({ 256, 256 }, { seed = 2 }) }
end }
END
run=(s.lua --quick --threads 1 --measurement-iterations 6 --warmup-iterations 1 --quiet --cache hot)
check "a run" 0 "" "$LUABENCH" "${run[@]}" --processes 3 -o r1.json
check "another" 0 "" "$LUABENCH" "${run[@]}" --processes 2 -o r2.jsonl
# whatever it says of times on a busy machine, it counts processes
check "have processes" 0 "3, 2 " sh -c "'$LUABENCH' compare r1.json r2.jsonl --different-machines; [ \$? -le 1 ]"
check "a run of one process" 0 "" "$LUABENCH" "${run[@]}" -o r3.yaml
check "decides nothing" 0 "3, 1  inconclusive" "$LUABENCH" compare r1.json r3.yaml --threshold 99% --different-machines

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
