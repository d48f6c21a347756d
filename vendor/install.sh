#!/bin/sh
# install.sh: installs the packages of packages.txt that are missing, through the system's package manager.
# Does nothing, quickly, when nothing is missing. `install.sh --check` only says what is missing (exit status 1).
set -u
table=$(dirname "$0")/packages.txt
brew_prefix=$(brew --prefix 2>/dev/null || true)

has_lua() {
    for dir in /usr/share/lua/5.1 /usr/local/share/lua/5.1 "$HOME/.luarocks/share/lua/5.1" \
               ${brew_prefix:+"$brew_prefix/share/lua/5.1"}; do
        if [ -f "$dir/$1.lua" ] || [ -f "$dir/$1/init.lua" ]; then return 0; fi
    done
    return 1
}
has_so() {
    for dir in /lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /lib/*-linux-* /usr/lib/*-linux-* \
               ${brew_prefix:+"$brew_prefix/lib" "$brew_prefix/opt/openblas/lib"}; do
        if [ -e "$dir/$1" ] || [ -e "$dir/${1%.so.*}.${1##*.so.}.dylib" ]; then return 0; fi
    done
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q "[[:space:]]$1 "
}
present() {
    case $1 in
        cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
        pkg:*) pkg-config --exists "${1#pkg:}" 2>/dev/null ;;
        lua:*) has_lua "${1#lua:}" ;;
        so:*)  has_so "${1#so:}" ;;
        *)     echo "install.sh: unknown probe \"$1\" in $table" >&2; exit 2 ;;
    esac
}

# Which column holds for this system: 2 debian, 3 fedora, 4 arch, 5 brew.
if command -v apt-get >/dev/null 2>&1; then column=2
elif command -v dnf >/dev/null 2>&1; then column=3
elif command -v pacman >/dev/null 2>&1; then column=4
elif command -v brew >/dev/null 2>&1; then column=5
else column=0; fi

missing='' packages='' rocks=''
while read -r probe debian fedora arch brew why; do
    case $probe in ''|'#'*) continue ;; esac
    if present "$probe"; then continue; fi
    case $column in 2) names=$debian ;; 3) names=$fedora ;; 4) names=$arch ;; 5) names=$brew ;; *) names=- ;; esac
    missing="$missing
  ${probe#*:} ($why): $names"
    for name in $(echo "$names" | tr , ' '); do
        case $name in
            -) ;;
            rock:*) rocks="$rocks ${name#rock:}" ;;
            *) packages="$packages $name" ;;
        esac
    done
done < "$table"
if [ -z "$missing" ]; then exit 0; fi

echo "luabench needs these, and they are missing:$missing"
if [ "${1:-}" = --check ]; then exit 1; fi
if [ $column = 0 ]; then
    echo "No package manager that is known here (apt-get, dnf, pacman, brew) was found: please install them by hand." >&2
    exit 1
fi
if [ -n "$rocks" ] && ! command -v luarocks >/dev/null 2>&1; then packages="$packages luarocks"; fi

sudo=''
if [ "$(id -u)" != 0 ] && [ $column != 5 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Installing needs root, and there is no sudo. As root, run: sh $0" >&2
        exit 1
    fi
    sudo=sudo
fi
run() {
    echo "+ $*"
    "$@" > /dev/null || { echo "install.sh: that failed; what is missing is listed above" >&2; exit 1; }
}
# shellcheck disable=SC2086  # lists of names are meant to be split
if [ -n "$packages" ]; then
    case $column in
        2) run $sudo apt-get update -qq
           run $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages ;;
        3) run $sudo dnf install -y $packages ;;
        4) run $sudo pacman -S --needed --noconfirm $packages ;;
        5) run brew install $packages ;;
    esac
fi
for rock in $rocks; do run $sudo luarocks --lua-version=5.1 install "$rock"; done
hash -r
exec sh "$0" --check
