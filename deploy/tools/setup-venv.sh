#!/usr/bin/env bash
# Makes or updates the environment: setup-venv.sh VENV LOCKFILE STAMP (run | dev). $PYTHON chooses the interpreter.
set -euo pipefail
venv=$1 lock=$2 stamp=$3
python=${PYTHON:-python3}

fail() { printf '\nsunhall: %s\n\n' "$*" >&2; exit 1; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

if ! supported "$python"; then
  found=$("$python" --version 2>&1 || true)
  for other in python3.13 python3.12 python3.11; do
    if command -v "$other" >/dev/null && supported "$other"; then python=$other; break; fi
  done
  supported "$python" || fail "needs Python 3.11, 3.12 or 3.13; '$python' is: ${found:-not found}. Install one, then: make setup PYTHON=/path/to/python3"
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fail "this Python cannot make environments. On Debian: sudo apt-get install python3-venv   (or python$version-venv)"
fi

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  printf 'sunhall: making the environment in %s with %s\n' "$venv" "$("$python" --version)"
  "$python" -m venv --clear "$venv"
fi
printf 'sunhall: installing what %s pins (a few minutes the first time)\n' "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
touch "$venv/.stamp-$stamp"
# The development lock holds everything that the other one does.
if [ "$stamp" = dev ]; then touch "$venv/.stamp-run"; fi
