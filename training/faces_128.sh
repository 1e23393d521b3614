#!/usr/bin/env bash
# Makes the model faces-128 from nothing but PyPI packages: usage: training/faces_128.sh FOLDER
# Every stage goes on where it was interrupted; run the same command again. Everything is kept in FOLDER.
#   PYTHON=.venv/bin/python   the Python with the packages of requirements/
#   DEVICE=cuda BATCH=256     for a GPU (default: cpu, 16)
#   SHARE=0.001               a rehearsal with this share of the pictures (default: 1)
#   FACES=DIR                 training pictures that are there already, in place of making them
#   TEST=DIR                  aligned real portraits to measure on (default: the held-out synthetic ones)
set -euo pipefail
[ $# = 1 ] || { sed -n 2,8p "${BASH_SOURCE[0]}"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python} device=${DEVICE:-cpu} batch=${BATCH:-16} share=${SHARE:-1}

pictures() { "$python" -c 'import sys; print(max(int(sys.argv[3]), int(float(sys.argv[1]) * float(sys.argv[2]))))' "$1" "$share" "$batch"; }

# stage NAME IMAGES OPTION...: trains into $out/NAME; the next stage starts from there.
stage() {
  local name=$1 images=$2
  shift 2
  # One copy of the pictures as arrays for all stages.
  mkdir -p "$out/cache" "$out/$name"
  ln -sfn ../cache "$out/$name/cache"
  "$python" -m training train --preset faces-128 --data "$faces" --out "$out/$name" --images "$(pictures "$images")" \
    --batch "$batch" --device "$device" "$@"
}

faces=${FACES:-$out/faces}
if [ -z "${FACES:-}" ]; then "$python" -m training faces "$(pictures 12300)" --out "$faces"; fi

# The gate is in this order: 32 px samples that are faces, then calibration, then sharpness; look at the sheets in each folder.
stage 1-coarse 400000 --levels 2,3 --learning-rate 1e-3
stage 2-fine 100000 --levels 0,1 --init "$out/1-coarse:2,3" --own-chain 0 --learning-rate 1e-3
stage 3-chain 80000 --levels 0,1 --init "$out/1-coarse:2,3" --init "$out/2-fine:0,1" --kl-warm-up 0 --learning-rate 5e-4
stage 4-calibrated 20000 --levels 0,1,2 --init "$out/3-chain" --kl-warm-up 0 --calibration 0.5 --learning-rate 3e-4
stage 5-sharp 30000 --levels 0,1 --init "$out/4-calibrated" --kl-warm-up 0 --calibration 0.5 --adversarial 0.1 \
  --learning-rate 2e-4 --decay 0.45

mkdir -p "$out/finder"
ln -sfn ../cache "$out/finder/cache"
"$python" -m training finder --data "$faces" --out "$out/finder" --scenes "$(pictures 125000)"
"$python" -m training evaluate --model "$out/5-sharp" --data "${TEST:-$faces}" --out "$out/evaluation" \
  --split "$([ -n "${TEST:-}" ] && echo all || echo test)" --device "$device"
"$python" export_onnx.py "$out/5-sharp" -o "$out/faces-128" --title "Faces, 128 pixels" --eyes 0.464,0.252 \
  --finder "$out/finder" --quality "$out/evaluation/evaluation.json"
echo "The model is $out/faces-128; its figures are in $out/evaluation/evaluation.md."
