#!/usr/bin/env bash
# What `make demo` runs: the main job on a data set drawn here, on the CPU. BIN: where seg2knet is; DEMO: where to work.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH=$BIN:$PATH
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

rm -rf "$DEMO"
mkdir -p "$DEMO"
cd "$DEMO"
say python "$here/draw_shapes.py" raw --images 240 --size 160
say seg2knet convert labelme ./raw --to coco --split 0.8/0.2 --boxes as-polygons
say seg2knet validate data/coco
say seg2knet train --gpus 0 --no-pretrained --backbone r18-half --img-size 160 --batch-size 4 --epochs 20 --work-dir work_dirs/shapes
say seg2knet test work_dirs/shapes/best.pth --show-dir images/test --json test.json
say seg2knet predict work_dirs/shapes/best.pth data/coco/val2017 --out images/predict

printf '\nmask AP50 on the held-out images: %s\n' "$(python -c "import json; print(round(json.load(open('test.json'))['figures']['AP50'], 3))")"
printf 'look at:\n'
printf '  %s\n' "$DEMO"/work_dirs/shapes/batches.jpg "$DEMO"/work_dirs/shapes/samples.jpg "$DEMO"/work_dirs/shapes/curves.png "$DEMO"/work_dirs/shapes/best.html "$DEMO"/images/test "$DEMO"/images/predict
