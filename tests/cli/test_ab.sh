#!/usr/bin/env bash
# test_ab.sh: luabench ab from outside: kernels, programs, scenarios, command lines; statuses, files, Ctrl-C, refusals.
set -u
. "$(dirname "$0")/common.sh"

cd "$work" || exit 1
# other work on this machine is none of these tests' business; test_disturbed.sh has what it does to verdicts
quick="--pairs 6 --max-pairs 6 --process-time 0.01 --allow-noisy"
small="--n 64 --k 256 --threads 1 --cache hot"

# ---- kernels ----
check "a slower kernel is a regression" 1 "slower" \
    "$LUABENCH" ab peak.f32.portable peak.f32.portable --b "--rounds 200" --rounds 20 --threads 1 $quick -o k.json
holds "the file says what it is" grep -q '"schema": "luabench-ab/1"' k.json
holds "the file has the verdict and all medians" python3 - <<'END'
import json
r = json.load(open("k.json"))
c = r["cases"][0]
assert r["kind"] == "kernel" and r["pairs"] == 6 and r["stopped"] in ("pairs", "precision"), r
assert c["verdict"] == "slower" and c["ratio"] > 1.5 and c["ci95"][0] > 1.01, c
assert len(c["a"]["medians_ns"]) == 6 and sorted(c["orders"])[:3] == ["ab"] * 3, c
assert c["a"]["path"][0]["kernel"] == "peak.f32.portable", c
assert r["machine"]["cpu"] and r["run"]["argv"][1] == "ab", r
END
check "a faster one is none" 0 "faster" \
    "$LUABENCH" ab peak.f32.portable peak.f32.portable --a "--rounds 200" --rounds 20 --threads 1 $quick
check "injected work is found" 1 "slower" \
    "$LUABENCH" ab peak.f32.portable peak.f32.portable --rounds 2 --threads 1 --extra-work 1 $quick
check "kernels through a scenario without that axis" 0 "" \
    "$LUABENCH" ab gemm.any.portable gemm.any.portable --scenario gemm_formats --m 1 --quant f32 \
    $small --epsilon 0.5 $quick
check "its JSON on the standard output" 0 "luabench-ab/1" \
    "$LUABENCH" ab swiglu.f32.portable swiglu.f32.portable --n 64 --threads 1 --epsilon 0.5 $quick -o -
holds "and nothing else" python3 -c 'import json; json.load(open("out"))'
check "a kernel that does not fit" 1 "gemm.q8_0.avx512 does not run in this case" \
    "$LUABENCH" ab gemm.any.portable gemm.q8_0.avx512 --scenario gemm_formats --m 1 --quant f32 $small $quick
check "kernels of two operations" 2 "one operation" "$LUABENCH" ab gemm.any.portable swiglu.f32.portable
check "a misspelt kernel" 2 'did you mean "gemm.any.portable"' "$LUABENCH" ab gemm.any.portble gemm.any.portable
check "an operation without operands here" 1 "skipped: .*no operands for topk" \
    "$LUABENCH" ab topk.f32.portable topk.f32.portable $quick

# ---- scenarios ----
cat > s.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "x", options = { rounds = { "rounds", 20 } }, grid = lb.grid { n = { 1, 16 } },
  case = function(g, opt) return lb.plan(opt.device):peak { rounds = g.n * opt.rounds } end,
}
END
check "a grid, case by case" 0 "Holm over 2 cases" "$LUABENCH" ab s.lua s.lua --threads 1 --epsilon 0.5 $quick
check "two cases of a scenario" 1 "n=1 against n=16 .*slower" \
    "$LUABENCH" ab "s.lua --n 1" "s.lua --n 16" --threads 1 $quick
check "cases that one side lacks" 2 "A has the case" "$LUABENCH" ab s.lua "s.lua --only n=16" $quick
check "an unknown option of the scenario" 2 "unknown option '--nosuch'" "$LUABENCH" ab s.lua s.lua --nosuch 3

# ---- programs ----
check "two programs" 0 "wall|median of a process" \
    "$LUABENCH" ab "$LUABENCH" "$(dirname "$LUABENCH")" --scenario s.lua --n 1 --threads 1 --epsilon 0.5 \
    --pairs 6 --max-pairs 6
check "programs need a scenario" 2 "need a scenario" "$LUABENCH" ab "$LUABENCH" "$LUABENCH"
check "a folder without one" 2 "without a luabench program" "$LUABENCH" ab "$work" "$work" --scenario s.lua

# ---- command lines ----
check "a slower command" 1 "wall time of the whole command" \
    "$LUABENCH" ab "sleep 0.01" "sleep 0.1" --pairs 6 --max-pairs 6 --allow-noisy
check "a failing command is an error" 1 "B ended with status 3.*last words: oh" \
    "$LUABENCH" ab true "sh -c 'echo oh >&2; exit 3'"
check "one that fails later keeps what is done" 1 "4 pairs.*a side failed" \
    "$LUABENCH" ab true 'n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) > count; [ $n -lt 5 ]'
check "a command that is none" 2 "no kernel, no luabench program, no scenario and no command" \
    "$LUABENCH" ab true no-such-command
check "a command that hangs" 1 "no end within 0.3 s" "$LUABENCH" ab true "sleep 60" --timeout 0.3
check "a command and a kernel" 2 "both have to be of one kind" "$LUABENCH" ab true gemm.any.portable
check "scenario options with commands" 2 "do not go with command lines" "$LUABENCH" ab true false --m 3

# ---- a grid against its baseline, in each case's own process ----
cat > base.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "x", baseline = { n = 1 }, grid = lb.grid { n = { 1, 8, 16 } },
  case = function(g, opt) return lb.plan(opt.device):peak { rounds = 50 * g.n } end,
}
END
check "rows against the baseline" 0 "slower [0-9]+\.[0-9]+x" \
    "$LUABENCH" base.lua --ab --quick --threads 1 --cache hot -o b.json
holds "verdicts are under Holm, the baseline has none" python3 - <<'END'
import json
m = {c["axes"]["n"]: c["metrics"] for c in json.load(open("b.json"))["cases"]}
assert "versus" not in m[1], m[1]
for n in (8, 16):
    v = m[n]["versus"]
    assert v["verdict"] == "slower" and v["family"] == 2 and v["over"] == "n=1" and v["median"] > 1.5, v
    assert v["p_difference_holm"] >= v["p_difference"], v
END
check "six processes are six values" 0 "slower" \
    "$LUABENCH" base.lua --ab --quick --threads 1 --cache hot --only n=8 --processes 6 \
    --measurement-iterations 10 -o p.json
holds "of the ratio" python3 -c '
import json
v = json.load(open("p.json"))["cases"][0]["metrics"]["versus"]
assert v["n"] == 6 and len(v["processes"]) == 6 and v["verdict"] == "slower", v'
check "a scenario without a baseline" 2 "names no baseline" "$LUABENCH" s.lua --ab

# ---- the rest of the command line ----
check "help" 0 "Each pair is two fresh processes" "$LUABENCH" ab --help
check "one side" 2 "needs an A and a B" "$LUABENCH" ab true
check "three sides" 2 "needs quotes" "$LUABENCH" ab true true true
check "too few pairs" 2 "from 6" "$LUABENCH" ab true true --pairs 3
check "a file of another kind" 2 "ab writes JSON" "$LUABENCH" ab true true -o x.csv
check "a folder that is not there" 2 "there is no directory" "$LUABENCH" ab true true -o nowhere/x.json

# ---- Ctrl-C keeps what is done ----
"$LUABENCH" ab "sleep 0.05" "sleep 0.05" --pairs 1000 -o int.json > out 2> err < /dev/null &
pid=$!
sleep 1.5
kill -INT $pid
wait $pid
status=$?
cat out err > all
if [ $status = 130 ]; then passed=$((passed + 1)); else say_failed "Ctrl-C: exit status $status, expected 130"; fi
holds "the pairs done are shown" grep -Eq "[1-9][0-9]* pairs of fresh processes .* interrupted" out
holds "and written" python3 -c '
import json
r = json.load(open("int.json"))
assert r["stopped"] == "interrupted" and r["pairs"] == len(r["cases"][0]["a"]["medians_ns"]) > 0, r'
holds "no process is left" sh -c '! ps -o comm= --ppid '$pid' 2>/dev/null | grep -q sleep'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
