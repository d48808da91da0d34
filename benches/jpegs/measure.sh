#!/usr/bin/env bash
# How fast whole runs over JPEGs are, binary beside binary:
#
#     benches/jpegs/measure.sh DIR BINARY...
#
# DIR holds JPEGs in class folders, such as make_jpegs.py makes. Each BINARY is an `odin`; they take
# turns, ROUNDS times. A line is a run: what, threads, binary, images per second of wall time, CPU
# seconds (user and system), milliseconds of CPU an image. A table of each one's best follows: where
# others use the machine, look at CPU.
#
# Variables: ROUNDS (2), RUNS ("score eval calibrate list": the last is `odin score` with a list of
# files), THREADS ("1 2"), NETWORKS ("resnet20 mobilenet"), WEIGHTS (resnet20_cifar10.th of the
# reference data), TRANSFORM (resize:32x32).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
images=$(realpath "$1")
shift
binaries=()
for binary in "$@"; do binaries+=("$(realpath "$binary")"); done
weights=${WEIGHTS:-$root/../shared/refdata/weights/resnet20_cifar10.th}
transform=${TRANSFORM:-resize:32x32}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
find -L "$images" -name '*.jpg' | sort >list.txt
count=$(wc -l <list.txt)
echo "$count images of $images; load $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) cores"

model() {
    case $1 in
    resnet20) echo "$weights" ;;
    mobilenet) echo "$root/crates/odin-formats/tests/fixtures/onnx/mobilenet_v3.torchscript11.onnx" ;;
    *) echo "$1" ;;
    esac
}
normalisation="--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
for network in ${NETWORKS:=resnet20 mobilenet}; do
    "${binaries[0]}" calibrate --nn "$(model "$network")" $normalisation --transform "$transform" \
        --in-dataset "$images" --limit 100 -o "$(basename "$network").toml" --quiet >/dev/null
done

# One run: its wall and CPU seconds.
timed() {
    TIMEFORMAT='%R %U %S'
    { time "$@" >/dev/null; } 2>&1
}
run() {
    local binary=$1 what=$2 network=$3 threads=$4
    local on="--nn $(model "$network") $normalisation --transform $transform --in-dataset $images"
    case $what in
    score) timed "$binary" score --detector "$(basename "$network").toml" "$images" --threads "$threads" -o scores.csv --quiet ;;
    list) timed "$binary" score --detector "$(basename "$network").toml" list.txt --threads "$threads" -o scores.csv --quiet ;;
    # One image as out-set, so that nearly all the work is that of the in-set.
    eval) timed "$binary" eval $on --out-dataset "$work/one" --threads "$threads" --quiet ;;
    calibrate) timed "$binary" calibrate $on --threads "$threads" -o calibrated.toml --quiet ;;
    esac
}
mkdir one && cp "$(head -1 list.txt)" one/

results=results.txt
for ((round = 1; round <= ${ROUNDS:=2}; round++)); do
    for network in $NETWORKS; do
        for what in ${RUNS:=score eval calibrate list}; do
            for threads in ${THREADS:=1 2}; do
                for binary in "${binaries[@]}"; do
                    read -r wall user system <<<"$(run "$binary" "$what" "$network" "$threads")"
                    awk -v n="$count" -v w="$wall" -v u="$user" -v s="$system" -v name="$network $what" \
                        -v t="$threads" -v b="$binary" -v r="$round" 'BEGIN {
                        printf "%-22s %s threads  %8.1f images/s  %7.2f s user %6.2f s system  %6.3f ms CPU/image  round %d  %s\n",
                            name, t, n / w, u, s, 1000 * (u + s) / n, r, b }' | tee -a "$results"
                done
            done
        done
    done
done
echo
echo "the best of $ROUNDS:"
awk '{
    key = sprintf("%-22s %s threads  %s", $1 " " $2, $3, $NF)
    if (!(key in order)) { order[key] = ++n; keys[n] = key }
    if ($5 > rate[key]) rate[key] = $5
    if (!(key in cpu) || $13 < cpu[key]) cpu[key] = $13
} END { for (i = 1; i <= n; i++) printf "%8.1f images/s  %6.3f ms CPU/image  %s\n", rate[keys[i]], cpu[keys[i]], keys[i] }' "$results"
