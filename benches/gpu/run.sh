#!/usr/bin/env bash
# ODIN on a graphics processor by the built-in engine, beside PyTorch on the same card, within some
# minutes on a machine where PyTorch for CUDA, torchvision, numpy and Pillow are, and a driver.
#
#     benches/gpu/run.sh ODIN_BENCH OUT [REFDATA]
#
# ODIN_BENCH: target/release/odin_bench of `cargo build --release -p odin-benches --features gpu`.
# OUT: a folder for results (lines of JSON, and table.md). REFDATA: weights of
# densenet_bc_100_12_cifar10.pth and images, for fidelity; seeded weights and noise without it.
#
# DEVICE=cpu-vulkan runs it on lavapipe, at small size and beside PyTorch on the CPU: to try the
# script. NETWORKS and BATCHES choose; SECONDS_EACH bounds each measurement.
set -euo pipefail
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
