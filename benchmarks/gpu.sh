#!/usr/bin/env bash
# The GPU benchmark on any CUDA box, without a network: benchmarks/gpu.sh [folder of wheels] [options of gpu.py]
#
# The folder holds, as wheels, what the box lacks beside a torch and a transformers of its own: diffusers and msgspec for the engine's
# rows, the server's own packages for the rows over HTTP (they are recorded as errors without them). To fill it where there is a network:
#   pip download --only-binary=:all: --python-version 3.12 --no-deps \
#     -c configs/constraints.txt -d wheels -r benchmarks/gpu-wheels.txt
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
export PYTHONPATH="$path" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
# A row that loses the device ends the process (exit status 70, as in the engine) or is killed: the others go on in a fresh one.
end=$((SECONDS + ${SECONDS_IN_ALL:-530}))
status=0
for attempt in 1 2 3; do
  resume=$([[ $attempt -gt 1 ]] && echo --resume || true)
  left=$((end - SECONDS))
  [[ $left -gt 30 ]] || break
  status=0
  timeout "$left" "$python" -m benchmarks.gpu --seconds "$((left - 15))" "$@" $resume || status=$?
  [[ $status -gt 1 && $status -ne 124 ]] || break
done
exit "$status"
