#!/usr/bin/env bash
# test_cli.sh: the command line from outside: exit statuses, messages, outputs, resume, time-outs, crashes, Ctrl-C.
set -u
. "$(dirname "$0")/common.sh"

cd "$work" || exit 1

# ---- scripts ----
cat > good.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "small products",
  options = { n = { "columns", 64 }, tokens = { "rows", { 1, 4 } } },
  grid = function(opt) return lb.grid { m = opt.tokens, k = { 64, 128 } } end,
  baseline = { k = 64 }, group = "m", sort = "time",
  case = function(g, opt)
    local x = lb.randn({ g.m, g.k }, { seed = 1, device = opt.device })
    local w = lb.randn({ opt.n, g.k }, { seed = 2, device = opt.device })
    return { plan = lb.plan(opt.device):gemm { x = x, w = w }, items = g.m, item = "row" }
  end,
}
END
cat > faults.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "cases that go wrong",
  grid = lb.grid { kind = { "good", "segv", "exit", "hang", "error", "skip", "nothing", "memory", "check", "key" } },
  case = function(g, opt)
    local x = lb.randn({ 2, 64 }, { seed = 1, device = opt.device })
    local plan = lb.plan(opt.device):gemm { x = x, w = lb.randn({ 32, 64 }, { seed = 2, device = opt.device }) }
    if g.kind == "segv" then os.execute "kill -SEGV $PPID; sleep 5" end
    if g.kind == "exit" then os.exit(7) end
    if g.kind == "hang" then while true do end end
    if g.kind == "error" then error "on purpose" end
    if g.kind == "skip" then return lb.skip "makes no sense" end
    if g.kind == "nothing" then return end
    if g.kind == "memory" then local t = {} while true do t[#t + 1] = ("x"):rep(1e6) .. #t end end
    if g.kind == "key" then return { plan = plan, itms = 1 } end
    if g.kind == "check" then
      local function never() return { name = "mine", passed = false, reason = "never right" } end
      return { plan = plan, extra_checks = { never } }
    end
    return plan
  end,
}
END
echo 'while true do end' > loop.lua
echo 'return {' > syntax.lua
printf 'local x = 1\nerror("boom")\n' > raises.lua
echo 'print("plain", ...)' > plain.lua
echo 'return 5' > five.lua
echo 'local lb = require "luabench" return lb.scenario { about = "x", grd = 1, case = print }' > key.lua
echo 'local lb = require "luabench" return lb.scenario { about = "x", group = "m", case = print }' > group.lua
echo 'local lb = require "luabench"
    return lb.scenario { about = "x", grid = function() while true do end end, case = print }' > gridloop.lua
quick=(--quick --measurement-iterations 8 --warmup-iterations 1)

# ---- help, version, unknown things ----
check "help" 0 "luabench SCRIPT.lua" "$LUABENCH" --help
check "version" 0 "^luabench [0-9]" "$LUABENCH" --version
check "unknown command" 2 'did you mean "list"' "$LUABENCH" lsit
check "a command that does not exist" 2 "the commands are:.*info.*list.*run" "$LUABENCH" frobnicate
check "unknown option" 2 'unknown option --versoin.*--version' "$LUABENCH" --versoin
check "no such script" 2 'no such file: godo.lua; did you mean "good.lua"' "$LUABENCH" godo.lua
check "a folder" 2 "is a directory" "$LUABENCH" ./
check "scenario help" 0 "--tokens A,B" "$LUABENCH" good.lua --help
check "help of a command" 0 "KIND" "$LUABENCH" list --help
check "-i without a script" 2 "needs a script" "$LUABENCH" -i
check "-e" 0 "^42$" "$LUABENCH" -e 'print(6 * 7)'
check "-e with all of LuaJIT" 0 "^function.x$" "$LUABENCH" --unsafe -e 'print(type(require("ffi").new), (...))' x
check "-e with a syntax error" 2 "command line" "$LUABENCH" -e 'x ='
check "-e that raises" 1 "boom" "$LUABENCH" -e 'error "boom"'

# ---- scripts that are wrong ----
check "syntax error has file and line" 2 "syntax.lua:[12]:" "$LUABENCH" syntax.lua
check "an error has file and line" 2 "raises.lua:2: boom" "$LUABENCH" raises.lua
check "a script that loops is timed out" 2 "loading the script: no end within 0.5 s" "$LUABENCH" loop.lua --timeout 0.5
check "a grid that loops is timed out" 2 "no end within 0.5 s" "$LUABENCH" gridloop.lua --timeout 0.5
check "a plain script runs" 0 "^plain	a$" "$LUABENCH" plain.lua a
check "a script that returns something else" 2 "no scenario" "$LUABENCH" five.lua
check "unknown key" 2 'key.lua.*did you mean "grid"' "$LUABENCH" key.lua
check "unknown axis" 2 'group: no axis "m"' "$LUABENCH" group.lua

# ---- options that are wrong ----
check "unknown option of a scenario" 2 "did you mean '--tokens'" "$LUABENCH" good.lua --tokns 1
check "out of range" 2 "expected a number from 0.0001 to 0.5, got \"7\"" "$LUABENCH" good.lua --precision 7
check "negative" 2 "expected a whole number of at least 0" "$LUABENCH" good.lua --seed -1
check "huge" 2 "whole number" "$LUABENCH" good.lua --n 1e400
check "not a number" 2 "list of numbers" "$LUABENCH" good.lua --tokens 1,x
check "bad choice" 2 "expected one of" "$LUABENCH" good.lua --cache warm
check "bad time-out" 2 "--timeout" "$LUABENCH" good.lua --timeout never
check "unknown device" 2 "--device gpu" "$LUABENCH" good.lua --device gpu
check "missing value" 2 "requires an argument" "$LUABENCH" good.lua --seed
check "unknown ending" 2 'did you mean "json"' "$LUABENCH" good.lua -o r.jsn
check "no such folder" 2 "there is no directory" "$LUABENCH" good.lua -o no/where/r.json
check "--only without a match" 2 'a case is "k=64 m=1"' "$LUABENCH" good.lua --only zzz
check "--only with a comma and no axis" 2 'the whole of "a,b", comma included' "$LUABENCH" good.lua --only a,b
check "--only with an axis that is not there" 2 'no axis "kk"; did you mean "k"' "$LUABENCH" good.lua --only kk=64,m=1
check "--dtype where the script does not take it" 2 'takes --dtype by declaring the option "dtype"' \
    "$LUABENCH" good.lua --dtype bf16
check "a weight format that is none" 2 "did you mean 'q4_k'" "$LUABENCH" run gemm_formats --quant q4k
check "a size that is none" 2 "whole numbers from 1" "$LUABENCH" run gemm_formats --m 0
sed 's/options = {/options = { dtype = { "activations", "f32" },/' good.lua > typed.lua
check "--dtype where it is declared" 0 '"dtype": "bf16"' \
    "$LUABENCH" typed.lua "${quick[@]}" --only k=64,m=1 --dtype bf16 -o -

# ---- a good run ----
check "a run" 0 "4 ok" "$LUABENCH" good.lua "${quick[@]}" -o r.json -o r.csv -o r.md -o r.yaml -o r.jsonl.gz -o r.txt
holds "progress lines go to the standard error" grep -q '^\[4/4\] good' err
holds "the table goes to the standard output" grep -q 'm = 4' out
for f in r.json r.csv r.md r.yaml r.jsonl.gz r.txt; do holds "$f is there" test -s "$f"; done
holds "gz is gzip" gzip -t r.jsonl.gz
if command -v python3 > /dev/null; then
    cat > verify.py <<'END'
import csv, gzip, json
r = json.load(open("r.json"))
assert r["schema"] == "luabench/1" and len(r["cases"]) == 4
for c in r["cases"]:
    assert c["status"] == "ok" and c["check"]["passed"] is True, c
    assert c["check"]["nmse"] <= c["check"]["tolerance"]
    assert c["time"]["samples"] == 8 == len(c["samples_ns"]) and c["time"]["median"] > 0
    assert c["path"][0]["op"] == "gemm" and c["path"][0]["launches"] == 1
    assert c["sol"]["fraction"] is None or c["sol"]["fraction"] <= 1
    assert c["work"]["flops"] == 2 * c["axes"]["m"] * c["axes"]["k"] * 64
    assert c["metrics"]["speedup"]["median"] > 0
rows = list(csv.DictReader(open("r.csv", newline="")))
assert [float(x["time.median"]) for x in rows] == [c["time"]["median"] for c in r["cases"]]
lines = [json.loads(x) for x in gzip.open("r.jsonl.gz", "rt")]
assert lines[0]["run"]["id"] == r["run"]["id"] and len(lines) == 6
END
    holds "the results agree with one another" python3 verify.py
fi
check "axes from the command line" 0 "^ *256 " "$LUABENCH" good.lua "${quick[@]}" --k 256 --tokens 2
check "only one case" 0 "^1 ok" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4
check "a case in this process" 0 "^1 ok" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --no-isolation
check "each mode" 0 "^1 ok" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --mode eager --cache hot
check "fresh processes" 0 "" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --processes 3 -o p.json
holds "three processes are in the record" test "$(grep -c median_ns p.json)" = 3
check "quiet" 0 "" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --quiet
holds "quiet says nothing" test ! -s all
check "json on the standard output" 0 '"schema": "luabench/1"' "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 -o -
check "--format" 0 "^scenario,case,axes.k" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --format csv
check "--output-dir" 0 "" "$LUABENCH" good.lua "${quick[@]}" --only k=64,m=4 --output-dir made/here
holds "a file of its own name" sh -c 'ls made/here/good-*.json'

# ---- every fault is a row, the others are intact ----
check "faults" 1 "" env LUABENCH_LUA_MEMORY_MB=256 "$LUABENCH" faults.lua "${quick[@]}" --timeout 5 -o f.json
for row in '^good .*(ns|us|ms)' '^segv +crashed: killed by SIGSEGV' '^exit +crashed: .*status 7' \
    '^hang +timeout: no end within 5 s, in phase prepare' '^error +failed: .*faults.lua:[0-9]+: on purpose' \
    '^skip +skipped: makes no sense' '^nothing +failed: case\(\) should return a plan' \
    '^memory +failed: memory exhausted' \
    '^check +failed: check "mine": never right' '^key +failed: .*did you mean "items"' \
    '1 ok, 1 skipped, 5 failed, 2 crashed, 1 timeout'; do
    holds "row /$row/" grep -Eq "$row" out
done
holds "no time for what failed" sh -c '! grep -A 12 "\"status\": \"failed\"" f.json | grep -q "\"time\": {"'
check "what failed is run again by its own line" 1 "on purpose" sh -c \
    "$(grep -o '"reproduce": ".*kind=error[^"]*"' f.json | cut -d'"' -f4 | sed "s#^luabench#$LUABENCH#")"

# ---- resume ----
check "resume runs nothing that is done" 1 "5 failed" \
    "$LUABENCH" faults.lua "${quick[@]}" --timeout 5 -o f.json --resume
holds "no case was run" sh -c '! grep -q "^\[" err'
check "other options are other cases" 0 "4 ok" "$LUABENCH" good.lua "${quick[@]}" --n 32 -o r.json --resume
holds "all four were run" grep -q '^\[4/4\]' err
cp r.json.journal j && { head -n 1 j; tail -n 2 j; } > r.json.journal && printf '{"key":"torn' >> r.json.journal
check "a torn journal" 0 "4 ok" "$LUABENCH" good.lua "${quick[@]}" --n 32 -o r.json --resume
holds "two were run" test "$(grep -c '^\[' err)" = 2
echo '{"a": 1}' > r.json.journal
check "a file that is no journal" 2 "not a journal" "$LUABENCH" good.lua "${quick[@]}" -o r.json --resume

# ---- Ctrl-C keeps what is done ----
rm -f i.json*
"$LUABENCH" good.lua --measurement-iterations 300 --max-time 60 --tokens 512,256 --n 2048 --k 1024,2048 -o i.json \
    > out 2> err &
pid=$!
for _ in $(seq 300); do [ -e i.json.journal ] && [ "$(wc -l < i.json.journal)" -ge 2 ] && break; sleep 0.1; done
kill -INT $pid
wait $pid
status=$?
cat out err > all
holds "interrupted: exit status 130" test $status = 130
holds "interrupted: says how to go on" grep -q "interrupted with [1-3] of 4 cases done; --resume" err
holds "interrupted: the file has what was done" grep -q '"status": "ok"' i.json
holds "interrupted: no worker is left" sh -c "! ps -o args= --ppid $pid 2>/dev/null | grep -q worker"

# ---- run, list, info ----
cat > c.yml <<'END'
- scenario: good.lua
  options: { tokens: [2], quick: true, measurement_iterations: 8 }
  output: c.json
- scenario: faults.lua
  options: { only: "kind=skip" }
END
check "run a configuration" 0 "1 skipped" "$LUABENCH" run c.yml --warmup-iterations 1 -o both.csv
holds "the entry's own output" grep -q '"m": 2' c.json
holds "all of it in one file" test "$(wc -l < both.csv)" = 4
check "run --exclude" 0 "2 ok" "$LUABENCH" run c.yml --exclude faults
check "run with nothing left" 2 "leave no scenario" "$LUABENCH" run c.yml --include zzz
check "run without names" 2 "needs a configuration" "$LUABENCH" run
check "run an unknown name" 2 'no scenario "gemm_format"; did you mean "gemm_formats"' "$LUABENCH" run gemm_format
echo 'scenaro: good.lua' > bad.yml
check "unknown key in a configuration" 2 'did you mean "scenario"' "$LUABENCH" run bad.yml
echo 'a: [1' > bad.yml
check "broken YAML" 2 "bad.yml" "$LUABENCH" run bad.yml
for kind in scenarios kernels quantizers devices models strategies outputs; do
    check "list $kind" 0 "^$kind:" "$LUABENCH" list $kind
    check "list $kind --json" 0 '"name":' "$LUABENCH" list $kind --json
done
check "list an unknown kind" 2 'did you mean "kernels"' "$LUABENCH" list kernles
check "list has the scenarios" 0 "gemm_formats +GEMM time" "$LUABENCH" list
# ---- one broken file does not hide the others ----
mkdir -p tree/build && cp "$LUABENCH" tree/build/
cp -R "$("$LUABENCH" -e 'print(require("luabench.core").lua_root())')" tree/lua
for kind in models outputs commands; do echo 'return {' > tree/lua/$kind/broken.lua; done
check "list shows the broken one and fails" 1 "broken +broken: .*models/broken.lua:2: unexpected symbol" \
    tree/build/luabench list models
holds "and the others" grep -q "^  synthetic" out
check "list --json has the error" 1 '"error": ".*broken.lua:2' tree/build/luabench list models --json
check "help lists the other commands" 0 "luabench list" tree/build/luabench --help
check "a run writes its own format" 0 "1 ok" tree/build/luabench good.lua "${quick[@]}" --only k=64,m=4 -o t.json
check "the broken format says why" 2 "broken.lua:2: unexpected symbol" \
    tree/build/luabench good.lua "${quick[@]}" --only k=64,m=4 -o t.broken

# ---- two runs at once ----
"$LUABENCH" good.lua --measurement-iterations 20000 --max-time 60 --tokens 512 --n 2048 --k 1024 -o both.json \
  > o1 2> e1 &
pid=$!
for _ in $(seq 100); do [ -e both.json.journal ] && break; sleep 0.1; done
check "the same output file is refused" 2 "another run is going on that writes both.json.journal" \
    "$LUABENCH" good.lua "${quick[@]}" -o both.json
check "no output file: a journal of its own" 0 "4 ok" "$LUABENCH" good.lua "${quick[@]}"
kill -9 $pid
wait $pid 2> /dev/null
tmp=$work/dirs && mkdir "$tmp" && mkdir "$tmp/luabench-foreign"
TMPDIR=$tmp "$LUABENCH" good.lua --measurement-iterations 20000 --max-time 60 --tokens 512 --n 2048 --k 1024 \
  > o1 2> e1 &
pid=$!
for _ in $(seq 100); do [ "$(ls "$tmp" | wc -l)" = 2 ] && break; sleep 0.1; done
holds "a run has its directory" test "$(ls "$tmp" | wc -l)" = 2
check "which another run leaves alone" 0 "4 ok" env TMPDIR="$tmp" "$LUABENCH" good.lua "${quick[@]}"
holds "it is still there" test "$(ls "$tmp" | wc -l)" = 2
kill -9 $pid
wait $pid 2> /dev/null
check "after SIGKILL the next run removes it" 0 "4 ok" env TMPDIR="$tmp" "$LUABENCH" good.lua "${quick[@]}"
holds "and only it" test "$(ls "$tmp")" = luabench-foreign

check "info has caches in KiB" 0 "L1d [0-9]+ KiB|L1d \?" "$LUABENCH" info
check "info" 0 "ceilings of cpu" "$LUABENCH" info
check "info --json" 0 '"read_bytes_per_s"' "$LUABENCH" info --json
export XDG_CACHE_HOME=$PWD/own-cache    # ceilings are kept there
LC_ALL=C "$LUABENCH" info > first.txt
holds "info in a plain locale is plain ASCII" sh -c "! LC_ALL=C grep -q '[^ -~]' first.txt"
holds "info draws the roofline" grep -q 'operations/byte' first.txt
holds "info has bandwidths and peaks" sh -c "grep -q 'memory, copy' first.txt && grep -q 'f32 portable' first.txt"
LC_ALL=C "$LUABENCH" info > second.txt
figures() { sed -n '/^ceilings of cpu/,/^roofline/p' "$1" | grep '/s'; }
figures first.txt > figures1; figures second.txt > figures2
holds "info says what was measured" grep -q 'memory, read' figures1
holds "info keeps its ceilings" cmp -s figures1 figures2
LC_ALL=C.UTF-8 "$LUABENCH" info --fresh > third.txt
figures third.txt > figures3
holds "info --fresh measures again" sh -c "! cmp -s figures1 figures3"
holds "info draws with Braille where the locale has it" grep -q "$(printf '\342\240')" third.txt
export XDG_CACHE_HOME=$work/cache

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
