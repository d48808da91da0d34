#!/usr/bin/env bash
# What peers.py needs: a virtual environment with the peers, and our program.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}

python=$target/peers/venv/bin/python
[ -x "$python" ] || python3 -m venv "$target/peers/venv"
"$python" -m pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt

cargo build --release --locked -p odin-benches --target-dir "$target" --bin odin_bench
echo "Now: $python benches/peers/peers.py --help"
