#!/usr/bin/env bash
# test_quantize.sh: luabench quantize as a user sees it: tables, statuses, messages; and that neither SIGKILL nor SIGINT
# on the way leaves a part under the final name, or costs an earlier result. Read back with gguf and safetensors of PyPI
# where they are installed.
set -u
command=quantize
. "$(dirname "$0")/common.sh"

"$LUABENCH" -e "local tiny = dofile 'tests/lua/tiny_models.lua'
for _, kind in ipairs { 'wide', 'mixtral' } do tiny.make('$work/' .. kind, kind) end" || exit 1
cd "$work" || exit 1

holds "a table with bits and errors" says 0 '^q4_k  *13  *1.02M  *4.500 ' wide a.gguf --type q4_k
holds "neighbours are told" says 0 'q5_0 in the place of q4_k for 16 tensors' mixtral b.gguf --type q4_k
holds "every tensor, on demand" says 0 '^blk.1.ffn_up.weight  *up  *q8_0 ' wide a2.gguf --type q8_0 --tensors
holds "a summary as JSON" says 0 '"schema": "luabench-quantize/1"' wide a3.gguf --type q8_0 --quiet -o -
holds "the rule" says 0 "^q6_k " wide a4.gguf --bits-rule outliers
holds "formats that GGUF has not" says 2 'GGUF has no types for these' wide c.gguf --bits-rule outliers \
    --bits-formats uniform
holds "bounds without the rule" says 2 'belong to --bits-rule' wide c.gguf --type q4_k --min-bits 3
holds "no type" says 2 'type RECIPE is missing' wide c.gguf
holds "an unknown type" says 2 'did you mean .q4_k' wide c.gguf --type q4k
holds "both" says 2 'both choose the formats' wide c.gguf --type q4_k --bits-rule outliers
holds "no such model" says 2 'cannot read\|No such file' nothing c.gguf --type q4_k
holds "an ending that says nothing" says 2 'ends in .gguf or .safetensors' wide c.bin --type q4_k
holds "another model than was asked for" says 2 'not mixtral as was asked for' wide c.gguf --type q4_k \
    --model-type mixtral
holds "a size that is none" says 2 'such as 500M' wide c.gguf --type q4_k --split 5x
holds "nothing was written for these" test ! -e c.gguf
printf 'GGUF\003\000\000\000garbage' > bad.gguf
holds "a damaged file" says 2 'bad.gguf' bad.gguf c.gguf --type q4_k
holds "a folder gets the tokenizer too" sh -c "'$LUABENCH' quantize mixtral out/ --type int4wo-32 --quiet &&
    cmp out/tokenizer.json mixtral/tokenizer.json && cmp out/config.json mixtral/config.json"
holds "parts" sh -c "'$LUABENCH' quantize wide p.gguf --type q8_0 --split 300k --quiet &&
    ls p-00001-of-0000?.gguf && [ ! -e p.gguf ]"
holds "not over parts, however many they are" sh -c "
    '$LUABENCH' quantize wide p.gguf --bits-rule outliers --split 1G > said 2>&1; [ \$? = 2 ] &&
    grep -q 'p-00001-of-0000..gguf is there already' said && [ ! -e p.gguf ]"
holds "to a full disk" sh -c "! '$LUABENCH' quantize wide /dev/full/x.gguf --type q4_k"

# ---- killed on the way: enough work for seconds, ended after a part of one ----
"$LUABENCH" -e "local lb, core = require 'luabench', require 'luabench.core'
core.mkdir_p 'large'
local all = {}
for i = 1, 24 do all[('layers.%d.weight'):format(i)] = lb.randn({ 2048, 1024 }, { seed = i }):to 'bf16' end
lb.save('large/model.safetensors', all)" || exit 1
echo "an earlier result" > k.safetensors
cp k.safetensors earlier
listing() { ls -A | grep -v '^all$\|^said$\|^k.log$'; }
before=$(listing)

ended() {     # ended SIGNAL STATUS: the program's status after the signal is this one
    "$LUABENCH" quantize large k.safetensors --type trellis-2 --threads 1 > k.log 2>&1 &
    local pid=$!
    sleep 1
    kill -"$1" $pid
    wait $pid 2> /dev/null
    local got=$?
    echo "status $got"; cat k.log
    [ $got = "$2" ]
}
holds "SIGINT: status 130" ended INT 130
holds "it says so" grep -q "interrupted; k.safetensors is what it was before" k.log
holds "SIGINT: the earlier file is as it was" cmp k.safetensors earlier
holds "SIGINT: nothing else is left" test "$(listing)" = "$before"
holds "SIGTERM" ended TERM 130
holds "SIGKILL" ended KILL 137
holds "SIGKILL: the earlier file is as it was" cmp k.safetensors earlier
if [ "$(stat -f -c %T .)" = overlayfs ]; then skipped=$((skipped + 1))      # may have no files without names
else holds "SIGKILL: nothing else is left" test "$(listing)" = "$before"; fi

python=
for p in python3 ${LUABENCH_PYTHON:-}; do "$p" -c 'import gguf, safetensors, numpy' 2> /dev/null && python=$p; done
if [ -n "$python" ]; then
    cat > verify.py <<'END'
import gguf, numpy as np
from safetensors import safe_open
w = safe_open("wide/model.safetensors", "np")
r = gguf.GGUFReader("a2.gguf")
t = {x.name: x for x in r.tensors}
got = gguf.quants.dequantize(np.asarray(t["blk.1.ffn_up.weight"].data), t["blk.1.ffn_up.weight"].tensor_type)
want = w.get_tensor("model.layers.1.mlp.up_proj.weight")
assert got.shape == want.shape and np.abs(got - want).max() <= np.abs(want).max() / 254 * 1.01
q = gguf.quants.dequantize(np.asarray(t["blk.0.attn_q.weight"].data), t["blk.0.attn_q.weight"].tensor_type)
n = want = w.get_tensor("model.layers.0.self_attn.q_proj.weight")
heads = 4
p = n.reshape(heads, 2, n.shape[0] // heads // 2, n.shape[1]).swapaxes(1, 2).reshape(n.shape)
assert np.abs(q - p).max() <= np.abs(p).max() / 254 * 1.01
f = {k: v.contents() for k, v in r.fields.items() if not k.startswith("GGUF.")}
assert f["general.architecture"] == "llama" and f["llama.vocab_size"] == len(f["tokenizer.ggml.tokens"])
o = safe_open("out/model.safetensors", "np")
assert o.metadata()["luabench.quantized:model.layers.0.self_attn.q_proj.weight"] == "int4wo-32 64 64"
assert o.get_tensor("model.norm.weight").dtype == np.float32
END
    holds "gguf and safetensors read what was written" "$python" verify.py
else
    skipped=$((skipped + 1))
    echo "skipped: gguf and safetensors for Python are not installed (LUABENCH_PYTHON names another python)"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
