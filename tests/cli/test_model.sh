#!/usr/bin/env bash
# test_model.sh: luabench model as a user sees it: two models side by side, results, statuses, Ctrl-C and kills.
set -u
command=model
. "$(dirname "$0")/common.sh"

"$LUABENCH" -e "local tiny = dofile 'tests/lua/tiny_models.lua'
for _, kind in ipairs { 'wide', 'qwen2', 'glm4_moe_lite' } do tiny.make('$work/' .. kind, kind) end" || exit 1
cd "$work" || exit 1
ln -s "$OLDPWD/tests/fixtures/models/tiny-llama" tiny
cat > prompts.json <<'END'
[ { "name": "one", "category": "short", "text": "Hello, world" }, { "category": "short", "text": "x = 1" },
  { "name": "three", "category": "other", "text": "One, two, three, four" } ]
END
quick=(--prompts-file prompts.json --max-new-tokens 6 --iterations 2 --quality-context 16)

holds "original against quantized" says 0 'same likeliest token' --original wide --quantize q4_k "${quick[@]}" -o r.json
holds "a line by category" grep -q '^other  *[0-9.]* [mu]s' said
holds "bits a weight" grep -q '^  bits a weight  *32.000  *4.565 ' said
holds "nothing of it stays" sh -c '[ -z "$(ls tmp)" ] && [ ! -e r.json.journal ]'
holds "one that is kept" says 0 'k.gguf' --original wide --quantize q8_0 --keep k.gguf "${quick[@]}" --no-quality
holds "two files; sampling; a batch" says 0 'generation rate' --original wide --quantized k.gguf "${quick[@]}" \
    --temperature 0.8 --top-p 0.9 --top-k 20 --min-p 0.01 --seed 3 --batch-size 3 -o b.json
holds "a model against itself" says 0 '100 %' --original k.gguf --quantized k.gguf "${quick[@]}" -o same.json
holds "a type that GGUF has another name for" says 0 'same likeliest token' --original glm4_moe_lite \
    --quantize q8_0 "${quick[@]}"
printf '%s\n' '{"context": "Licensed under the Apache", "choices": [" License", " fish"], "answer": 0}' \
    '{"context": "You may not use ", "choices": ["xyzzy", "this file"], "answer": 1}' > q.jsonl
holds "questions with choices" says 0 'same choice as the original' --original tiny --quantize q4_k "${quick[@]}" \
    --questions q.jsonl -o questions.json
{ head -1 q.jsonl; printf '{"name": "endless", "context": "It", "choices": ["%s", " b"], "answer": 0}\n' \
    "$(printf ' word%.0s' {1..2000})"; } > long.jsonl
holds "a question that cannot be asked is named" \
    says 0 'questions: 1 skipped; the first: question 2 (endless): choice 0' \
    --original tiny "${quick[@]}" --questions long.jsonl -o long.json
holds "and costs no other one" grep -Eq '^  questions  +1$' said
tail -1 long.jsonl > endless.jsonl
holds "none that can be asked" says 1 'questions: failed: none could be asked: question 1 (endless): choice 0' \
    --original tiny "${quick[@]}" --questions endless.jsonl
holds "which costs nothing else" grep -q '^  perplexity  ' said
holds "a file that has none" says 2 'a list of questions' --original tiny --questions questions.json "${quick[@]}"
holds "questions are of the quality" says 2 'no-quality' --original tiny --questions q.jsonl --no-quality
holds "threads that are not there" says 2 'threads 999: .*got 999 threads' --original wide --threads 999 "${quick[@]}"
holds "a device that is not there" says 2 "device cup: unknown device 'cup'" --original wide --device cup "${quick[@]}"
for mode in eager plan fused; do
    holds "mode $mode" says 0 'generation rate' --original wide --mode $mode "${quick[@]}" --no-quality -o $mode.json
done
holds "random weights are marked" says 0 'RANDOM WEIGHTS' --original wide/config.json --random-weights "${quick[@]}" \
    -o random.json
wide="'$LUABENCH' model --original wide ${quick[*]}"
holds "--timing shows each token" \
    sh -c "[ \$($wide --no-quality --timing --quiet 2>&1 | grep -c ' ms  ') -ge 30 ]"
holds "as the text that it completes" \
    sh -c "'$LUABENCH' model --original tiny ${quick[*]} --no-quality --timing --quiet 2>&1 |
    grep -q '^original  *[0-9.]* ms  *[0-9]*  \" [a-z]'"
holds "a page" sh -c "$wide --no-quality --quiet --report r.html && grep -q '<html' r.html"
holds "what the page shows" sh -c "'$LUABENCH' report r.json -o r2.html &&
    for w in 'Side by side' 'same likeliest token' 'Generation rate by category' '>q8_0\|>original' 'Hello, world' \
        'bits a weight'; do grep -q -- \"\$w\" r2.html || { echo \"\$w\"; exit 1; }; done"
holds "results and page in one step" sh -c "$wide --output-dir new/dir > said &&
    grep -q '^results: new/dir/model-.*json, report: new/dir/model-.*html' said &&
    [ \$(ls new/dir/model-*.json new/dir/model-*.html | wc -l) = 2 ] && [ \$(ls -A new/dir | wc -l) = 2 ]"
holds "the standard output" sh -c "$wide --no-quality --quiet -o - | head -c 2 | grep -q '{'"
holds "a prompt that is too long is skipped" says 0 'more than the context of 16' --original wide "${quick[@]}" \
    --context 16 --max-new-tokens 8 --no-quality
holds "all of them: nothing was measured" says 1 'no prompt was measured: all 3 were skipped, the first since' \
    --original wide "${quick[@]}" --context 4 --max-new-tokens 12 --no-quality --quiet
holds "compare reads it" sh -c "'$LUABENCH' compare r.json r.json > out 2>&1; [ \$? -le 1 ]"

holds "no model" says 2 'original MODEL is missing'
holds "no such file" says 2 'no such file' --original nothing
holds "two types" says 2 'no two forms of one model' --original wide --quantized qwen2
holds "not the type asked for" says 2 '^luabench: model: wide.*not qwen2' --original wide --model-type qwen2
holds "not the type of the configuration" \
    says 2 'is of a model of type llama .*, not qwen2' --original wide/config.json \
    --random-weights --model-type qwen2
holds "a type that GGUF has no name of its own for" says 0 'generation rate' --original k.gguf \
    --model-type mistral "${quick[@]}" --no-quality
holds "a page in no folder" says 2 'there is no directory' --original wide --report nowhere/r.html
holds "a page without its ending" says 2 'ends in .html' --original wide --report r.htmx
holds "both" says 2 'one of them' --original wide --quantized k.gguf --quantize q4_k
holds "a folder that is no model" says 2 'without model.safetensors' --original tmp
echo '[{"category": "a"}]' > bad.json
holds "prompts without text" says 2 'has no text' --original wide --prompts-file bad.json
echo '[{"category": "a", "text": "x", "texts": 1}]' > bad.json
holds "an unknown field" says 2 'unknown field "texts"' --original wide --prompts-file bad.json
echo '{"a": ' > bad.json
holds "damaged JSON" says 2 'bad.json' --original wide --prompts-file bad.json
printf 'caf\351 au lait' > latin.txt
holds "a text in another encoding" says 2 'latin.txt: byte 3 is no UTF-8' --original wide --text latin.txt
holds "an unknown option" says 2 'unknown option' --original wide --max-tokens 3

# ---- ended on the way ----
cp r.json earlier.json
long=(--original wide --max-new-tokens 400 --iterations 400 --quality-context 16 --prompts-file prompts.json -o r.json)
ended() {     # ended SIGNAL STATUS
    "$LUABENCH" model "${long[@]}" > log 2>&1 &
    local pid=$! i
    for ((i = 0; i < 200; i++)); do
        pgrep -P $pid > /dev/null && break
        sleep 0.1
    done
    sleep 0.7
    kill -"$1" $pid
    wait $pid 2> /dev/null
    local got=$?
    echo "status $got"; cat log
    [ $got = "$2" ]
}
holds "SIGINT: status 130" ended INT 130
holds "SIGINT: the earlier result is as it was" cmp r.json earlier.json
holds "SIGKILL" ended KILL 137
holds "SIGKILL: the earlier result is as it was" cmp r.json earlier.json
worker_killed() {
    "$LUABENCH" model "${long[@]}" -o w.json > log 2>&1 &
    local pid=$! worker= i
    for ((i = 0; i < 200 && ${#worker} == 0; i++)); do
        sleep 0.1
        worker=$(pgrep -P $pid | head -1)
    done
    sleep 0.5
    kill -KILL "$worker"
    for ((i = 0; i < 300; i++)); do
        grep -q crashed log && break
        sleep 0.1
    done
    kill -INT $pid
    wait $pid
    local got=$?
    echo "status $got"; cat log
    [ $got = 130 ] && grep -q crashed log && ! grep -q '"crashed"' r.json.journal &&
        grep -q '0 of 3 prompts are done' log
}
holds "a worker that dies costs its prompt only" worker_killed
echo kept > r.json.journal
holds "SIGKILL while loading" ended KILL 137
holds "SIGKILL once more" ended KILL 137
holds "what an earlier run left is still there" sh -c 'cat r.json.journal.old* | grep -q kept'
# Ended when so many lines are in the journal: a head, what --quantize made, then the prompts.
some=(--original wide --quantize q4_k --max-new-tokens 40 --iterations 60 --quality-context 16
    --prompts-file prompts.json)
ended_at() {     # ended_at LINES SIGNAL JOURNAL ARGUMENTS...
    local lines=$1 signal=$2 journal=$3 pid i
    shift 3
    "$LUABENCH" model "${some[@]}" "$@" > log 2>&1 &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        [ "$(cat $journal 2> /dev/null | wc -l)" -ge "$lines" ] && break
        sleep 0.05
    done
    kill -"$signal" $pid
    wait $pid 2> /dev/null
    cp s.json.journal left 2> /dev/null
    echo "ended after $lines lines"
}
rm -f ./*.journal*
ended_at 3 KILL s.json.journal -o s.json
second_run() {
    local pid got
    "$LUABENCH" model --original wide --iterations 4000 --prompts-file prompts.json -o s.json > /dev/null 2>&1 &
    pid=$!
    sleep 1
    "$LUABENCH" model --original wide -o s.json 2>&1 | grep -q 'another run is going on that writes s.json.journal'
    got=$?
    kill -9 $pid
    wait $pid 2> /dev/null
    return $got
}
holds "another run's journal is not written into" second_run
holds "an interrupted run's journal is kept beside the next one's" cmp left s.json.journal.old
mv s.json.journal.old s.json.journal
holds "other options are another run" says 0 'no prompt of a run with these options is in s.json.journal' \
    --original wide "${quick[@]}" --no-quality -o s.json --resume
holds "a run that ends clears up, but for what is not its own" \
    sh -c '[ "$(ls -d ./*.journal*)" = ./s.json.journal.old ]'
holds "and that is as it was" cmp left s.json.journal.old
rm s.json.journal.old
ended_at 3 KILL s.json.journal -o s.json
cp s.json.journal u.json.journal
holds "what is kept aside is told of" \
    says 0 '^u.json.journal, of a run that did not end, is kept as u.json.journal.old' \
    --original wide "${quick[@]}" --no-quality -o u.json
holds "a run of other options leaves it" cmp s.json.journal u.json.journal.old
holds "--resume finds what was put aside" says 0 ' of 6 prompts are done already' "${some[@]}" -o u.json --resume
holds "and takes it away when all of it is in the result" sh -c '[ -z "$(ls -d u.json.journal* 2> /dev/null)" ]'
holds "--resume in the original's prompts" says 0 ' of 6 prompts are done already' "${some[@]}" -o s.json --resume
holds "says what is of which process" grep -q '^  *[1-3] of 3 prompts are of a process that was interrupted' said
cp left first && mv s.json resumed1.json
ended_at 8 INT s.json.journal -o s.json
holds "Ctrl-C says how to go on" \
    grep -q 'interrupted; [3-6] of 6 prompts are done in s.json.journal, --resume goes on' log
holds "--resume in the quantized one's prompts" says 0 'same likeliest token' "${some[@]}" -o s.json --resume
cp left second && mv s.json resumed2.json
rm -rf cache/luabench/journals
ended_at 3 KILL 'cache/luabench/journals/model-*.jsonl' --output-dir dir
holds "--resume without a file beside it" says 0 ' of 6 prompts are done already' "${some[@]}" --output-dir dir --resume
holds "nothing is left of it" sh -c '[ -d cache/luabench/journals ] && [ -z "$(ls cache/luabench/journals)" ]'
rm -rf dir/*
ended_at 3 INT 'cache/luabench/journals/model-*.jsonl' --output-dir dir
holds "Ctrl-C leaves no result or page under a final name" sh -c 'grep -q interrupted log && [ -z "$(ls dir)" ]'
cp cache/luabench/journals/model-*.jsonl left
ended_at 1 INT 'cache/luabench/journals/model-*.jsonl.old' --output-dir dir
holds "a run without --resume keeps the cache folder's journal, too" \
    sh -c 'cmp left cache/luabench/journals/model-*.jsonl.old'
rm -f cache/luabench/journals/*
echo page > page.html
ended_at 3 INT 'cache/luabench/journals/model-*.jsonl' -o - --report page.html
holds "Ctrl-C leaves an earlier page alone, and shows what there is" \
    sh -c '[ "$(cat page.html)" = page ] && grep -q "\"schema\"" log'
mkdir page.d.html
holds "a page that cannot be written" says 2 'report page.d.html: it is a directory' --original wide \
    --report page.d.html

# ---- a kept model: only the one that was made, as it was made ----
# A run whose result cannot be written in the end leaves a journal with all it did.
some=(--original wide --quantize q8_0 --keep kept.gguf --max-new-tokens 20 --iterations 20 --quality-context 16
    --prompts-file prompts.json -o q.json)
"$LUABENCH" model "${some[@]}" > log 2>&1 &
for ((i = 0; i < 200; i++)); do
    [ -s q.json.journal ] && mkdir q.json && break
    sleep 0.05
done
wait $!
rmdir q.json
cp q.json.journal q.left
cp -p kept.gguf good.gguf
holds "a kept model that is as it was made" says 0 '6 of 6 prompts are done already' "${some[@]}" --resume
holds "is not made again" sh -c '[ ! kept.gguf -nt good.gguf ] && cmp kept.gguf good.gguf'
cp q.left q.json.journal
echo other > kept.gguf
holds "another file of its name" says 0 '6 of 6 prompts are done already' "${some[@]}" --resume
holds "is not taken for it" cmp kept.gguf good.gguf

# ---- what --resume takes for done: other threads, prompts, instructions or a file of --keep's name are not ----
mkdir random && cp wide/config.json random/
some=(--original random --random-weights --max-new-tokens 40 --iterations 60 --no-quality --prompts-file prompts.json)
ended_at 2 INT random/r.json.journal -o random/r.json
holds "a folder with the result in it is still the same model" says 0 '[12] of 3 prompts are done already' \
    "${some[@]}" -o random/r.json --resume
ended_at 2 INT t.json.journal -o t.json
cp t.json.journal t.left
for other in "--threads 1" "--timing"; do
    cp t.left t.json.journal
    holds "$other is another run" says 0 'no prompt of a run with these options' "${some[@]}" --iterations 1 $other \
        -o t.json --resume
done
cp t.left t.json.journal
portable_run() {
    LUABENCH_ISA=portable "$LUABENCH" model "${some[@]}" --max-new-tokens 4 -o t.json --resume 2>&1 |
        grep -q 'no prompt of a run with these options'
}
holds "as are other instructions" portable_run

if command -v python3 > /dev/null; then
    cat > verify.py <<'END'
import json
r = json.load(open("earlier.json"))
assert r["schema"] == "luabench/1" and len(r["cases"]) == 6
assert all(c["status"] == "ok" and c["check"]["passed"] and len(c["samples_ns"]) == 2 for c in r["cases"])
assert {c["axes"]["model"] for c in r["cases"]} == {"original", "quantized"}
a, b = r["models"]["original"], r["models"]["quantized"]
assert a["quality"]["perplexity"] > 1 and b["quality"]["kl"]["mean"] > 0 and 0 <= b["quality"]["top1_agreement"] <= 1
assert b["memory"]["weights_bytes"] < a["memory"]["weights_bytes"]
for m in (a, b):
    p = m["performance"]
    assert p["generation"]["count"] == 3 * 2 * 5 and p["prompts"]["ok"] == 3
    assert p["inter_token_latency"]["samples"] == 30 and p["time_to_first_token"]["samples"] == 6
    assert m["memory"]["peak_bytes"] >= m["memory"]["initial_bytes"] > 0 and m["memory"]["kv_bytes"] > 0
    assert m["load"]["total_ns"] > 0 and m["cold_start_ns"] > 0
    assert len(m["categories"]) == 2
row = {x["metric"]: x for x in r["comparison"]}["bits a weight"]
assert abs(row["ratio"] - row["quantized"] / row["original"]) < 1e-12
assert abs(row["difference"] - (row["quantized"] - row["original"])) < 1e-12
s = json.load(open("same.json"))["models"]["quantized"]["quality"]
assert s["kl"]["max"] == 0 and s["top1_agreement"] == 1
q = [m["quality"]["questions"] for m in json.load(open("questions.json"))["models"].values()]
assert [x["count"] for x in q] == [2, 2] and all(x["accuracy"] in (0, 0.5, 1) for x in q), q
against = [x["against"] for x in q if "against" in x]
assert len(against) == 1 and against[0]["same"] in (0, 0.5, 1), q
modes = ["eager", "plan", "fused"]
t = [[c["generated"]["tokens"] for c in json.load(open(m + ".json"))["cases"]] for m in modes]
assert t[0] == t[1] == t[2], t
assert [json.load(open(m + ".json"))["cases"][0]["mode"] for m in modes] == modes
for journal, result in ("first", "resumed1.json"), ("second", "resumed2.json"):
    kept = [json.loads(line)["record"] for line in open(journal).read().split("\n")[1:-1]]
    kept = [k for k in kept if "prompt_text" in k]
    r = json.load(open(result))
    cases = {c["case"]: c for c in r["cases"]}
    assert len(cases) == 6 and all(c["status"] == "ok" for c in cases.values()) and len(kept) >= 1
    for k in kept:
        assert cases[k["case"]]["samples_ns"] == k["samples_ns"] and cases[k["case"]]["generated"] == k["generated"]
    a, b = r["models"]["original"], r["models"]["quantized"]
    assert b["quality"]["kl"]["mean"] > 0 and a["performance"]["inter_token_latency"]["samples"] == 3 * 60 * 39
    assert a["memory"]["peak_bytes"] > 0 and b["load"]["total_ns"] > 0
x = json.load(open("random.json"))
assert x["models"]["original"]["random_weights"] is True and all(c["random_weights"] for c in x["cases"])
END
    holds "what stands in the results" python3 verify.py
else
    skipped=$((skipped + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
