#!/usr/bin/env bash
# Makes a folder of files as a version of odin writes them, which every later version must read:
#
#     scripts/freeze.sh target/release/odin crates/odin-cli/tests/frozen/v0.1
#
# What it runs is below, and is written into the folder as commands.txt, which the tests read
# (crates/odin-cli/tests/program/frozen.rs). A folder that is there is left alone: freeze a new version into
# a new one, and keep the old. Options whose defaults may change are given.
# Needs Python 3, for the images, and Linux or another Unix.
set -euo pipefail
[ $# = 2 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
program=$(realpath "$1")
mkdir "$2"
cd "$2"

# What is read. Git keeps a copy of a file that it has but once.
cp "$root"/demo/{model.safetensors,in.npy,near.npy} .
cp "$root/crates/odin-formats/tests/fixtures/onnx/resnet.torchscript9.onnx" network.onnx
cat >network.toml <<'TOML'
mean = [0.5, 0.4, 0.3]
std = [0.25, 0.2, 0.3]
transform = "resize:32x32:bicubic"
class_names = ["one", "two", "three", "four", "five", "six", "seven, or more"]
TOML
mkdir images
python3 - <<'PYTHON'
"""Ten and twenty digits that the network does not know, the ten with noise, and a file that is no image."""
import random, struct, zlib

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def png(width, height, grey):
    rows = b"".join(b"\0" + grey[y * width : (y + 1) * width] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")

with open("near.npy", "rb") as file:
    pixels = file.read()[-714 * 64 :]
rng = random.Random(1)
for i in range(10):
    digit = bytearray(pixels[i * 64 : (i + 1) * 64])
    for _ in range(2):
        digit[rng.randrange(64)] = rng.randrange(256)
    with open(f"images/{i}.png", "wb") as file:
        file.write(png(8, 8, bytes(digit)))
head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (20, 1, 8, 8), }".ljust(117) + b"\n"
with open("few.npy", "wb") as file:
    file.write(b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + pixels[10 * 64 : 30 * 64])
with open("images/broken.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\nand no more")
PYTHON

others=msp,i-odin,max-logit,max-minus-mean,energy,entropy,gen,kl-matching,mahalanobis,relative-mahalanobis,knn,vim,react,ash,scale,fdbd,nci,grad-norm
demo="--nn model.safetensors --in-dataset in.npy --temperature 1000 --magnitude 0.005"
sed 's/^ *//; /^$/d' >commands.txt <<COMMANDS
odin calibrate $demo --limit 100 --tpr 0.95 --detectors odin,$others --fit-on in.npy --fit-images 60 -o detector.toml
odin calibrate $demo --limit 240 --tpr 0.9 --per-class --detectors energy,odin -o per_class.toml
odin calibrate $demo --limit 120 --tpr 0.95 --out-dataset near.npy --fpr 0.05 -o fpr.toml
odin calibrate $demo --limit 120 --tpr 0.95 --out-dataset near.npy --lowest-error -o lowest_error.toml
odin calibrate --nn network.onnx --in-dataset in.npy --limit 80 --tpr 0.95 --temperature 1000 --magnitude 0.0014 -o with_classes.toml
odin compile --detector with_classes.toml -o detector.onnx
odin compile --nn network.onnx --temperature 10 --magnitude 0.002 --threshold 0.15 --input pixels-u8 -o pixels.onnx
odin calibrate --nn detector.onnx --in-dataset in.npy --limit 80 --tpr 0.95 --temperature 1000 --magnitude 0.0014 --transform resize:32x32:bicubic -o compiled.toml
odin score --detector detector.toml images few.npy -o scores.csv
odin score --detector detector.toml images few.npy -o scores.jsonl
odin score --detector detector.toml images few.npy -o scores.parquet
odin score --detector detector.toml images --detectors knn,odin --format csv > knn.csv
odin score --detector per_class.toml few.npy images -o per_class.csv
odin score --detector fpr.toml images -o fpr.csv
odin score --detector lowest_error.toml images -o lowest_error.csv
odin score --detector with_classes.toml images -o with_classes.csv
odin score --detector compiled.toml images -o compiled.csv
odin score --detector fpr.toml in.npy --shard 1/4 -o reference.csv
odin score --detector fpr.toml in.npy --shard 1/4 -o reference.jsonl
odin score --detector fpr.toml in.npy --shard 1/4 -o reference.parquet
odin score --detector fpr.toml near.npy --shard 1/8 -o new.csv
odin score --detector fpr.toml near.npy --shard 1/8 -o new.jsonl
odin score --detector fpr.toml near.npy --shard 1/8 -o new.parquet
odin eval $demo --out-dataset near.npy --limit 60 --metrics exact --seed 0 --detectors $others --fit-on in.npy --fit-images 60 --scores eval --format json > eval.json
odin eval --nn detector.onnx --in-dataset in.npy --out-dataset near.npy --limit 30 --metrics exact --transform resize:32x32:bicubic --scores eval_compiled --format json > eval_compiled.json
odin tune --nn model.safetensors --in-dataset in.npy --tune-on near.npy --limit 60 --temperatures 1,10,1000 --magnitudes 0,0.005,0.02 --objective fpr95 --seed 0 -o grid.csv
odin tune --nn model.safetensors --in-dataset in.npy --tune-on near.npy --limit 60 --temperatures 1,10,1000 --magnitudes 0,0.005,0.02 --objective fpr95 --seed 0 -o grid.json
odin tune --nn model.safetensors --in-dataset in.npy --in-only=synthetic --limit 30 --temperatures 1,1000 --magnitudes 0:0.01:3 --objective auroc --seed 7 -o synthetic.csv
odin drift reference.csv new.csv --score odin --level 0.01 --format json > drift_csv.json
odin drift reference.jsonl new.jsonl --score odin --level 0.01 --format json > drift_jsonl.json
odin drift reference.parquet new.parquet --score odin --level 0.01 --format json > drift_parquet.json
odin drift reference.csv scores.parquet --score msp --level 0.01 --format json > drift_mixed.json
odin drift eval/in.csv eval/near.csv --score energy --threshold 5 --level 0.01 --format json > drift_eval.json
odin drift eval/in.csv new.jsonl --detector fpr.toml --level 0.01 --format json > drift_detector.json
odin inspect detector.onnx --format json > inspect.json
odin inspect pixels.onnx --format json > inspect_pixels.json
odin verify detector.onnx --nn network.onnx --images Uniform --count 8 --seed 0 --format json > verify.json
odin verify pixels.onnx --nn network.onnx --images few.npy --transform resize:32x32 --format json > verify_pixels.json
odin score --detector fpr.toml in.npy --threads 1 --batch-size 1 --resume -o resumed.csv
COMMANDS

odin() { "$program" "$@" --quiet; }
while read -r command; do
    case $command in
    "odin drift"* | "odin inspect"*) run=${command/#odin/\"\$program\"} ;;
    *" > "*) run=$command ;;
    *) run="$command >/dev/null" ;;
    esac
    case $command in
    # A job that is killed as soon as something of it is written, and then again from the beginning.
    *" --resume "*)
        until [ -s killed ]; do
            rm -f resumed.csv resumed.csv.part
            "$program" ${command#odin } --quiet &
            job=$!
            until [ -e resumed.csv ] || [ "$(cat resumed.csv.part 2>/dev/null | wc -c)" -gt 1000 ]; do :; done
            kill -KILL $job && [ ! -e resumed.csv ] && cp resumed.csv.part killed
            wait $job || true
        done 2>/dev/null
        rm -f resumed.csv.part .resumed.csv.*
        ;;
    esac
    eval "$run" </dev/null
done <commands.txt
mv killed resumed.csv.part
rm -f -- *-heat-map.svg *-against-*.svg
printf 'frozen by %s:\n' "$("$program" --version)"
du -sh --apparent-size .
