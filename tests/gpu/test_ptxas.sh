#!/usr/bin/env bash
# test_ptxas.sh: what ptxas says of every CUDA kernel (registers, stack, spills) against the limits in limits.txt, over
# all architectures that were built. `tests/gpu/test_ptxas.sh record` (make gpu-limits) writes what is so now.
#
# limits.txt: FILE REGISTERS STACK SPILLS, the most of any kernel in the file; bytes of stack frame, bytes spilled.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
limits=tests/gpu/limits.txt
reports=$BUILD/cuda
if [ ! -d "$reports/kernels/cuda" ]; then
    echo "no nvcc when this was built: CUDA kernels were neither compiled nor checked, and nothing was run on a GPU"
    exit 77
fi

now() {
    find kernels/cuda engine/cuda -name '*.cu' | sort | while read -r source; do
        report=$reports/$source.o.ptxas
        [ -f "$report" ] || { echo "$source missing"; continue; }
        awk -v file="$source" '
            /bytes stack frame/ { if ($1 > stack) stack = $1; s = $5 + $9; if (s > spill) spill = s; seen = 1 }
            /Used [0-9]+ registers/ { for (i = 1; i < NF; i++) if ($i == "Used" && $(i + 1) > regs) regs = $(i + 1) }
            END { if (seen) print file, regs + 0, stack + 0, spill + 0 }' "$report"
    done
}

if [ "${1:-}" = record ]; then
    { grep '^#' "$limits" 2>/dev/null; now; } > "$limits.new" && mv "$limits.new" "$limits"
    exit
fi
# What ptxas says where it undoes what the source means: products of wgmma one by one, register counts that stay as they
# are.
undone=$(grep -rlE 'wgmma.mma_async instructions are serialized|setmaxnreg ignored' "$reports" --include='*.ptxas')
if [ -n "$undone" ]; then
    echo "$undone" | sed 's/$/: ptxas serializes wgmma or ignores setmaxnreg/'
    echo "0 passed, $(echo "$undone" | wc -l) failed"
    exit 1
fi
now | awk -v limits="$limits" '
    BEGIN { while ((getline line < limits) > 0) if (line !~ /^#/) { split(line, f, " "); known[f[1]] = line } }
    $2 == "missing" { print $1 ": was not compiled"; failed++; next }
    !($1 in known) {
        print $1 ": " $2 " registers, " $3 " bytes of stack, " $4 " spilled; no limits recorded (make gpu-limits)"
        failed++
        next
    }
    {
        split(known[$1], f, " ")
        if ($2 > f[2] || $3 > f[3] || $4 > f[4]) {
            printf "%s: %d registers, %d bytes of stack, %d spilled; at most %d, %d, %d were recorded\n",
                $1, $2, $3, $4, f[2], f[3], f[4]
            failed++
        } else passed++
    }
    END {
        print "compiled for every architecture, linked; nothing was run on a GPU"
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0
    }'
