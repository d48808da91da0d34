#!/usr/bin/env bash
# Runs every fuzz target for so many seconds, from the seeds and what was found before. Installs
# cargo-fuzz where it is missing. A stable compiler does: the flags of the sanitizer are unlocked.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/minutes.sh SECONDS [TARGET...]}
shift
export RUSTC_BOOTSTRAP=1
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
[ -d /dev/shm ] && export TMPDIR=/dev/shm
cargo run --quiet --locked -p odin-fuzz --example seeds

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
failed=()
for target in "${targets[@]}"; do
    memory=2048
    case $target in data_set | packed_data_set | image) memory=4096 ;; esac
    dictionary=()
    case $target in
        checkpoint | packed_* | data_set | unpack) dictionary=(-dict=dictionaries/pickle.dict) ;;
        *) [ -f "dictionaries/$target.dict" ] && dictionary=("-dict=dictionaries/$target.dict") ;;
    esac
    mkdir -p "corpus/$target" "found/$target"
    echo "== $target, $seconds s"
    cargo fuzz run --fuzz-dir . --features fuzzing --target "$host" "$target" "corpus/$target" "found/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=$memory -timeout=20 -max_len=65536 -print_final_stats=1 \
        "${dictionary[@]}" 2>"artifacts.$target.log" || failed+=("$target")
    grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb|SUMMARY|artifact_prefix)|panicked' "artifacts.$target.log" || true
    rmdir --ignore-fail-on-non-empty "found/$target"
done
[ ${#failed[@]} -eq 0 ] || {
    echo "defects in: ${failed[*]}; the inputs are in fuzz/artifacts, the output in fuzz/artifacts.*.log"
    exit 1
}
