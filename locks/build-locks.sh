#!/usr/bin/env bash
# Pins every dependency by version and hash (no hosts): run after changing pyproject.toml. Needs `uv` once.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # compile OUTPUT EXTRA...
  local out=$1; shift
  local extras=(); for e in "$@"; do extras+=(--extra "$e"); done
  uv pip compile pyproject.toml "${extras[@]}" --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o "$out" >/dev/null
}
compile locks/agent.txt agent
compile locks/hall.txt console gateway agent demo build
compile locks/dev.txt console gateway agent demo build dev
