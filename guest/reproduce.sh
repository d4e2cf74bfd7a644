#!/usr/bin/env bash
# Builds all components a second time, from a copy of the sources in another folder, and compares every byte with what
# `just guest` has staged. `just reproduce` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."

again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
# The sources as they are, changed ones included.
git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory="$again"
"$again/guest/build.sh"
for staged in target/guest/*.wasm; do
    cmp "$staged" "$again/$staged"
    sha256sum "$staged"
done
