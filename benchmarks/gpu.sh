#!/usr/bin/env bash
# The GPU benchmark on any CUDA box, without a network: benchmarks/gpu.sh [folder of wheels] [options of gpu.py]
#
# The folder holds, as wheels, what the box lacks: diffusers and msgspec beside a torch and a transformers of its own.
# To fill it where there is a network: pip download --no-deps --only-binary=:all: --python-version 3.12 -d wheels diffusers msgspec
set -euo pipefail
cd "$(dirname "$0")/.."
python=python3
[[ -x .venv/bin/python ]] && python=.venv/bin/python
path="$PWD"
if [[ $# -gt 0 && -d "$1" ]]; then
  site="$(mktemp -d)"
  trap 'rm -rf "$site"' EXIT
  for wheel in "$1"/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
  path="$path:$site"
  shift
fi
PYTHONPATH="$path" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false timeout 540 "$python" -m benchmarks.gpu "$@"
