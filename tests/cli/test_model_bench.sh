#!/usr/bin/env bash
# test_model_bench.sh: llama-bench's tests of a model as a scenario, its files; moe_mixed on a layer of a model file.
set -u
. "$(dirname "$0")/common.sh"
root=$PWD

# says STATUS PATTERN SCENARIO ARGUMENTS...
says() {
    local status=$1 pattern=$2 scenario=$3
    shift 3
    "$LUABENCH" "$root/scenarios/$scenario.lua" "$@" > "$work/said" 2>&1
    local got=$?
    echo "status $got"
    cat "$work/said"
    [ $got = "$status" ] && grep -q -- "$pattern" "$work/said"
}

"$LUABENCH" -e "local tiny = dofile 'tests/lua/tiny_models.lua'
for _, kind in ipairs { 'wide', 'mixtral', 'gpt_oss' } do tiny.make('$work/' .. kind, kind) end" || exit 1
cd "$work" || exit 1
cold=(--measurement-iterations 3 --warmup-iterations 1 --quick)
quick=("${cold[@]}" --cache hot)    # a gibibyte of copies in each case would take most of the time

holds "prompt, generation, both, at two depths" says 0 '^6 ok' model_bench --model wide -p 40 -n 5 -pg '20,3' \
    -d 0 -d 16 --ubatch 16 "${cold[@]}" -o r.json -o r.llama.json -o r.llama.md
holds "fused" says 0 '^2 ok' model_bench --model wide -p 8 -n 3 --mode fused --quantize q4_0 "${quick[@]}" -o f.json
holds "random weights" says 0 'random weights' model_bench --model wide/config.json --random-weights -p 8 -n 0 \
    "${quick[@]}" --format jsonl
holds "more than the context is skipped" says 0 '512' model_bench --model wide -p 600 -n 0 "${quick[@]}"
holds "lists are axes, sequences at once" says 0 '^8 ok' model_bench --model wide -p 6 -n 2 --batch 1,3 -t 1 \
    --ubatch 6 --cache-type f16,f32 "${quick[@]}" -o b.json
holds "models and recipes" says 0 '^8 ok' model_bench -m wide -m wide/model.safetensors -p 2 -p 3 -n 0 \
    --quantize none,q8_0 "${quick[@]}" -o m.json -o m.llama.json
ln -s wide 'wi,de'
holds "a path with a comma" says 0 '^1 ok' model_bench -m 'wi,de' -p 2 -n 0 "${quick[@]}"
printf 'scenario: %s\noptions: { model: nothing, n_prompt: [2], n_gen: [0] }\n' \
    "$root/scenarios/model_bench.lua" > c.yml
holds "the command line wins over a configuration" sh -c \
    "'$LUABENCH' run c.yml --model wide ${quick[*]} | grep -q '^1 ok'"
holds "more sequences than rows are skipped" says 0 '^1 ok, 1 skipped' model_bench -m wide -p 4 -n 0 --batch 2,6 \
    --ubatch 4 "${quick[@]}"
holds "more in all cases are an error" says 2 '^luabench: --batch 6: .*--ubatch 4' \
    model_bench -m wide --batch 6 --ubatch 4
holds "a recipe that is none" says 2 "^luabench: --quantize: .*did you mean 'q4_0'" \
    model_bench -m wide --quantize none,q4_O
holds "threads that are not there" says 2 '^luabench: --threads 999: .*expected 1 to' model_bench -m wide -t 1,999
holds "llama-bench knows no sequences at once" says 2 '^luabench: --batch: .*no field for it (x.llama.md)' \
    model_bench -m wide --batch 1,2 -o x.llama.md
holds "a model is needed" says 2 '--model is missing' model_bench -p 4
holds "one that is there" says 2 '^luabench: --model: nothing.gguf: no such file' \
    model_bench -m wide -m nothing.gguf -p 4
holds "one that is known" says 2 'no safetensors file' model_bench -m r.llama.md -p 4
holds "no tests" says 2 'no test' model_bench --model wide -p 0 -n 0
holds "a pair that is none" says 2 'pairs such as' model_bench --model wide --pg 5
holds "experts of a file" says 0 '^4 ok' moe_mixed --model-path mixtral --tokens 2 \
    --strategies slow_path,fast_mixed,hybrid,max_bits_padded "${cold[@]}"
holds "experts with biases and a clamped gate" says 0 '^4 ok' moe_mixed --model-path gpt_oss --tokens 3 \
    --strategies slow_path,fast_mixed,hybrid,fast_uniform "${quick[@]}"
holds "a measured choice, a measured threshold" sh -c "'$LUABENCH' '$root/scenarios/moe_mixed.lua' \
    --model-path mixtral --tokens 3 --strategies auto,hybrid --threshold auto ${quick[*]} --quiet -o auto.json &&
    grep -q '\"regret\"' auto.json && grep -q '\"threshold\"' auto.json"
holds "a layer of random weights is marked" sh -c "
    '$LUABENCH' quantize mixtral/config.json r.gguf --random-weights --type q8_0 --quiet &&
    '$LUABENCH' '$root/scenarios/moe_mixed.lua' --model-path r.gguf --tokens 1 --strategies fast_mixed ${quick[*]} \
        --quiet -o rm.json && grep -q 'random weights' rm.json"
holds "a model without experts" says 2 'has no experts' moe_mixed --model-path wide --tokens 1
holds "a layer that is not there" says 2 'layer 7 has no experts' moe_mixed --model-path mixtral --layer 7 --tokens 1
holds "sizes are the file's" says 2 'the sizes are those of the file' moe_mixed --model-path mixtral \
    --top-k 1 --tokens 1
holds "a layer without a file" says 2 'belongs to --model-path' moe_mixed --layer 2 --tokens 1

if command -v python3 > /dev/null; then
    cat > verify.py <<'END'
import json
rows = json.load(open("r.llama.json"))
got = {(r["n_prompt"], r["n_gen"], r["n_depth"]) for r in rows}
assert got == {(p, g, d) for d in (0, 16) for p, g in ((40, 0), (0, 5), (20, 3))}, got
assert all(r["avg_ts"] > 0 and r["n_ubatch"] == 16 and r["model_type"].startswith("llama ") for r in rows)
cases = json.load(open("r.json"))["cases"]
def passes(test, depth):
    c = [c for c in cases if c["axes"]["test"] == test and c["axes"]["depth"] == depth][0]
    assert c["check"]["passed"]
    return tuple(sum(p["launches"] for p in c["path"] if p["op"] == op) for op in ("embedding", "attention"))
assert passes("pp40", 0) == (3, 6) and passes("tg5", 16) == (5, 10) and passes("pp20+tg3", 0) == (5, 10)
b = {(c["axes"]["batch"], c["axes"]["cache_type"], c["axes"]["test"]): c for c in json.load(open("b.json"))["cases"]}
assert len(b) == 8
for (batch, kv, test), c in b.items():
    launches = {}
    for p in c["path"]: launches[p["op"]] = launches.get(p["op"], 0) + p["launches"]
    tokens = 6 if test == "pp6" else 2
    assert c["work"]["items"] == tokens * batch and c["threads"] == 1 and c["check"]["passed"], c["axes"]
    assert launches["embedding"] == (3 if (batch, test) == (3, "pp6") else 1 if test == "pp6" else 2), c["axes"]
one, three = b[1, "f16", "tg2"], b[3, "f16", "tg2"]
assert three["metrics"]["kv_cache"]["median"] == 3 * one["metrics"]["kv_cache"]["median"]
assert b[1, "f32", "tg2"]["metrics"]["kv_cache"]["median"] == 2 * one["metrics"]["kv_cache"]["median"]
m = json.load(open("m.json"))["cases"]
both = {(p, q) for q in ("none", "q8_0") for p in ("wide", "wide/model.safetensors")}
of = {k: [c for c in m if (c["axes"]["model"], c["axes"]["quantize"]) == k] for k in both}
for k, cases in of.items():  # loaded once for both: one time of loading
    assert len(cases) == 2 and len({c["metrics"]["load"]["median"] for c in cases}) == 1, k
assert of["wide", "q8_0"][0]["memory"]["weights_bytes"] < of["wide", "none"][0]["memory"]["weights_bytes"]
assert {r["model_filename"] for r in json.load(open("m.llama.json"))} == {"wide", "wide/model.safetensors"}
assert all(c["mode"] == "fused" for c in json.load(open("f.json"))["cases"])
END
    holds "what stands in the results" python3 verify.py
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
