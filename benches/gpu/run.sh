#!/usr/bin/env bash
# ODIN on a graphics processor by the built-in engine, beside PyTorch on the same card, within some
# minutes on a machine that has a driver, PyTorch for CUDA, torchvision, numpy, Pillow, safetensors
# and onnx; onnxruntime-gpu, with CUDA or TensorRT, is measured where it is there.
#
#     benches/gpu/run.sh ODIN_BENCH OUT [REFDATA]
#
# ODIN_BENCH: target/release/odin_bench of `cargo build --release -p odin-benches --features gpu`.
# `benches/gpu/run.sh pack ARCHIVE` packs that program and the scripts for a bare machine, at most
# 60 MB: there, `tar xf ARCHIVE && benches/gpu/run.sh bin/odin_bench OUT`.
# OUT: a folder for results (lines of JSON, and table.md). REFDATA: weights of
# densenet_bc_100_12_cifar10.pth and images, for fidelity; seeded weights and noise without it.
#
# DEVICE=cpu-vulkan runs it on lavapipe, at small size and beside PyTorch on the CPU: to try the
# script. NETWORKS and BATCHES choose; SECONDS_EACH bounds each measurement.
set -euo pipefail
if [ "$1" = pack ]; then
    archive=$(realpath "$2")
    program=$(realpath "${ODIN_BENCH:-${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/release/odin_bench}")
    cd "$(dirname "$0")/../.."
    files=$(mktemp -d)
    trap 'rm -r "$files"' EXIT
    mkdir -p "$files/bin" "$files/benches/gpu" "$files/benches/peers" "$files/scripts"
    cp "$program" "$files/bin/odin_bench"
    strip "$files/bin/odin_bench"
    cp benches/gpu/run.sh benches/gpu/engine.py "$files/benches/gpu/"
    cp benches/peers/networks.py "$files/benches/peers/"
    cp scripts/checkpoint_fixtures.py "$files/scripts/"
    tar -C "$files" -czf "$archive" .
    bytes=$(stat -c %s "$archive")
    echo "$archive: $bytes bytes"
    if [ "$bytes" -gt 60000000 ]; then
        echo "that is more than the 60 MB that a bare machine is sent" >&2
        exit 1
    fi
    exit
fi
bench=$(realpath "$1")
out=$2
mkdir -p "$out"
out=$(realpath "$out")
refdata=${3:+$(realpath "$3")}
cd "$(dirname "$0")"
device=${DEVICE:-gpu}
if [ "$device" = cpu-vulkan ]; then
    networks=${NETWORKS:-resnet-20}
    batches=${BATCHES:-1 4}
else
    networks=${NETWORKS:-densenet-bc-100 wrn-28-10 resnet-50 vit-b-16}
    batches=${BATCHES:-1 32 256}
fi
exec python3 engine.py "$bench" "$out" --device "$device" --networks $networks --batches $batches \
    --seconds "${SECONDS_EACH:-1.0}" ${refdata:+--refdata "$refdata"}
