#!/usr/bin/env bash
# Makes the models faces-128 and faces-256 from nothing but PyPI packages: usage: training/faces.sh FOLDER
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

# stage NAME PRESET IMAGES OPTION...: trains into $out/NAME; the next stage starts from there.
stage() {
  local name=$1 preset=$2 images=$3
  shift 3
  # One copy of the pictures as arrays for all stages.
  mkdir -p "$out/cache" "$out/$name"
  ln -sfn ../cache "$out/$name/cache"
  "$python" -m training train --preset "$preset" --data "$faces" --out "$out/$name" --images "$(pictures "$images")" \
    --batch "$batch" --device "$device" "$@"
}

faces=${FACES:-$out/faces}
if [ -z "${FACES:-}" ]; then "$python" -m training faces "$(pictures 12300)" --out "$faces"; fi

# The gate is in this order: 32 px samples that are faces, then calibration, then sharpness; look at the sheets in each folder.
sampled=(--kl-warm-up 0 --calibration 1 --adversarial 0.3 --whole-chain --learning-rate 3e-4 --decay 0.45)
stage 1-coarse faces-128 400000 --levels 2,3 --learning-rate 1e-3
stage 2-fine faces-128 100000 --levels 0,1 --init "$out/1-coarse:2,3" --own-chain 0 --learning-rate 1e-3
stage 3-chain faces-128 80000 --levels 0,1 --init "$out/1-coarse:2,3" --init "$out/2-fine:0,1" --kl-warm-up 0 --learning-rate 5e-4
stage 4-calibrated faces-128 20000 --levels 0,1,2 --init "$out/3-chain" --kl-warm-up 0 --calibration 0.5 --learning-rate 3e-4
stage 5-sharp faces-128 30000 --levels 0,1 --init "$out/4-calibrated" --kl-warm-up 0 --calibration 0.5 --adversarial 0.1 \
  --learning-rate 2e-4 --decay 0.45
stage 6-structure faces-128 75000 --levels 1,2 --init "$out/5-sharp" "${sampled[@]}"
stage 7-detail faces-128 30000 --levels 0 --init "$out/6-structure" "${sampled[@]}"
# What reads crude paintings: first as a regression, then it has to decide.
reader() {
  local name=$1 images=$2
  shift 2
  mkdir -p "$out/$name"
  ln -sfn ../cache "$out/$name/cache"
  "$python" -m training interpreter --data "$faces" --out "$out/$name" --images "$(pictures "$images")" --batch "$batch" \
    --device "$device" --glasses 0.08 "$@"
}
reader 8-reader 140000 --init "$out/7-detail"
reader 9-reader 200000 --init "$out/8-reader" --adversarial 0.5 --parts --learning-rate 5e-4 --decay 0.5
# The levels as they are used: for what it reads.
stage 10-edits faces-128 70000 --levels 0,1,2 --init "$out/7-detail" --interpreter "$out/9-reader" --glasses 0.08 \
  "${sampled[@]}" --adversarial 0.6
# An octave more, on crops; it begins as a copy of the octave below it.
stage 11-octave faces-256 60000 --init "$out/10-edits:0=1,1=2,2=3,3=4" --init "$out/10-edits:0=0" --kl-warm-up 0 \
  --calibration 0.5 --adversarial 0.15 --learning-rate 4e-4
stage 12-octave faces-256 70000 --init "$out/11-octave" "${sampled[@]}" --adversarial 0.6

mkdir -p "$out/finder"
ln -sfn ../cache "$out/finder/cache"
"$python" -m training finder --data "$faces" --out "$out/finder" --scenes "$(pictures 125000)"
# Some of the faces themselves, small, for the details of what is taken away.
mkdir -p "$out/exemplars"
ln -sfn ../cache "$out/exemplars/cache"
"$python" -m training exemplars --data "$faces" --out "$out/exemplars" --bare --count "$(pictures 6500)"
# What tells hair from skin; labels are of made faces, whatever else it is trained on (the package openvino makes them).
mkdir -p "$out/segmenter"
ln -sfn ../cache "$out/segmenter/cache"
"$python" -m training labels --out "$out/labels" --count "$(pictures 4000)"
"$python" -m training segmenter --data "$faces" --labels "$out/labels" --out "$out/segmenter" --images "$(pictures 114000)"
evaluated() {
  "$python" -m training evaluate --model "$out/$1" --data "${TEST:-$faces}" --out "$out/$2" \
    --split "$([ -n "${TEST:-}" ] && echo all || echo test)" --device "$device"
}
exported() { "$python" export_onnx.py "$out/$1" -o "$out/$2" --title "$3" --eyes 0.464,0.252 --int8 "$faces" \
  --interpreter "$out/9-reader" --exemplars "$out/exemplars" --segmenter "$out/segmenter" "${@:4}"; }

evaluated 10-edits evaluation-128
exported 10-edits faces-128 "Faces, 128 pixels" --finder "$out/finder" --quality "$out/evaluation-128/evaluation.json"
evaluated 12-octave evaluation-256
exported 12-octave faces-256 "Faces, 256 pixels" --extends faces-128 --quality "$out/evaluation-256/evaluation.json"
echo "The models are $out/faces-128 and $out/faces-256; their figures are in $out/evaluation-*/evaluation.md."
