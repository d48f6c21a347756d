#!/usr/bin/env bash
# test_disturbed.sh: a busy neighbour on the same processors makes rows noisy, and the gates claim nothing; energy
# counters give joules an item.
set -u
. "$(dirname "$0")/common.sh"
burners=()
cleanup() {
    [ ${#burners[@]} = 0 ] || kill "${burners[@]}" 2> /dev/null
    rm -rf "$work"
}
trap cleanup EXIT

cd "$work" || exit 1
cat > one.lua <<'END'
local lb = require "luabench"
return lb.scenario {
  about = "one product",
  grid = lb.grid { m = { 4 } },
  case = function(g, opt)
    local x = lb.randn({ g.m, 256 }, { seed = 1, device = opt.device })
    local w = lb.randn({ 256, 256 }, { seed = 2, device = opt.device })
    return { plan = lb.plan(opt.device):gemm { x = x, w = w }, items = g.m, item = "row" }
  end,
}
END

several=(one.lua --threads 1 --cache hot --quick --measurement-iterations 40 --processes 6)
"$LUABENCH" "${several[@]}" -o base.json > /dev/null 2> err
loop='i=0; while [ $i -lt %d ]; do i=$((i + 1)); done'

# ---- a neighbour: one loop for each processor, so that wherever the run is pinned, it has to share ----
for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    burners+=($!)
done
"$LUABENCH" one.lua --threads 1 --cache hot --max-time 2 --precision 0.0001 -o noisy.json > table.txt 2> err
status=$?
"$LUABENCH" "${several[@]}" -o new.json > /dev/null 2> err
# half as much work again: without the neighbour that is a regression
"$LUABENCH" ab one.lua one.lua --threads 1 --cache hot --extra-work 0.5 --pairs 6 --max-pairs 6 -o ab.json \
    > ab.txt 2> err
ab_status=$?
"$LUABENCH" ab "$(printf "$loop" 20000)" "$(printf "$loop" 60000)" --pairs 6 --max-pairs 6 -o commands.json \
    > commands.txt 2> err
commands_status=$?
kill "${burners[@]}" 2> /dev/null
wait "${burners[@]}" 2> /dev/null
burners=()
holds "a disturbed run is no failure" test $status = 0
holds "the row is noisy" grep -q '"noisy": true' noisy.json
holds "the table says so" grep -q 'noisy$' table.txt
# 1 switched + 8 delayed; other causes may come with them
holds "its samples say why" sh -c "tr -d ' \n' < noisy.json | grep -o '\"marks\":\[[^]]*\]' | tr ',[' '\n\n' |
    awk '\$1 % 2 == 1 || int(\$1 / 8) % 2 == 1 { found = 1 } END { exit !found }'"
holds "it counted switches or waiting" \
    sh -c "tr -d ' \n' < noisy.json | grep -Eq '\"involuntary_switches\":[1-9]|\"run_delay_ns\":[1-9]'"

# ---- the gates ----
holds "its processes are noisy" grep -q '"noisy": true' new.json
# a neighbour may halve the read ceiling, too, by which `compare` knows machines apart
"$LUABENCH" compare --different-machines base.json new.json > compare.txt 2> err
status=$?
cat compare.txt err > all
holds "compare finds no regression" test $status = 0
holds "the verdict is inconclusive, and says why" grep -Eq 'inconclusive.*noisy in (NEW|both)' compare.txt
holds "the other way round too" \
    sh -c "$LUABENCH compare --different-machines new.json base.json | grep -Eq 'inconclusive.*noisy in (BASE|both)'"
holds "ab finds no regression" test $ab_status = 0
holds "ab is inconclusive, and says why" grep -q 'noisy: .* disturbed, so nothing is claimed' ab.txt
holds "its file too" sh -c "grep -q '\"verdict\": \"inconclusive\"' ab.json && grep -q '\"noisy\": true' ab.json"
if [ -r /proc/pressure/cpu ]; then
    holds "so is ab of commands" sh -c "[ $commands_status = 0 ] && grep -q 'noisy: .* time was disturbed' commands.txt"
fi

# ---- energy: a package that uses 0.1 J every few milliseconds, as files ----
mkdir -p rapl/intel-rapl:0
echo package-0 > rapl/intel-rapl:0/name
echo 262143328850 > rapl/intel-rapl:0/max_energy_range_uj
printf '%012d\n' 1 > rapl/intel-rapl:0/energy_uj
(uj=1; while sleep 0.005; do uj=$((uj + 100000)); printf '%012d\n' $uj 1<> rapl/intel-rapl:0/energy_uj; done) &
burners+=($!)
LUABENCH_POWERCAP=$PWD/rapl "$LUABENCH" one.lua --quick --cache hot -o energy.json > /dev/null 2> err
kill "${burners[@]}" 2> /dev/null
wait "${burners[@]}" 2> /dev/null
burners=()
holds "joules an item" sh -c "tr -d ' \n' < energy.json | grep -Eq '\"joules_per_item\":[0-9.e-]*[1-9]'"
holds "info says what is counted" \
    sh -c "LUABENCH_POWERCAP=$PWD/rapl $LUABENCH info | grep -q 'energy  *counted: package-0'"
holds "info says why nothing is" \
    sh -c "LUABENCH_POWERCAP=$PWD/none $LUABENCH info | grep -q 'energy  *unknown: .*none: No such file'"
LUABENCH_POWERCAP=$PWD/none "$LUABENCH" one.lua --quick --cache hot -o none.json > /dev/null 2> err
holds "unknown energy is null" sh -c "tr -d ' \n' < none.json | grep -q '\"energy\":null\|\"joules_per_item\":null'"
holds "counters are there, or info says why not" sh -c "$LUABENCH info | grep -Eq 'counters  *(none: |cycles)'"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
