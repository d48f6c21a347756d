#!/usr/bin/env bash
# test_tune.sh: luabench tune: what is measured is kept, used, shown, forgotten; stale and broken files do not count;
# --kernels and --tune; the record says which kernel ran and why.
set -u
cd "$(dirname "$0")/../.."
tree=$PWD
. tests/cli/common.sh
cd "$work" || exit 1
file=cache/luabench/choices.json
small=(--work softmax --k 256 --rows 4)
quick=("${small[@]}" --quick --max-time 0.05 --kernel-time 0.02)
tune() { "$LUABENCH" tune "$@" > out 2> err; echo $?; }
run() { "$LUABENCH" "$tree/scenarios/kernel_choice.lua" "${quick[@]}" "$@" -o r.json > out 2> err; echo $?; }
ran() { grep -A 9 "\"path\"" r.json | tr -d '\n' | grep -q "\"kernel\": \"$1\".*\"why\": \"$2\""; }
status=$(tune "${small[@]}" --kernel-time 0.02)
if grep -q 'skipped: one kernel fits' out; then
    echo "0 passed, 0 failed, 1 skipped"       # a processor with one variant of softmax
    exit 77
fi
holds "tune" test "$status" = 0
holds "the form is told" grep -q '^softmax x f32\[4, 256\] out f32\[4, 256\] scale=1' out
holds "times of more than one kernel" grep -Eq 'softmax.f32.[a-z0-9]+ [0-9.]+ [nu]s, softmax.f32' out
holds "where it is kept" grep -q '1 form met, 1 measured in .*choices.json' err
holds "the file" grep -q '"version": 1' "$file"
holds "nothing is measured twice" \
    test "$(tune "${small[@]}" --kernel-time 0.02; grep -c '1 form met, 0 measured' err)" = "0
1"
best=$(grep -o '"default": "[^"]*"' "$file" | cut -d'"' -f4)
other=softmax.f32.portable
holds "show" sh -c "'$LUABENCH' tune --show | grep -q '1 form of cpu with'"
holds "show as JSON" sh -c "'$LUABENCH' tune --show --json | grep -q '\"default\": \"$best\"'"
holds "info tells where" \
    sh -c "'$LUABENCH' info | grep -A 1 -E '^  choices' | tr -d '\n' | grep -q 'choices.json: 1 form'"
holds "list kernels tells" sh -c "'$LUABENCH' list kernels | grep -E '^ *$best .*of 1 measured form\\)'"

# As if the other one had been faster.
sed -i "s/\"kernel\": \"[^\"]*\"/\"kernel\": \"$other\"/" "$file"
holds "a run" test "$(run)" = 0
holds "it uses what was measured" ran "$other" measured
holds "its regret is in the record" grep -q '"regret_of_priority"' r.json
holds "by priority" sh -c "test $(run --kernels priority) = 0"
holds "then nothing measured counts" ran "$best" priority
holds "a named kernel" test "$(run --kernels "no.such.kernel,$best")" = 0
holds "then it runs" ran "$best" preferred
holds "a name that fits nowhere" test "$(run --kernels softmax.f32.portabel)" = 0
holds "is a skipped case that says why" \
    grep -Eq 'skipped: --kernels: none of them runs.*did you mean "softmax.f32.portable"' out
holds "explain tells" sh -c \
    "'$LUABENCH' -e 'lb.explain(lb.plan():softmax { x = lb.randn({ 3, 256 }) })' | grep -q 'chosen  by measurement'"
holds "another form is not meant" sh -c "'$LUABENCH' -e 'lb.explain(lb.plan():softmax { x = lb.randn({ 3, 128 }) })' |
    grep -q 'nothing was measured for this form'"

# Another build, another version of the file, no JSON at all: as if it were not there.
cp "$file" kept.json
sed -i 's/"build": "/"build": "other /' "$file"
holds "another build" test "$(run)" = 0
holds "does not count" ran "$best" priority
holds "info tells that" sh -c "'$LUABENCH' info | tr -s ' \n' ' ' | grep -q '1 of another build do not count'"
sed 's/"version": 1/"version": 2/' kept.json > "$file"
holds "another version" sh -c "test $(run) = 0 && grep -q '\"why\": \"priority\"' r.json"
echo '{ "version": 1, "machines": [' > "$file"
holds "a broken file" sh -c "test $(run) = 0 && grep -q '\"why\": \"priority\"' r.json"
holds "--tune measures what is missing" \
    test "$(run --tune; grep -c measured "$file" > /dev/null; grep -c '"default"' "$file")" = "0
1"
holds "forget" test "$(tune --forget; grep -c '1 form of cpu' out)" = "0
1"
holds "then there is none" sh -c "'$LUABENCH' tune --show | grep -q '^0 forms'"
holds "an unknown scenario" test "$(tune no_such_thing)" = 2
holds "a wrong option" test "$(tune --kernel-time x)" = 2
holds "help" sh -c "'$LUABENCH' tune --help | grep -q -- --kernel-time"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
