# common.sh: sourced by tests of one command: a folder of its own in $work that goes away, counts, and what holds or is
# said. `command` names the command before says() is used.
: "${LUABENCH:?the program to test}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state NO_COLOR=1 TMPDIR=$work/tmp
mkdir "$TMPDIR"
passed=0 failed=0 skipped=0

# Shows what was said last.
say_failed() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    sed 's/^/    /' "$work/all" | head -n 30
}

# holds NAME COMMAND...: the command succeeds
holds() {
    local name=$1
    shift
    if "$@" > "$work/all" 2>&1; then passed=$((passed + 1)); else say_failed "$name"; fi
}

# check NAME STATUS PATTERN COMMAND...: the status, and an extended regular expression in what was said ("" = anything).
# What was said stays in $work/out and $work/err, and both in $work/all.
check() {
    local name=$1 want=$2 pattern=$3 status
    shift 3
    timeout 120 "$@" > "$work/out" 2> "$work/err" < /dev/null
    status=$?
    cat "$work/out" "$work/err" > "$work/all"
    if [ "$status" != "$want" ]; then say_failed "$name: exit status $status, expected $want"
    elif [ -n "$pattern" ] && ! grep -Eq -- "$pattern" "$work/all"; then say_failed "$name: nothing says /$pattern/"
    else passed=$((passed + 1)); fi
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
