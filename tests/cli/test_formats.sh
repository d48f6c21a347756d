#!/usr/bin/env bash
# test_formats.sh: files for other tools, read by those tools where they are installed, else by their documented fields.
set -u
. "$(dirname "$0")/common.sh"

cd "$work" || exit 1
cat > s.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "a product that says that it is a model",
  grid = lb.grid { m = { 1, 4 } },
  case = function(g, opt)
    local x = lb.randn({ g.m, 64 }, { seed = 1, device = opt.device })
    local w = lb.randn({ 32, 64 }, { seed = 2, device = opt.device })
    return { plan = lb.plan(opt.device):gemm { x = x, w = w }, items = g.m, item = "token",
      metrics = { llama_bench = { model_filename = "it's.gguf", model_type = "tiny", model_size = 4 * 32 * 64,
        model_n_params = 32 * 64, n_prompt = g.m, n_gen = 0 } } }
  end,
}
END
sed 's/llama_bench = {/other = {/' s.lua > plain.lua
quick=(--quick --measurement-iterations 6 --warmup-iterations 1 --quiet)
endings="gbench.json gha.json bmf.json hyperfine.json llama.json llama.jsonl llama.csv llama.sql llama.md"
outputs=(-o a.json)
for e in $endings; do outputs+=(-o "a.$e"); done
holds "a run with every format" "$LUABENCH" s.lua "${quick[@]}" --processes 3 "${outputs[@]}"
for e in $endings; do holds "a.$e is there" test -s "a.$e"; done
holds "to the standard output" sh -c \
    "'$LUABENCH' s.lua --quick --measurement-iterations 6 --format llama.md 2> /dev/null | grep -q '^| tiny .*pp4 '"
holds "no model run: refused with status 2, and nothing written" sh -c \
    "'$LUABENCH' plain.lua ${quick[*]} -o p.llama.csv -o p.json 2> err
    [ \$? = 2 ] && grep -q 'no metrics.llama_bench' err && [ ! -e p.llama.csv ] && [ -s p.json ]"

if command -v python3 > /dev/null; then
    cat > verify.py <<'END'
import csv, json, sqlite3
r = json.load(open("a.json"))
by = {c["axes"]["m"]: c for c in r["cases"]}
g = json.load(open("a.gbench.json"))
caches = g["context"]["caches"]
assert caches and all(set(c) == {"type", "level", "size", "num_sharing"} for c in caches)
runs = [b for b in g["benchmarks"] if b["run_type"] == "iteration"]
assert len(runs) == 6 and all(b["time_unit"] == "ns" and b["repetitions"] == 3 for b in runs)
assert [b["real_time"] for b in runs if b["name"] == "s/m=1"] == [p["median_ns"] for p in by[1]["processes"]]
aggregates = {b["aggregate_name"] for b in g["benchmarks"] if b["run_type"] == "aggregate"}
assert aggregates == {"mean", "median", "stddev", "cv"}
a = json.load(open("a.gha.json"))
assert [x["value"] for x in a] == [by[1]["time"]["median"], by[4]["time"]["median"]] and a[0]["unit"] == "ns"
b = json.load(open("a.bmf.json"))
assert b["s/m=4"]["latency"]["value"] == by[4]["time"]["median"] and b["s/m=4"]["throughput"]["value"] > 0
h = json.load(open("a.hyperfine.json"))["results"]
assert h[0]["parameters"] == {"m": "1"} and len(h[0]["times"]) == 3 == len(h[0]["exit_codes"])
assert abs(h[0]["median"] * 1e9 - by[1]["time"]["median"]) < 1e-6 * by[1]["time"]["median"]
l = json.load(open("a.llama.json"))
assert [x["n_prompt"] for x in l] == [1, 4] and all(x["avg_ts"] > 0 and x["model_type"] == "tiny" for x in l)
assert [json.loads(x) for x in open("a.llama.jsonl")] == l
rows = list(csv.DictReader(open("a.llama.csv", newline="")))
assert [float(x["avg_ts"]) for x in rows] == [x["avg_ts"] for x in l] and rows[0]["model_filename"] == "it's.gguf"
db = sqlite3.connect(":memory:")
db.executescript(open("a.llama.sql").read())
rows = db.execute("select model_filename, n_gen, typeof(avg_ts), build_number from test").fetchall()
assert rows == [("it's.gguf", 0, "real", None)] * 2
END
    holds "python reads them all, and they agree with the result" python3 verify.py
else
    skipped=$((skipped + 1))
fi

# Google Benchmark's own tool (Debian: libbenchmark-tools), with whichever python has what it needs.
tool=/usr/share/benchmark/compare.py
python=
for p in /usr/bin/python3 python3; do
    [ -e "$tool" ] && "$p" -c 'import scipy, numpy' 2> /dev/null && python=$p && break
done
if [ -n "$python" ]; then
    holds "a second run" "$LUABENCH" s.lua "${quick[@]}" --processes 3 -o b.gbench.json
    holds "compare.py reads two results" sh -c "$python $tool --no-color benchmarks a.gbench.json b.gbench.json > c.txt"
    holds "with a row for each process" test "$(grep -c '^s/m=1  ' c.txt)" = 3
    holds "and its test over processes" grep -q "^s/m=4_pvalue .*U Test, Repetitions: 3 vs 3" c.txt
else
    skipped=$((skipped + 1))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
