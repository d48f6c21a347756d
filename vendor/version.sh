#!/bin/sh
# version.sh: prints version.h. Arguments: version, compiler, flags. Outside a git checkout the commit is "".
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || true)
dirty=0
if [ -n "$commit" ] && [ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ]; then dirty=1; fi
compiler=$("$2" --version 2>/dev/null | head -n 1)
quote() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }
cat <<END
/* version.h: made by vendor/version.sh; what was built, for the record of every run. */
#pragma once
#define LB_VERSION "$(quote "$1")"
#define LB_COMMIT "$(quote "$commit")"    /* "" = unknown */
#define LB_DIRTY $dirty
#define LB_COMPILER "$(quote "$compiler")"
#define LB_FLAGS "$(quote "$3")"
END
