#!/usr/bin/env bash
# test_build.sh: the build's own promises: layers can be violated, missing packages are named, an installed tree runs,
# and the example of a kernel in kernels/README.md compiles against the installed headers.
set -u
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0
check() {
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAILED: $what"; fi
}
has() { grep -qF -- "$1" "$2" || { echo "  \"$1\" is not in:"; sed 's/^/    /' "$2"; return 1; }; }

# ---- layers: one violation of each rule in a small tree of its own -------------------------------------------------
tree=$tmp/tree
mkdir -p "$tree"/engine/bind "$tree"/engine/ops "$tree"/kernels/cpu
touch "$tree"/engine/{pool,kernel}.h "$tree"/engine/bind/bind.h "$tree"/engine/ops/slots.h "$tree"/kernels/cpu/k.h
printf '#include <lua.h>\n#include "bind.h"\n#include "../pool.h"\n' > "$tree"/engine/bind/fine.c
printf '#include "engine/kernel.h"\n#include "../../engine/ops/slots.h"\n#include "k.h"\n' > "$tree"/kernels/cpu/fine.c
check 'layers: a clean tree passes' bash tests/layers.sh "$tree"
printf '\n#include <lua.h>\n' > "$tree"/engine/a.c
printf '#include "kernels/cpu/k.h"\n' > "$tree"/engine/b.c
printf '#include "bind/bind.h"\n' > "$tree"/engine/c.c
printf '#include "engine/pool.h"\n' > "$tree"/kernels/cpu/d.c
printf '#include "./bind//bind.h"\n#include "./../kernels/cpu/k.h"\n' > "$tree"/engine/e.c
bash tests/layers.sh "$tree" > "$tmp/layers.txt"
check 'layers: violations fail' test $? = 1
for place in engine/a.c:2 engine/b.c:1 engine/c.c:1 kernels/cpu/d.c:1 engine/e.c:1 engine/e.c:2 '6 violations'; do
    check "layers: $place" has "$place" "$tmp/layers.txt"
done

# ---- install.sh: without pkg-config and the compiler on the PATH ---------------------------------------------------
mkdir "$tmp/bin"
for tool in sh dirname tr grep id ls apt-get; do
    path=$(command -v $tool) && ln -s "$path" "$tmp/bin/$tool"
done
env PATH="$tmp/bin" sh vendor/install.sh --check > "$tmp/install.txt" 2>&1
check 'install.sh --check: missing packages are an error' test $? = 1
for name in 'cc (C compiler)' 'pkg-config' 'luajit' 'zlib'; do
    check "install.sh: names $name" has "$name" "$tmp/install.txt"
done
check 'install.sh --check: nothing is missing here' sh vendor/install.sh --check
while read -r probe debian fedora arch brew why; do
    case $probe in ''|'#'*) continue ;; esac
    check "packages.txt: $probe has all columns" \
        test -n "$debian" -a -n "$fedora" -a -n "$arch" -a -n "$brew" -a -n "$why"
done < vendor/packages.txt

# ---- version.h ----------------------------------------------------------------------------------------------------
(cd "$tmp" && sh "$OLDPWD/vendor/version.sh" '1.2"3' cc '-DX="y"') > "$tmp/version.h"
printf '%s\n' '#include "version.h"' 'const char *v[] = { LB_VERSION, LB_COMMIT, LB_COMPILER, LB_FLAGS };' \
    'int d = LB_DIRTY;' > "$tmp/v.c"
check 'version.h: quotes survive, and no commit is known outside of a checkout' cc -c -I "$tmp" -o "$tmp/v.o" "$tmp/v.c"
check 'version.h: no commit' has 'LB_COMMIT ""' "$tmp/version.h"

# ---- what runs before main() runs on every processor --------------------------------------------------------------
build=$(dirname "$LUABENCH")
without_constructors() {
    local o found=0
    for o in "$build"/obj/kernels/cpu/*_avx2.o "$build"/obj/kernels/cpu/*_avx512.o \
        $(cd "$build/obj" && ls kernels/cpu/*_amx.o 2> /dev/null | sed "s|^|$build/obj/|"); do
        [ -e "$o" ] || { echo "  no objects in $build/obj/kernels/cpu"; return 1; }
        if LC_ALL=C objdump -h "$o" | grep -qE '\.(init_array|ctors)'; then echo "  $o has constructors"; found=1; fi
    done
    return $found
}
check 'kernels of an instruction set have no constructors' without_constructors

# ---- an installed tree --------------------------------------------------------------------------------------------
check 'make install' make --no-print-directory -s -o "$build/luabench" install BUILD="$build" PREFIX=/opt/lb \
    DESTDIR="$tmp/root"
check 'the installed program runs from its own files' test "$(cd / && env -u LUABENCH_LUA \
    "$tmp/root/opt/lb/bin/luabench" -e 'print(6 * 7)')" = 42
sed -n '/^```c$/,/^```$/p' kernels/README.md | grep -v '^```' > "$tmp/mine.c"
check 'the example kernel compiles' cc -Wall -Wno-unused-parameter -Werror -O2 -shared -fPIC \
    -I "$tmp/root/opt/lb/include/luabench" -o "$tmp/mine.so" "$tmp/mine.c"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
