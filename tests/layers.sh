#!/usr/bin/env bash
# layers.sh: checks who includes whom. Prints FILE:LINE and the rule for each violation; exit status 1 if there is any.
#
#   engine/      never lua.h or its kin (but in bind/ and main.c), never a header of kernels/, bind/ only from bind/
#                and main.c
#   kernels/     of the engine only the kernel-facing headers
#   everything   nothing from tests/, lua/ or scenarios/
set -u
cd "${1:-$(dirname "$0")/..}"
bad=0
facing=' kernel.h kernel_cuda.h cuda/library.h cuda/overlap.h op.h quantizer.h activation.h tensor.h scratch.h dtype.h'
facing+=' status.h device.h rng.h wide.h ops/slots.h ops/kv.h ops/recipes.h ops/topk.h '

complain() {
    echo "$1: includes \"$2\": $3"
    bad=$((bad + 1))
}

# target = the path, from the root, of what FILE means by NAME; "" for a system header. There are thousands of lines: no
# program is started for one.
resolve() {
    local path parent
    for path in "${1%/*}/$2" "$2" "engine/$2"; do
        [ -f "$path" ] || continue
        while [[ $path == *//* ]]; do path=${path/\/\//\/}; done
        path=/$path
        while [[ $path == */./* ]]; do path=${path/\/.\//\/}; done
        path=${path#/}
        while [[ $path == */../* ]]; do         # a/b/../c is a/c
            parent=${path%%/../*}
            [[ $parent == */* ]] && parent=${parent%/*}/ || parent=
            path=$parent${path#*/../}
        done
        target=$path
        return
    done
    target=
}

include='#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"]'
while IFS=: read -r file line text; do
    [[ $text =~ $include ]] || continue
    name=${BASH_REMATCH[1]}
    resolve "$file" "$name"
    at=$file:$line
    case $file in
        engine/bind/*|engine/main.c) inside=0 ;;
        engine/*) inside=1 ;;
        *) inside=2 ;;
    esac
    if [ $inside != 0 ]; then
        case $name in
            lua.h|lauxlib.h|lualib.h|luajit.h|*/lua.h|*/lauxlib.h|*/lualib.h|*/luajit.h)
                complain "$at" "$name" "only engine/bind/ and engine/main.c know Lua" ;;
        esac
        case $target in
            engine/bind/*) complain "$at" "$name" "only engine/bind/ and engine/main.c include the bindings" ;;
        esac
    fi
    case $target in
        kernels/*) [ $inside != 2 ] && complain "$at" "$name" "the engine finds kernels through their registry" ;;
        engine/bind/*) ;;
        engine/*)
            if [ $inside = 2 ] && [[ $facing != *" ${target#engine/} "* ]]; then
                complain "$at" "$name" "kernels include only:$facing"
            fi ;;
        tests/*|lua/*|scenarios/*|vendor/*) complain "$at" "$name" "the program does not depend on $target" ;;
    esac
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' engine kernels --include='*.[ch]' \
              --include='*.cu' --include='*.cuh' --include='*.def' --include='*.inc')

[ $bad = 0 ] || echo "$bad violations of the layers"
[ $bad = 0 ]
