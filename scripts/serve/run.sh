#!/usr/bin/env bash
# The tests of `odin serve` by clients that others wrote, and by clients that mean harm.
#
#     scripts/serve/run.sh ODIN [--long] [OPTION OF PYTEST...]
#
# ODIN is the program. Needs Python 3.11 or newer with `venv`, and openssl; requirements.txt is installed into
# target/venv-serve. A service is started on a free port for each group of tests; at its end it must stop by
# itself with code 0 after SIGTERM, and its log must hold no panic, no status 500 and no batch that failed.
set -euo pipefail
odin=$(realpath "$1")
shift
cd "$(dirname "$0")/../.."
venv=target/venv-serve
mkdir -p target
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/serve/requirements.txt

folder=$PWD/target/serve
rm -rf "$folder" && mkdir -p "$folder"
calibrate() {
    "$odin" calibrate --nn demo/model.safetensors --in-dataset demo/in.npy --out-dataset demo/near.npy \
        "$@" >"$folder/calibrate.log" 2>&1 || { cat "$folder/calibrate.log"; exit 1; }
}
calibrate --magnitude 0.005 --score odin,energy,vim --fit-on demo/in.npy -o "$folder/detector.toml"
calibrate --temperature 10 --transform resize:8 -o "$folder/resizing.toml"

ODIN=$odin ODIN_SERVE_FOLDER=$folder PYTHONDONTWRITEBYTECODE=1 \
    $venv/bin/python -m pytest -q -p no:cacheprovider --rootdir scripts/serve scripts/serve "$@"
