#!/usr/bin/env bash
# Trains the shipped models further for some minutes, all networks at once, on one GPU.
# usage: training/sprint.sh FOLDER MINUTES
#   FACES=DIR     training pictures: pictures-256.npy, as `python -m training faces --arrays` makes it (default:
#                 FOLDER/faces, made if it is not there)
#   MODELS=DIR    what to begin with: bundles or runs called faces-128 and faces-256 (default: models)
#   READER=DIR    the interpreter to begin with: a bundle or run (default: the faces-128 of MODELS)
#   PYTHON=.venv/bin/python DEVICE=cuda COUNT=8000 THREADS=4
#   BATCH=160     with 64, a step of the levels took half a second on an H200, most of it the processor's time: 62,000
#                 operations are asked for, however large the batch
# Every run is in a folder of its own under FOLDER. What it made goes on the same way: MODELS=DIR with
# links to its runs called faces-128 and faces-256, and READER=FOLDER/interpreter.
set -euo pipefail
[ $# = 2 ] || { sed -n 2,12p "${BASH_SOURCE[0]}"; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd) minutes=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python} device=${DEVICE:-cuda} batch=${BATCH:-160}
faces=${FACES:-$out/faces} models=${MODELS:-models}
reader=${READER:-$models/faces-128}

share() { "$python" -c 'import sys; print(float(sys.argv[1]) * float(sys.argv[2]))' "$minutes" "$1"; }

if [ ! -e "$faces/pictures-256.npy" ]; then
  "$python" -m training faces "${COUNT:-8000}" --arrays --device "$device" --out "$faces"
fi

common=(--data "$faces" --device "$device" --batch "$batch" --glasses 0.08 --threads "${THREADS:-4}"
  --checkpoint-minutes 0.5 --sheet-minutes 3)
# train NAME SHARE PRESET OPTION...: for that share of the time.
train() {
  "$python" -m training train "${common[@]}" --out "$out/$1" --minutes "$(share "$2")" --preset "$3" --images 100000000 \
    --kl-warm-up 0 "${@:4}" > "$out/$1.log" 2>&1
}
sampled=(--calibration 1 --adversarial 0.6 --whole-chain)

# Its readings, as good as they are by then, are what the levels learn to draw.
mkdir -p "$out/interpreter"
[ -e "$out/interpreter/interpreter.safetensors" ] || cp "$reader/interpreter.safetensors" "$out/interpreter/"
"$python" -m training interpreter "${common[@]}" --out "$out/interpreter" --minutes "$(share 0.5)" --images 100000000 \
  --init "$reader" --adversarial 0.5 --parts --learning-rate 6e-4 --decay 0.5 > "$out/interpreter.log" 2>&1 &
train levels 1 faces-128 --levels 0,1,2 --init "$models/faces-128" --interpreter "$out/interpreter" "${sampled[@]}" \
  --learning-rate 5e-4 --decay 0.4 &
# The larger model's own level, when two fifths are over, for half of the time; its coarse levels are those of then.
{
  sleep "$(share 24)"
  train octave-256 0.5 faces-256 --init "$models/faces-256" --init "$out/levels:0=1,1=2,2=3,3=4" "${sampled[@]}" \
    --learning-rate 4e-4 --decay 0.5
} &
failed=0
for job in $(jobs -p); do wait "$job" || failed=1; done
[ $failed = 0 ] || { tail -n 3 "$out"/*.log; echo "Not every run ended well: $out/*.log"; exit 1; }
echo "The runs are in $out."
