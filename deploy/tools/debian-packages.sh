#!/usr/bin/env bash
# Installs what debian-packages.txt lists and is missing: as root, or with passwordless sudo; else prints the one command.
set -euo pipefail
list=$(dirname "$0")/debian-packages.txt
mapfile -t wanted < <(grep -v '^#' "$list")

if ! command -v dpkg-query >/dev/null; then
  printf 'sunhall: the tests need a Debian or Ubuntu machine with: %s\n' "${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" = 0 ]; then prefix=""
elif sudo -n true 2>/dev/null; then prefix="sudo -n"
else
  printf '\nsunhall: the tests need peers that are not installed. Run this once:\n\n  sudo apt-get update && sudo %s\n\n' "$install" >&2
  exit 1
fi
printf 'sunhall: installing %s\n' "${missing[*]}"
$prefix apt-get update -q
# No service of an installed peer may start by itself: the tests run their own copies in temporary folders.
$prefix env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $install -q
