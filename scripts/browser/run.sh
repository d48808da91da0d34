#!/usr/bin/env bash
# Tests the page of `odin serve` and the pages of --report in Chromium, without a screen.
#
#     bash scripts/browser/run.sh target/release/odin
#
# Needs Chromium and Node 18 or newer with npm; on Debian and its kin they are installed where they
# are missing. CHROMIUM names another Chromium. What is installed and made lies in target/browser.
set -euo pipefail
odin=$(realpath "${1:?usage: bash scripts/browser/run.sh ODIN}")
cd "$(dirname "$0")/../.."
work=$PWD/target/browser
export CHROMIUM="${CHROMIUM-$(command -v chromium || command -v chromium-browser || echo /usr/bin/chromium)}"
export ODIN_BROWSER_PACKAGES=$work ODIN_REPORTS=$work/reports ODIN_TOKEN=the-token-of-the-test

missing=()
[ -x "$CHROMIUM" ] || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$work/reports"
if ! cmp -s scripts/browser/package-lock.json "$work/installed"; then
    cp scripts/browser/package.json scripts/browser/package-lock.json "$work"
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent
    cp scripts/browser/package-lock.json "$work/installed"
fi

quietly() { "$odin" "$@" --quiet >/dev/null; }
cd "$work/reports"
demo=$(realpath --relative-to . "$OLDPWD/demo")
model=(--nn "$demo/model.safetensors" --in-dataset "$demo/in.npy")
quietly eval "${model[@]}" --out-dataset "$demo/near.npy" --out-dataset Uniform --limit 100 --ci --report eval.html
quietly tune "${model[@]}" --tune-on "$demo/near.npy" --limit 40 --report tune.html
quietly calibrate "${model[@]}" --out-dataset "$demo/near.npy" --magnitude 0.005 --tpr 0.9 \
    --score odin,energy -o detector.toml --report calibrate.html
quietly calibrate "${model[@]}" --temperature 137.5 --magnitude 0.01234 --score energy,odin -o by-energy.toml
quietly score --detector detector.toml "$demo/in.npy" -o in.csv
quietly score --detector detector.toml "$demo/near.npy" -o near.csv
"$odin" drift in.csv near.csv --report drift.html >/dev/null 2>&1
printf %s "$ODIN_TOKEN" >token

servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true' EXIT
# serve LOG ARGUMENT...: starts a server on a free port; `address` is where it answers.
serve() {
    "$odin" serve --port 0 "${@:2}" 2>"$1" &
    servers+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' "$1")
        [ -n "$address" ] && return
        sleep 0.1
    done
    cat "$1"
    exit 1
}
serve open.log detector.toml
export ODIN_URL=$address
serve token.log detector.toml by-energy.toml --token-file token
export ODIN_TOKEN_URL=$address

cd "$work/../.."
node --test --test-reporter=spec scripts/browser/page.test.mjs scripts/browser/report.test.mjs
