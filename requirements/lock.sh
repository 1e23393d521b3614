#!/usr/bin/env bash
# usage: requirements/lock.sh
# Makes the hash locks anew with uv (https://docs.astral.sh/uv), one version of each package for Python 3.11 to 3.14, so
# that one seed gives one picture whatever the Python is. Wheels exist for Linux x86_64 and aarch64 (glibc 2.28 and
# later) and, without the GPU, macOS 14 and later on Apple processors; onnxruntime has none for macOS on Intel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for name in runtime gpu; do
  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header "$name.in" --output-file "$name.txt"
done
