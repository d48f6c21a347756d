# common.sh: sourced by tests of one command: a folder of its own in $work that goes away, counts, and what holds or is
# said. `command` names the command before says() is used.
: "${LUABENCH:?the program to test}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache NO_COLOR=1 TMPDIR=$work/tmp
mkdir "$TMPDIR"
passed=0 failed=0 skipped=0

# holds NAME COMMAND...
holds() {
    local name=$1
    shift
    if "$@" > "$work/all" 2>&1; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
        sed 's/^/    /' "$work/all" | head -n 30
    fi
}

# says STATUS PATTERN ARGUMENTS...
says() {
    local status=$1 pattern=$2
    shift 2
    "$LUABENCH" "$command" "$@" > "$work/said" 2>&1
    local got=$?
    echo "status $got"
    cat "$work/said"
    [ $got = "$status" ] && grep -q -- "$pattern" "$work/said"
}
