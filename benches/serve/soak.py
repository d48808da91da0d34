"""`odin serve` at a moderate load for a while: `soak.py MINUTES ODIN DETECTOR IMAGES` prints what it saw, minute by minute.

IMAGES is a folder of images. The load is half of what the service does at most (or --rate), single images and requests of 32
in turns, with a look at the metrics each minute and a reload every second minute. Fails where an answer is no 200, where the
memory of the last third of the time is more than 15 % above that of the third before it, or where the median of the last
third is twice that of the first.
"""

import argparse
import os
import random
import signal
import statistics
import sys
from pathlib import Path

import load
from servers import Odin


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("minutes", type=int)
    parser.add_argument("odin", type=Path)
    parser.add_argument("detector", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rate", type=float, help="images a second")
    return parser.parse_args()


def main():
    arguments = options()
    # As docs/serve.md advises: reloads would otherwise take one of glibc's arenas after another.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    pngs = [path.read_bytes() for path in sorted(arguments.images.rglob("*.png"))]
    # Of 64 images half come one by one, half in a request of 32.
    requests = []
    for i in range(0, len(pngs) - 64, 64):
        requests += [Odin.request(png) for png in pngs[i : i + 32]] + [Odin.many(pngs[i + 32 : i + 64])]
    images = 64 / 33
    random.Random(7).shuffle(requests)
    bad, rss, medians = 0, [], []
    with Odin(arguments.odin, arguments.detector, arguments.threads) as server:
        generator = load.Generator(server.address, requests, server.process.pid)
        rate = arguments.rate / images if arguments.rate else generator.closed(8, 5).rate() / 2
        print(f"{len(pngs)} images, {rate:.0f} requests and {rate * images:.0f} images a second\n", flush=True)
        print("| minute | answers | others | p50 | p99 | RSS | CPU of the service | others' CPU | descriptors |\n" + "|---" * 9 + "|")
        for minute in range(1, arguments.minutes + 1):
            window = generator.open_(rate, 59, warm=1)
            others = len(window.latencies()) != sum(window.statuses.values()) or window.unanswered
            bad += bool(others)
            rss.append(server.rss())
            medians.append(window.quantile(0.5))
            descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            print(
                f"| {minute} | {len(window.latencies())} | {dict(window.statuses) if others else ''} | {1e3 * window.quantile(0.5):.1f} ms "
                f"| {1e3 * window.quantile(0.99):.1f} ms | {rss[-1]:.1f} MB | {window.server / window.seconds:.2f} "
                f"| {window.others / window.seconds:.2f} | {descriptors} |",
                flush=True,
            )
            server.batches()
            if minute % 2 == 0:
                server.process.send_signal(signal.SIGHUP)
        lines = len(server.said.splitlines())
        panics = [line for line in server.said.splitlines() if "panicked" in line or "ERROR" in line]
    code = server.process.returncode
    third = max(1, arguments.minutes // 3)
    middle, last = statistics.median(rss[third : 2 * third] or rss), statistics.median(rss[-third:])
    drift = statistics.median(medians[-third:]) / statistics.median(medians[:third])
    print(f"\nRSS of the middle third {middle:.1f} MB, of the last {last:.1f} MB; median of the last third {drift:.2f} times the first's")
    print(f"{lines} lines of log, {len(panics)} of errors; exit code {code}")
    if bad or panics or code or last > 1.15 * middle or drift > 2:
        sys.exit("something is wrong")


if __name__ == "__main__":
    main()
