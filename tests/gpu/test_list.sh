#!/usr/bin/env bash
# test_list.sh: kernels/README.md lists every CUDA kernel of registry.def, once, with what is known of it.
# `tests/gpu/test_list.sh record` writes the list: a kernel that is new is "compiled, not yet run"; what was said of the
# others stays.
set -u
cd "$(dirname "$0")/../.."
readme=kernels/README.md
begin='<!-- CUDA kernels -->' end='<!-- end of CUDA kernels -->'
registered() { sed -n 's/^LB_KERNEL_CUDA\(_LIBRARY\)\{0,1\}(\([a-z0-9_]*\))$/\2/p' kernels/registry.def | sort; }
section() { awk -v b="$begin" -v e="$end" '$0 == e { on = 0 } on; $0 == b { on = 1 }' $readme; }
listed() { section | sed -n 's/^| `\([a-z0-9_]*\)` | .*/\1/p'; }

if [ "${1:-}" = record ]; then
    {
        awk -v b="$begin" '{ print } $0 == b { exit }' $readme
        echo '| kernel | state |'
        echo '|---|---|'
        registered | while read -r k; do
            old=$(section | grep -F "| \`$k\` |" | head -n 1)
            echo "${old:-| \`$k\` | compiled, not yet run |}"
        done
        awk -v e="$end" '$0 == e { on = 1 } on' $readme
    } > $readme.new && mv $readme.new $readme
    exit
fi
failed=0
[ "$(registered | wc -l)" -gt 60 ] || { echo "registry.def was not understood"; failed=1; }
if ! diff <(registered) <(listed) > /dev/null; then
    echo "kernels/README.md and registry.def differ (tests/gpu/test_list.sh record):"
    diff <(registered) <(listed) | sed -n 's/^</  not in the list:/p; s/^>/  not registered, or twice:/p'
    failed=1
fi
# A kernel that is said to have run has a result file.
if section | grep '^| `' | grep -qv 'compiled, not yet run' && ! ls tests/gpu/results/check-* > /dev/null 2>&1; then
    echo "a kernel is said to have run, but there is no tests/gpu/results/check-*"
    failed=1
fi
echo "$((1 - failed)) passed, $failed failed"
exit $failed
