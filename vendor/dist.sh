#!/usr/bin/env bash
# dist.sh: makes $BUILD/luabench-VERSION-ARCH.tar.gz, which runs wherever the C library is at least as new as here.
# Called by `make dist`:  dist.sh VERSION ARCH FLAGS LIBS OBJECT...
#
#   bin/luabench                 linked with an rpath of $ORIGIN/../lib
#   lib/                         every shared object it needs or loads later, but for the C library's own
#   share/luabench/              Lua files (argparse among them), scenarios, how to write kernels, licences
#   include/luabench/            headers for kernels that are loaded at run time
# Then unpacks it and runs it, in a root directory of its own where the system allows that.
set -eu
version=$1 arch=$2 flags=$3 libs=$4
shift 4
name=luabench-$version-$arch
work=$BUILD/dist
stage=$work/$name
rm -rf --one-file-system "$work"
mkdir -p "$stage/bin" "$stage/lib" "$stage/share/luabench/licences"
fail() { echo "make dist: $*" >&2; exit 1; }

# ---- the program --------------------------------------------------------------------------------------------------
# The old kind of tag (DT_RPATH) holds for the libraries' own libraries, and for what is loaded later, too.
# shellcheck disable=SC2086  # flags are meant to be split
$CC $flags -rdynamic -Wl,-rpath,'$ORIGIN/../lib' -Wl,--disable-new-dtags -o "$stage/bin/luabench" "$@" $libs
strip --strip-debug "$stage/bin/luabench"

# ---- the libraries ------------------------------------------------------------------------------------------------
loaded_later='libopenblas.so.0 libedit.so.2'
of_libc='^(linux-vdso|ld-linux|libc\.so|libm\.so|libmvec\.so|libpthread\.so|libdl\.so|librt\.so|libresolv\.so|libutil\.so)'
find_so() {
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk -v name="$1" '$1 == name { print $NF; exit }'
}
for so in $loaded_later; do
    path=$(find_so "$so")
    [ -n "$path" ] || fail "$so is not installed (make setup installs it)"
    echo "$path"
done > "$work/roots"
{
    ldd "$stage/bin/luabench"
    while read -r path; do
        echo "$(basename "$path") => $path (0)"
        ldd "$path"
    done < "$work/roots"
} | awk '$2 == "=>" { print $1, $3 }' | grep -vE "$of_libc" | sort -u > "$work/libraries"
grep ' not$' "$work/libraries" && fail "a library was not found"
while read -r so path; do
    install -m 644 "$(realpath "$path")" "$stage/lib/$so"
    if readelf -d "$stage/lib/$so" | grep -qE 'R(UN)?PATH'; then fail "$path has an rpath of its own"; fi
    # Their licences ask to go with them.
    package=$(dpkg -S "$(realpath "$path")" 2>/dev/null | head -n 1 | cut -d: -f1 || true)
    if [ -n "$package" ] && [ -f "/usr/share/doc/$package/copyright" ]; then
        cp "/usr/share/doc/$package/copyright" "$stage/share/luabench/licences/$package"
    fi
done < "$work/libraries"

# ---- the CUDA part and the tests that need a GPU -------------------------------------------------------------------
if [ -f "$BUILD/lib/luabench_cuda.so" ]; then
    install -m 755 "$BUILD/lib/luabench_cuda.so" "$stage/lib/"
    strip --strip-debug "$stage/lib/luabench_cuda.so"
    gpu=$stage/share/luabench/gpu
    mkdir -p "$gpu"
    for program in gpu_ops gpu_matrix_kernels gpu_small_kernels gpu_bare; do
        [ -x "$BUILD/tests/$program" ] || fail "$program was not built"
        install -m 755 "$BUILD/tests/$program" "$gpu/"
        strip --strip-debug "$gpu/$program"
    done
    cp tests/gpu/check.sh tests/gpu/bench.sh tests/gpu/bench.lua tests/gpu/bench_torch.py tests/gpu/bench_moe_triton.py tests/gpu/device_cases.lua "$gpu/"
    path=$(find_so libcmocka.so.0)
    [ -n "$path" ] || fail "libcmocka.so.0 is not installed"
    install -m 644 "$(realpath "$path")" "$stage/lib/libcmocka.so.0"
fi

# ---- the files ----------------------------------------------------------------------------------------------------
cp -R lua scenarios "$stage/share/luabench/"
argparse=''
for dir in /usr/share/lua/5.1 /usr/local/share/lua/5.1 "$HOME/.luarocks/share/lua/5.1"; do
    if [ -z "$argparse" ] && [ -f "$dir/argparse.lua" ]; then argparse=$dir/argparse.lua; fi
done
[ -n "$argparse" ] || fail "argparse.lua is not installed (make setup installs it)"
cp "$argparse" "$stage/share/luabench/lua/argparse.lua"
if [ -f /usr/share/doc/lua-argparse/copyright ]; then
    cp /usr/share/doc/lua-argparse/copyright "$stage/share/luabench/licences/lua-argparse"
fi
cp README.md "$stage/"
mkdir -p "$stage/share/luabench/kernels" "$stage/include/luabench/ops"
cp kernels/README.md "$stage/share/luabench/kernels/README.md"
for d in cpu cuda quant; do
    mkdir -p "$stage/share/luabench/kernels/$d"
    cp "kernels/$d/README.md" "$stage/share/luabench/kernels/$d/README.md"
done
for h in kernel kernel_cuda op quantizer activation tensor dtype status device rng; do
    cp "engine/$h.h" "$stage/include/luabench/"
done
for h in slots kv recipes topk; do cp "engine/ops/$h.h" "$stage/include/luabench/ops/"; done

when=$(git log -1 --format=%ct 2>/dev/null || date +%s)
archive=$BUILD/$name.tar.gz
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$when" -cf - "$name" | gzip -9n > "$archive"

# ---- does it run? -------------------------------------------------------------------------------------------------
root=$work/root
mkdir -p "$root"
tar -C "$root" -xzf "$archive"
inside=$root/$name
# `env -i`: no LD_LIBRARY_PATH, no LUABENCH_*.
got=$(env -i PATH=/usr/bin:/bin HOME=/tmp "$inside/bin/luabench" -e 'print(6 * 7)') || fail "the unpacked program does not start"
[ "$got" = 42 ] || fail "the unpacked program printed \"$got\" instead of 42"
strange=$(ldd "$inside/bin/luabench" | awk '$2 == "=>" { print $1, $3 }' | grep -vE "$of_libc" |
          grep -v " $(realpath "$inside")/" || true)
[ -z "$strange" ] || fail "these come from outside of the archive: $strange"

# A root directory with nothing but the archive and the C library, as on a bare machine.
{ ldd "$inside/bin/luabench"; for so in "$inside"/lib/*; do ldd "$so"; done; } |
    awk '$2 == "=>" { print $1, $3 } $1 ~ /^\// { print $1, $1 }' | sed 's/^\/[^ ]*\///' |
    grep -E "$of_libc" | sort -u | while read -r so path; do
        case $path in /*) mkdir -p "$root$(dirname "$path")" && cp -L "$path" "$root$path" ;; esac
    done
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp"
as_root=-r
[ "$(id -u)" = 0 ] && as_root=
# shellcheck disable=SC2086
bare() {
    env -i HOME=/tmp unshare $as_root -m sh -c '
        root=$1; shift
        for d in proc sys dev; do mount --rbind /$d "$root/$d" || exit 125; done
        exec chroot "$root" "$@"' sh "$root" "$@"
}
if ! bare "/$name/bin/luabench" -e 'os.exit(0)' 2> "$work/bare.log"; then
    if unshare $as_root -m true 2>/dev/null; then cat "$work/bare.log"; fail "it does not start without the packages"; fi
    echo "make dist: no namespaces here, so it was not tried in a bare root directory, only with an empty environment"
else
    loader=$(cd "$root" && echo lib64/ld-linux-*.so.* lib/ld-linux-*.so.* | tr ' ' '\n' | grep -v '\*' | head -n 1)
    for so in "$inside"/lib/*; do
        bare "/$loader" --library-path "/$name/lib" --list "/$name/lib/$(basename "$so")" > "$work/list" ||
            fail "$(basename "$so") lacks a library: $(cat "$work/list")"
    done
    bare "/$name/bin/luabench" "/$name/share/luabench/scenarios/moe_mixed.lua" --model synthetic --tokens 1 \
        --strategies fast_mixed --quick --output-dir /tmp > "$work/bare.log" 2>&1 ||
        { cat "$work/bare.log"; fail "a scenario fails without the packages"; }
    echo "make dist: it ran without the packages, in a root directory of its own"
fi
rm -rf --one-file-system "$work"
ls -l "$archive" | awk '{ printf "%s  %.1f MB\n", $NF, $5 / 1e6 }'
