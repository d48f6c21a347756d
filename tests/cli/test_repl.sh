#!/usr/bin/env bash
# test_repl.sh: the prompt when lines are piped to it, and `-i SCRIPT`: what it prints, its errors, its exit status.
set -u
: "${LUABENCH:?the program to test}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state NO_COLOR=1
cd "$work" || exit 1
passed=0 failed=0

# session NAME STATUS EXPECTED INPUT [ARG ...]: stdout and stderr together must be EXPECTED, or match it if it is /.../
session() {
    local name=$1 want=$2 expected=$3 input=$4 got status
    shift 4
    got=$(printf '%s\n' "$input" | timeout 60 "$LUABENCH" "$@" 2>&1)
    status=$?
    if [ $status != "$want" ]; then
        failed=$((failed + 1))
        printf 'FAILED: %s: exit status %s, expected %s\n%s\n' "$name" $status "$want" "$got"
    elif case $expected in
            /*/) expected=${expected#/}; ! grep -Eq -- "${expected%/}" <<< "$got" ;;
            *) [ "$got" != "$expected" ] ;;
        esac; then
        failed=$((failed + 1))
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$name" "$expected" "$got"
    else passed=$((passed + 1)); fi
}

# ---- values ----
session 'a statement' 0 2 'print(1+1)'
session 'a bare expression' 0 2 '1+1'
session 'an expression after =' 0 3 '=1+2'
session 'several values' 0 $'1\nnil\nx' '1, nil, "x"'
session 'a comment after an expression' 0 7 '7 -- seven'
session 'no value, no line' 0 '' 'x = 1'
session 'the last value is _' 0 $'4\n8' $'4\n_ * 2'
session 'a table' 0 '{ 1, 2, a = { b = "c" } }' '{1, 2, a = {b = "c"}}'
session 'a table in itself' 0 '/the same table again/' $'t = {}\nt.t = t\nt'
session 'a long list fills its lines' 0 '/1, 2, 3, 4, 5, 6,/' $'t = {}\nfor i = 1, 60 do t[i] = i end\nt'
session 'a tensor' 0 '/^f32\[2, 3\] on cpu/' 'lb.zeros{2, 3}'
session 'a measurement' 0 '/^median .* 95 % interval .* samples/' \
    'lb.measure(lb.plan():gemm{ x = lb.zeros{1, 64}, w = lb.zeros{8, 64} }, { max_time_s = 0.05 })'

# ---- more lines ----
session 'a loop over lines' 0 $'1\n2' $'for i = 1, 2 do\n\n  print(i)\nend'
session 'a call over lines' 0 3 $'math.max(\n1,\n3)'
session 'an operator at the end' 0 3 $'1 +\n2'
session 'a long string' 0 $'a\nb' $'[[a\nb]]'
session 'a short string does not go on' 1 '/unfinished string/' $'print("abc\n1'
session 'the end inside a statement' 1 '/ends inside a statement that begins with: for i/' 'for i = 1, 2 do'
session 'a local stays' 0 5 $'local x = 5\nx'
session 'locals stay' 0 3 $'local a, b = 1, 2\na + b'
session 'a local function stays' 0 120 \
    $'local function f(n) return n == 0 and 1 or n * f(n - 1) end\nf(5)'

# ---- errors ----
session 'an error keeps the state, and sets the status' 1 $'error: input:2: boom\n1' $'x = 1\nerror "boom"\nx'
session 'the place of a C function that fails' 1 '/^error: input:1: .*did you mean/' 'lb.quantizer "q4_z"'
session 'a syntax error' 1 "/^error: input:1: .* near/" 'x = = 1'
session 'a line of a longer input' 1 '/^error: input:4: /' $'x = 1\n\ndo\n  error "here"\nend'
many=$(for ((i = 0; i < 2003; i++)); do echo 'x = 1'; done)
session 'a late line of a long input' 1 '/^error: input:2005: boom/' "$many"$'\n\nerror "boom"'
session 'a late syntax error' 1 '/^error: input:2004: .* near/' "$many"$'\nx = = 1'
session 'late frames' 1 '/called from input:2004, input:2004, input:2005$/' \
    "$many"$'\nfunction g() error { } end function f() local x = g() return x end\nf()'
session 'a function of another thousand' 1 '/^error: input:1: boom/' $'function f() error "boom" end\n'"$many"$'\nf()'
session 'a class of a script that has the name of one of ours' 0 '/^a table with 0 fields/' \
    'help(setmetatable({}, { __name = "model" }))'
session 'frames below the error' 1 '/called from input:2, input:3/' \
    $'function g() error "boom" end\nfunction h() g() end\nh()'
session 'an error that is a table' 1 '/^error: error object: \{ a = 1 \}/' 'error{a = 1}'
session 'an unknown name' 1 "/undefined variable 'prnt'; did you mean \"print\"/" 'prnt(1)'
session 'an unknown field' 1 '/did you mean "randn"/' 'lb.rand'
session 'a loop that overflows the stack' 1 '/stack overflow/' $'function f() return 1 + f() end\nf()\nprint "on"'
session 'exit(3)' 3 'a' $'print "a"\nexit(3)\nprint "b"'
session 'exit' 0 '' $'exit\nprint "b"'
session 'nothing at all' 0 '' ''

# ---- help ----
session 'help()' 0 '/lb.explain\(p\)/' 'help()'
session 'help without ()' 0 '/lb.explain\(p\)/' 'help'
session 'help of a module' 0 '/lb.quantizers\(\)/' 'help(lb)'
session 'help of a function' 0 '/^lb.randn\(dims/' 'help(lb.randn)'
session 'help of an operation' 0 '/gemm.any.portable/' 'help "gemm"'
session 'help with a word' 0 '/K a multiple of 256/' 'help q4_k'
session 'help of an object' 0 '/^f32\[2\]/' $'t = lb.zeros{2}\nhelp t'
session 'help on nothing known' 1 '/^error: input:1: no help on "quantizr"; did you mean "quantize/' 'help "quantizr"'

# ---- explain ----
plan='p = lb.plan():gemm{ x = lb.zeros{1, 256}, w = lb.zeros{32, 256}:quantize "q4_k" }'
session 'explain: the kernel' 0 '/kernel +gemm\.(q4_k|any)\./' "$plan"$'\nlb.explain(p)'
session 'explain: the others and why not' 0 '/takes [a-z0-9_]+ weights, not q4_k|needs/' "$plan"$'\nlb.explain(p)'
session 'explain: an empty plan' 0 '/it is empty/' 'lb.explain(lb.plan())'
session 'explain: no plan' 1 '/^error: input:1: explain: a plan expected, got number/' 'lb.explain(3)'

# ---- -i, reload ----
printf 'answer = 42\nfunction twice(x) return 2 * x end\nreturn { name = "mine" }\n' > script.lua
session '-i: names of the script' 0 $'84\nmine' $'twice(answer)\nscript.name' -i script.lua
printf '\nerror "oops"\n' > bad.lua
session '-i: a script that fails' 1 '/^error: bad.lua:2: oops/' 'print(1)' -i bad.lua
session '-i: no such script' 2 '/no such file: nosuch.lua/' '' -i nosuch.lua
session 'reload: the script anew, variables stay' 0 $'/^43$/' \
    $'mine = 1\nf = io.open("script.lua", "w")\nf:write("answer = 42 + mine")\nf:close()\nreload()\nanswer' \
    -i script.lua
printf 'answer = 42\n' > script.lua
session 'reload: an error leaves all as it was' 1 '/nothing was reloaded: .*script.lua:1/' \
    $'f = io.open("script.lua", "w")\nf:write("answer = = 1")\nf:close()\nreload()\nlb.zeros{1}' -i script.lua

# ---- no trace of line editing where nobody edits ----
if [ -e "$work/state/luabench/history" ]; then failed=$((failed + 1)); echo 'FAILED: a piped session wrote a history'
else passed=$((passed + 1)); fi
if [ -r /proc/self/maps ]; then
    if echo 'print(io.open("/proc/self/maps"):read("*a"):find("libedit"))' | "$LUABENCH" | grep -qx nil; then
        passed=$((passed + 1))
    else failed=$((failed + 1)); echo 'FAILED: libedit is loaded in a piped session'; fi
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
