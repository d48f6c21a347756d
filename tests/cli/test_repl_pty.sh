#!/usr/bin/env bash
# test_repl_pty.sh: the prompt as a person has it, on a pseudo-terminal: repl_pty.py types and reads.
set -u
: "${LUABENCH:?the program to test}"
cd "$(dirname "$0")" || exit 1
if ! command -v python3 > /dev/null; then
    echo 'skipped: no python3, which opens the pseudo-terminal'
    exit 77
fi
exec python3 repl_pty.py
