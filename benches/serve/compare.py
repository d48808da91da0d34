"""`odin serve` under load, beside the same detector in ONNX Runtime behind FastAPI and LitServe: prints tables.

    python benches/serve/compare.py ODIN ../shared/refdata

ODIN is the program, a release build with the feature `serve`. The data folder holds `weights/` and `sets/` of PNG images.
requirements.txt lists the packages, of which `--only-odin` needs none. All contenders get the same images from the same
client (load.py), one image a request; `odin score` scores the same images in turns with the service's rounds.
"""

import argparse
import csv
import io
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import load
from servers import FastApi, LitServe, Odin

IMAGENET = "0.485,0.456,0.406", "0.229,0.224,0.225"
# As whole_jobs.py has them.
PAPER = tuple(",".join(str(v / 255) for v in row) for row in [(125.3, 123.0, 113.9), (63.0, 62.1, 66.7)])
# Of each network: file of its weights, normalisation, images that `odin score` takes in a round.
NETWORKS = {
    "resnet-20": ("resnet20_cifar10.th", IMAGENET, 12_000),
    "densenet-bc-100": ("densenet_bc_100_12_cifar10.pth", PAPER, 1_400),
}
SETS = ["cifar10", "Imagenet_resize", "sun_resize"]
LOADS = [0.10, 0.25, 0.50, 0.75, 0.90]
# Connections that keep a server busy: three batches' worth.
BUSY = 96
# Images of a request, where requests have several.
MANY = 32


def tell(text):
    print(f"{time.strftime('%H:%M:%S')} load {os.getloadavg()[0]:.1f}: {text}", file=sys.stderr, flush=True)


def run(*command):
    """Standard output, wall and CPU seconds of a program."""
    with tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        if status:
            raise SystemExit(f"it failed: {command}")
        out.seek(0)
        return out.read().decode(), wall, usage.ru_utime + usage.ru_stime


def prepare(network, arguments, folder):
    """The detector, calibrated and compiled, and the images in a random order."""
    weights, (mean, std), _ = NETWORKS[network]
    detector, model = folder / f"{network}.toml", folder / f"{network}.onnx"
    sets = arguments.data / "sets"
    options = ["--nn", arguments.data / "weights" / weights, "--mean", mean, "--std", std]
    run(arguments.odin, "calibrate", *options, "--in-dataset", sets / SETS[0], "-o", detector)
    run(arguments.odin, "compile", "--detector", detector, "--input", "pixels-u8", "-o", model)
    files = sorted(path for name in SETS for path in (sets / name).rglob("*.png"))
    random.Random(7).shuffle(files)
    return detector, model, files


def copied(pngs, count, folder):
    """A folder of so many images: `odin score` scores a file that is named twice once."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        path = folder / f"{i:05}.png"
        if not path.exists():
            path.write_bytes(pngs[i % len(pngs)])
    return folder


def engine(detector, pngs, count, arguments, folder):
    """Images per second and per CPU second of `odin score`, without its start."""
    taken = []
    for images in (MANY, count):
        inputs = copied(pngs, images, folder / f"{len(pngs)}-{images}")
        _, wall, cpu = run(arguments.odin, "score", "--detector", detector, "--threads", arguments.threads, "--format", "csv", inputs)
        taken.append((images, wall, cpu))
    (few, wall, cpu), (many, longer, more) = taken
    return (many - few) / (longer - wall), (many - few) / (more - cpu)


def generator(server, pngs):
    return load.Generator(server.address, [server.request(png) for png in pngs], server.process.pid)


def seen(window, images=1):
    """What is reported of a time of load."""
    return {
        "rate": images * window.rate(),
        "per_cpu": images * window.rate() * window.seconds / max(window.server, 1e-9),
        "p50": 1e3 * window.quantile(0.5),
        "p99": 1e3 * window.quantile(0.99),
        "answers": len(window.latencies()),
        "statuses": dict(window.statuses),
        "unanswered": window.unanswered,
        "drained": window.drained,
        "generator": window.own / window.seconds,
        "server": window.server / window.seconds,
        "others": window.others / window.seconds,
    }


def saturated(server, pngs, arguments, connections=BUSY):
    found = seen(generator(server, pngs).closed(connections, arguments.seconds))
    tell(f"{server.name}, {connections} connections: {short(found)}")
    return found


def loaded(server, pngs, rate, arguments):
    found = seen(generator(server, pngs).open_(rate, arguments.seconds))
    found["offered"] = rate
    tell(f"{server.name} at {rate:.0f}/s: {short(found)}")
    return found


def overloaded(server, pngs, capacity, arguments):
    """Twice as many requests as it can answer, and how it was before and after."""
    before = server.rss()
    found = loaded(server, pngs, 2 * capacity, arguments)
    found["rss"] = [before, server.rss()]
    begun = time.monotonic()
    found["then"] = statistics.median(timed(server, png) for png in pngs[:11]) * 1e3
    tell(f"  then {found['then']:.1f} ms, RSS {found['rss']}, probes took {time.monotonic() - begun:.1f} s")
    return found


def timed(server, png):
    begun = time.perf_counter()
    assert server.answer(server.request(png)) is not None
    return time.perf_counter() - begun


def short(found):
    return (
        f"{found['rate']:.0f}/s, {found['per_cpu']:.0f} per CPU second, p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms, "
        f"CPU: server {found['server']:.2f}, generator {found['generator']:.2f}, others {found['others']:.2f}; {found['statuses']}"
    )


def check(server, detector, files, pngs, arguments, exactly):
    """Scores are those of `odin score`."""
    text, _, _ = run(arguments.odin, "score", "--detector", detector, "--format", "csv", *files[:16])
    for row, png in zip(csv.DictReader(io.StringIO(text)), pngs):
        apart = abs(float(row["odin"]) - server.odin(png))
        assert apart == 0 if exactly else apart < 1e-5, (server.name, row, apart)


def odin_alone(network, arguments, detector, files, pngs, folder):
    found = {"engine": [], "saturated": [], "many": []}
    with Odin(arguments.odin, detector, arguments.threads) as server:
        check(server, detector, files, pngs, arguments, exactly=True)
        groups = [pngs[i : i + MANY] for i in range(0, len(pngs) - MANY, MANY)]
        many = load.Generator(server.address, [server.many(group) for group in groups], server.process.pid)
        for _ in range(arguments.rounds):
            found["engine"].append(engine(detector, pngs, NETWORKS[network][2], arguments, folder))
            tell("odin score: {:.0f}/s, {:.0f} per CPU second".format(*found["engine"][-1]))
            before = server.batches()
            found["saturated"].append(saturated(server, pngs, arguments))
            batches, images = (after - b for b, after in zip(before, server.batches()))
            found["saturated"][-1]["batch"] = images / batches
            found["many"].append(seen(many.closed(BUSY // MANY + 1, arguments.seconds), MANY))
            tell(f"{MANY} images a request: {short(found['many'][-1])}")
        capacity = statistics.median(one["rate"] for one in found["saturated"])
        found["loads"] = [loaded(server, pngs, share * capacity, arguments) for share in LOADS]
        found["overload"] = overloaded(server, pngs, capacity, arguments)
    return found


def contenders(arguments, detector, model):
    """Ours and the others, each as functions that start it: one run at a time on all threads, or so many runs on one thread
    each."""
    threads = arguments.threads
    return {
        "odin serve": [lambda: Odin(arguments.odin, detector, threads)],
        "FastAPI": [lambda: FastApi(model, 1, threads), lambda: FastApi(model, threads, 1)],
        "LitServe": [lambda: LitServe(model, 1, threads, arguments.wait), lambda: LitServe(model, threads, 1, arguments.wait)],
    }


def beside(arguments, detector, model, files, pngs):
    found = {}
    starts = contenders(arguments, detector, model)
    for name, ways in starts.items():
        tries = []
        for start in ways:
            with start() as server:
                check(server, detector, files, pngs, arguments, exactly=name == "odin serve")
                tries.append(saturated(server, pngs, arguments))
        best = max(range(len(ways)), key=lambda way: tries[way]["rate"])
        found[name], starts[name] = {"saturated": tries[best], "way": best}, ways[best]
        if name != "odin serve":
            with starts[name]() as server:
                found[name]["overload"] = overloaded(server, pngs, tries[best]["rate"], arguments)
    slowest = min(one["saturated"]["rate"] for one in found.values())
    for name, start in starts.items():
        with start() as server:
            # Pages and caches.
            generator(server, pngs).closed(8, 1)
            found[name]["loads"] = [loaded(server, pngs, share * slowest, arguments) for share in (0.25, 0.75)]
    return found


def percent(share):
    return f"{100 * share:.0f} %"


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def tables(network, found, arguments):
    parts = [f"**{network}**, {arguments.threads} threads"]
    if "alone" in found:
        parts += [engine_table(found["alone"], arguments), loads_table(found["alone"])]
    parts.append(overload_table(found))
    if "beside" in found:
        parts.append(beside_table(found["beside"]))
    return "\n\n".join(parts)


def engine_table(alone, arguments):
    """Saturation beside `odin score`."""
    rate, per_cpu = (statistics.median(column) for column in zip(*alone["engine"]))
    lines = [
        "| | images/s | share of `odin score` | images per CPU second | share | p50 | p99 | CPU of the generator |",
        "|---" * 8 + "|",
        f"| `odin score` | {rate:.0f} | | {per_cpu:.0f} | | | | |",
    ]
    for what, rows in [("one image a request", alone["saturated"]), (f"{MANY} images a request", alone["many"])]:
        both = list(zip(rows, alone["engine"]))
        shares = [statistics.median(row[key] / own[i] for row, own in both) for i, key in enumerate(["rate", "per_cpu"])]
        values = [median(rows, key) for key in ("rate", "per_cpu", "p50", "p99", "generator")]
        lines.append(
            f"| `odin serve`, {what} | {values[0]:.0f} | **{percent(shares[0])}** | {values[1]:.0f} | **{percent(shares[1])}** "
            f"| {values[2]:.1f} ms | {values[3]:.1f} ms | {percent(values[4])} of a core |"
        )
    batch = median(alone["saturated"], "batch")
    others = max(row["others"] for row in alone["saturated"] + alone["many"])
    said = f"Medians of {arguments.rounds} rounds; mean batch {batch:.1f} images; others had at most {percent(others)} of a core."
    return "\n".join(lines) + "\n\n" + said


def loads_table(alone):
    lines = ["| offered load | requests/s | answers | p50 | p99 | CPU of the service | of the generator |", "|---" * 7 + "|"]
    for share, row in zip(LOADS, alone["loads"]):
        lines.append(
            f"| {percent(share)} | {row['offered']:.0f} | {row['answers']}{wrong(row)} | {row['p50']:.2f} ms | {row['p99']:.2f} ms "
            f"| {percent(row['server'])} | {percent(row['generator'])} |"
        )
    return "\n".join(lines)


def overload_table(found):
    lines = [
        "| twice the capacity | 200/s, share of capacity | answers | p50 of 200 | RSS before, after | all answered after | one image then |",
        "|---" * 7 + "|",
    ]
    rows = []
    if "alone" in found:
        rows.append(("odin serve", found["alone"]["overload"], median(found["alone"]["saturated"], "rate")))
    peers = found.get("beside", {})
    rows += [(name, one["overload"], one["saturated"]["rate"]) for name, one in peers.items() if "overload" in one]
    for name, row, capacity in rows:
        total = sum(row["statuses"].values()) + row["unanswered"]
        shares = ", ".join(f"{percent(n / total)} {status or 'broken'}" for status, n in sorted(row["statuses"].items()))
        missing = f", {percent(row['unanswered'] / total)} none" if row["unanswered"] else ""
        lines.append(
            f"| {name} | {row['rate']:.0f}, {percent(row['rate'] / capacity)} | {shares}{missing} | {row['p50']:.0f} ms "
            f"| {row['rss'][0]:.0f}, {row['rss'][1]:.0f} MB | {row['drained']:.1f} s | {row['then']:.1f} ms |"
        )
    return "\n".join(lines)


def beside_table(peers):
    """Ratios are ours to theirs in throughput, theirs to ours in time."""
    ours = peers["odin serve"]
    loads = [f"p50, p99 at {row['offered']:.0f}/s" for row in ours["loads"]]
    head = f"| side by side | images/s | per CPU second | ratios | {loads[0]} | ratios | {loads[1]} | ratios |"
    lines = [head, "|---" * 8 + "|"]
    for name, one in peers.items():
        is_ours = name == "odin serve"
        cells = [f"{one['saturated']['rate']:.0f}", f"{one['saturated']['per_cpu']:.0f}"]
        ratios = [ours["saturated"][key] / one["saturated"][key] for key in ("rate", "per_cpu")]
        cells.append("" if is_ours else "**{:.1f}**, {:.1f}".format(*ratios))
        for mine, row in zip(ours["loads"], one["loads"]):
            cells.append(f"{row['p50']:.1f}, {row['p99']:.1f} ms{wrong(row)}")
            cells.append("" if is_ours else f"**{row['p50'] / mine['p50']:.1f}, {row['p99'] / mine['p99']:.1f}**")
        way = "" if is_ours else ", one run on all threads" if one["way"] == 0 else ", runs on one thread each"
        lines.append(f"| {name}{way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def wrong(row):
    """What was not answered with 200."""
    others = {status: n for status, n in row["statuses"].items() if status != 200}
    return (f" and {others}" if others else "") + (f", {row['unanswered']} without answer" if row["unanswered"] else "")


def versions(arguments):
    from importlib.metadata import version

    said, _, _ = run(arguments.odin, "--version")
    names = [] if arguments.only_odin else ["onnxruntime", "fastapi", "uvicorn", "litserve"]
    with open("/proc/cpuinfo") as file:
        cpu = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{said.strip()}; {packages or 'no others'}; Python {platform.python_version()}; {cpu}, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("odin", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wait", type=float, default=0.005, help="seconds that a batch of LitServe waits")
    parser.add_argument("--only-odin", action="store_true")
    parser.add_argument("--only-beside", action="store_true")
    parser.add_argument("--json", type=Path, help="where to write everything that was measured")
    return parser.parse_args()


def main():
    arguments = options()
    arguments.odin = arguments.odin.resolve()
    print(versions(arguments))
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            detector, model, files = prepare(network, arguments, Path(folder))
            pngs = [path.read_bytes() for path in files]
            found = report[network] = {}
            if not arguments.only_beside:
                found["alone"] = odin_alone(network, arguments, detector, files, pngs, Path(folder))
            if not arguments.only_odin:
                found["beside"] = beside(arguments, detector, model, files, pngs)
            print("\n" + tables(network, found, arguments), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
