"""Measures ODIN beside PyTorch, OpenVINO and ONNX Runtime on the same cores and prints a table.

    target/peers/venv/bin/python benches/peers/peers.py --threads 2
    target/peers/venv/bin/python benches/peers/peers.py --threads 1 --only densenet-bc-100 --quick

Each of them is a process that waits for its turn: a repetition of a peer, one of ours, one of
the next peer, and so on for several rounds. Every number is a median, in milliseconds per image,
of all of ODIN: pixels in memory, normalised, forward pass, gradient of the input, perturbed
forward pass, score. Before anything is timed, the scores of each must agree with PyTorch's.
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import networks
from worker import MAGNITUDE, PEERS, TEMPERATURE, Torch

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
OURS, FAST = "ODIN", "ODIN, fast"
# The largest difference between scores, as a share of what the perturbation does to a score:
# where a gradient is almost zero its sign is a matter of rounding, and one pixel more or less is
# perturbed the other way.
TOLERANCE = 0.02
# Those that compute in bf16 are measured, not checked.
ROUNDED = (FAST, "OpenVINO as it comes", "OpenVINO as it comes, streams")
# What idle threads of the process before may take until they sleep.
PAUSE = 0.03


class Contender:
    """A process that scores images when asked to."""

    def __init__(self, name, command, log):
        self.name, self.failure = name, None
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        self.process = subprocess.Popen([str(c) for c in command], text=True, **pipes)
        self.facts = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.failure = f"ended with status {self.process.wait()}"
        return json.loads(line or "null")

    def score(self, batch, count):
        """What `count` images give; None when the process is gone."""
        if self.failure:
            return None
        time.sleep(PAUSE)
        self.process.stdin.write(f"{batch} {count}\n")
        self.process.stdin.flush()
        return self.answer()

    def ms(self, batch, count):
        answer = self.score(batch, count)
        return answer and 1e3 * answer["seconds"] / count

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def logit_scale(scores, classes):
    """Scores of T = 1000 on the scale of logits, where f32 and people can tell them apart."""
    return TEMPERATURE * (classes * np.asarray(scores, np.float64) - 1)


class Reference:
    """PyTorch's scores of a few images, and how far the perturbation moves them."""

    def __init__(self, name, images):
        self.classes = networks.NETWORKS[name].classes
        runner = Torch(name, 1)
        self.prediction, odin = runner(images)
        with runner.torch.no_grad():
            clean = runner.module(runner.normalize(runner.torch.from_numpy(images)))
        self.odin = logit_scale(odin, self.classes)
        self.effect = float(np.median(np.abs(self.odin - logit_scale(runner.score(clean), self.classes))))

    def difference(self, answer):
        """The largest difference as a share of the perturbation's effect."""
        count = min(len(self.odin), len(answer["odin"]))
        if answer["prediction"][:count] != self.prediction[:count].tolist():
            return math.inf
        odin = logit_scale(answer["odin"][:count], self.classes)
        return float(np.abs(odin - self.odin[:count]).max()) / self.effect


def settings_of(name):
    mean, std = (",".join(map(str, v)) for v in networks.NETWORKS[name].normalization)
    return [f"--mean={mean}", f"--std={std}", f"--temperature={TEMPERATURE}", f"--magnitude={MAGNITUDE}"]


def prepare(name, arguments):
    """Writes the network, the detector and the images, unless they are there already."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    network = networks.NETWORKS[name]
    file = arguments.work / f"{name}.{network.file_type}"
    detector = arguments.work / f"{name}.detector.onnx"
    pixels = arguments.work / f"images-{network.size}.npy"
    written_by = (HERE / "networks.py").stat().st_mtime

    def current(path):
        return path.exists() and path.stat().st_mtime > written_by

    if not current(file):
        networks.write(name, file)
    subprocess.run([arguments.odin_bench, "compile", file, *settings_of(name), "-o", detector], check=True)
    if not current(pixels):
        np.save(pixels, networks.images(network, 100).numpy())
    return file, detector, pixels


def contenders(name, files, arguments, log):
    file, detector, pixels = files
    threads = arguments.threads
    wanted = [p for p in PEERS if not arguments.peers or any(w in p for w in arguments.peers)]
    if threads == 1:
        wanted = [p for p in wanted if not p.endswith("streams")]
    serve = [arguments.odin_bench, "serve", file, *settings_of(name)]
    serve += [f"--threads={threads}", f"--images={pixels}", "--count=100"]
    ours = Contender(OURS, serve, log)
    worker = [sys.executable, HERE / "worker.py"]
    peers = [Contender(p, [*worker, p, name, detector, pixels, threads], log) for p in wanted]
    if not arguments.peers or any(w in FAST for w in arguments.peers):
        peers.insert(0, Contender(FAST, [*serve, "--precision=fast"], log))
    return ours, peers


def count_for(contender, batch, seconds):
    """How many images make a repetition long enough, after one that warms up."""
    ms = contender.ms(batch, batch)
    if ms is None:
        return batch
    batches = math.ceil(1e3 * seconds / (ms * batch))
    return batch * max(1, min(batches, 100 // batch))


def measure(name, arguments, log):
    """Rows of contender, batch, ms, the ms of ours beside it."""
    network = networks.NETWORKS[name]
    files = prepare(name, arguments)
    ours, peers = contenders(name, files, arguments, log)
    reference = Reference(name, np.load(files[2])[:8])
    rows, own = [], {}
    for batch in arguments.batches or network.batches:
        here = [p for p in peers if batch == 1 or p.name != "as the authors' program"]
        here = [p for p in here if batch > 1 or not p.name.endswith("streams")]
        times, counts, differences = {}, {}, {}
        for contender in [ours, *here]:
            tell(f"{name}, batch {batch}: {contender.name}")
            answer = contender.score(batch, max(batch, 8 // batch * batch))
            if answer:
                differences[contender] = reference.difference(answer)
            counts[contender] = count_for(contender, batch, arguments.seconds)
            times[contender] = []
        tell(f"{name}, batch {batch}: {arguments.rounds} rounds")
        for _ in range(arguments.rounds):
            for peer in here:
                times[peer].append((peer.ms(batch, counts[peer]), ours.ms(batch, counts[ours])))
        own[batch] = [mine for pairs in times.values() for _, mine in pairs]
        rows += [row(p, batch, times[p], differences.get(p)) for p in here]
        own_row = row(ours, batch, [(m, m) for m in own[batch]], differences.get(ours))
        rows.append(own_row)
    for contender in [ours, *peers]:
        contender.end()
    fastest = best(rows, [OURS])
    share = fastest and share_of_peak(name, files, fastest["batch"], arguments)
    return {"network": name, "share_of_peak": share, "rows": rows}


def share_of_peak(name, files, batch, arguments):
    """What ours makes of the peak that the machine has just before and after each repetition."""
    options = [f"--threads={arguments.threads}", f"--batch={batch}", f"--repetitions={arguments.rounds}"]
    found = run_json(arguments, "time", files[0], *settings_of(name), *options)
    return found and found["median_share_of_peak"]


def row(contender, batch, pairs, difference):
    pairs = [pair for pair in pairs if None not in pair]
    found = {"who": contender.name, "batch": batch, "difference": difference}
    if contender.failure or not pairs:
        return found | {"failure": contender.failure or "did not answer"}
    theirs, ours = (statistics.median(side) for side in zip(*pairs))
    return found | {"ms": theirs, "ours_ms": ours, "ratio": theirs / ours, "repetitions": len(pairs)}


def best(rows, names, batch=None):
    """The fastest row of some contenders, of one batch size or all."""
    own = [name for name in names if name in (OURS, FAST)]
    others = [name for name in names if name not in own]

    def is_by(who):
        return who in own or who not in (OURS, FAST) and any(n in who for n in others)

    fitting = [r for r in rows if "ms" in r and is_by(r["who"])]
    fitting = [r for r in fitting if batch in (None, r["batch"])]
    return min(fitting, key=lambda r: r["ms"], default=None)


# Label, theirs, ours, batch.
COMPARISONS = [
    ("PyTorch's best", ["PyTorch", "torch.compile"], OURS, None),
    ("PyTorch's best eager", ["PyTorch eager"], OURS, None),
    ("OpenVINO f32", ["OpenVINO f32"], OURS, None),
    ("ONNX Runtime", ["ONNX Runtime"], OURS, None),
    ("one image at a time: PyTorch", ["PyTorch", "torch.compile"], OURS, 1),
    ("one image at a time: OpenVINO f32", ["OpenVINO f32"], OURS, 1),
    ("one image at a time: as the authors' program", ["authors"], OURS, 1),
    ("fast: our own exact", [OURS], FAST, None),
    ("fast: OpenVINO as it comes", ["OpenVINO as it comes"], FAST, None),
    ("fast, one image at a time: our own exact", [OURS], FAST, 1),
    ("fast, one image at a time: OpenVINO as it comes", ["OpenVINO as it comes"], FAST, 1),
]


def summary(measured):
    """Best against best, and for one image at a time ours of the same."""
    rows, lines = measured["rows"], []
    for label, names, own, batch in COMPARISONS:
        theirs, ours = best(rows, names, batch), best(rows, [own], batch)
        if theirs and ours:
            which = f"{theirs['who']}, batch {theirs['batch']}"
            lines.append((label, which, theirs["ms"], ours["ms"], theirs["ms"] / ours["ms"]))
    throughput, latency = best(rows, [OURS]), best(rows, [OURS], 1)
    facts = {}
    if measured["share_of_peak"]:
        facts["share of the peak beside it, direct convolution"] = measured["share_of_peak"]
    if throughput and latency:
        facts["latency / throughput cost"] = latency["ms"] / throughput["ms"]
    return lines, facts


def run_json(arguments, *command):
    output = subprocess.run([arguments.odin_bench, *map(str, command)], capture_output=True, text=True)
    return json.loads(output.stdout.splitlines()[0]) if output.returncode == 0 else None


def own_targets(name, arguments):
    """What is measured of ours alone: threads, memory, start, a grid of settings."""
    file = prepare(name, arguments)[0]
    model = [file, *settings_of(name), f"--threads={arguments.threads}"]
    found = {}
    if arguments.threads > 1:
        scaling = run_json(arguments, "scaling", *model, f"--repetitions={arguments.rounds}")
        found[f"throughput, 1 to {arguments.threads} threads"] = scaling and f"{scaling['speed_up']:.2f} times"
    for images in (20, 100) if arguments.quick else (1000, 10_000):
        memory = run_json(arguments, "memory", *model, f"--images={images}")
        found[f"peak memory, {images} images"] = memory and f"{memory['peak_resident_bytes'] / 1e6:.0f} MB"
    grid = run_json(arguments, "grid", *model)
    found["grid of 210 settings against separate runs"] = grid and f"{grid['speed_up']:.2f} times faster"
    start = run_json(arguments, "start", *model)
    found["start of process to first score"] = start and f"{start['median_ms_to_first_score']:.0f} ms"
    return found


def higher(*peaks):
    """What other programs did meanwhile can only have lowered one."""
    return max(filter(None, peaks), key=lambda peak: peak["peak_gflops"], default=None)


def machine(arguments):
    names = re.findall(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    commit = ["git", "-C", HERE, "describe", "--always", "--dirty"]
    packages = ("torch", "torchvision", "openvino", "onnxruntime", "numpy")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": names[0] if names else platform.processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "peak": run_json(arguments, "peak", f"--threads={arguments.threads}"),
        "odin": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        "versions": {p: version(p) for p in packages},
        "command": " ".join(["peers.py", *sys.argv[1:]]),
    }


def markdown(report):
    m = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
    lines = [f"# ODIN beside its peers, {m['date']}", ""]
    lines += [f"- {m['processor']}, {m['system']}, {m['threads']} threads, ODIN {m['odin']}; {versions}"]
    if m["peak"]:
        lines += [f"- measured peak of f32 multiply-adds, {m['peak']['isa']}: {m['peak']['peak_gflops']:.0f} GFLOP/s"]
    lines += [f"- `{m['command']}`; medians of {m['rounds']} rounds, ms per image of all of ODIN"]
    for measured in report["networks"]:
        lines += network_markdown(measured)
    return "\n".join(lines) + "\n"


def network_markdown(measured):
    lines = ["", f"## {measured['network']}", ""]
    lines += ["| | batch | ms per image | ODIN beside it | times | score difference |", "|---|---|---|---|---|---|"]
    for r in sorted(measured["rows"], key=lambda r: r["batch"]):
        difference = "" if r["difference"] is None else f"{100 * r['difference']:.2f} %"
        if "failure" in r:
            numbers = f"{r['failure']} | | "
        else:
            ours = "" if r["who"] == OURS else f"{r['ours_ms']:.2f}"
            ratio = "" if r["who"] == OURS else f"{r['ratio']:.2f}"
            numbers = f"{r['ms']:.2f} | {ours} | {ratio}"
        lines.append(f"| {r['who']} | {r['batch']} | {numbers} | {difference} |")
    comparisons, facts = summary(measured)
    lines += ["", "| best against best | of theirs | theirs, ms | ODIN, ms | times |", "|---|---|---|---|---|"]
    lines += [f"| {a} | {b} | {t:.2f} | {o:.2f} | **{r:.2f}** |" for a, b, t, o, r in comparisons]
    lines += [""] + [f"- {label}: {value:.2f}" for label, value in facts.items()]
    lines += [f"- {label}: {value or 'failed'}" for label, value in measured.get("own", {}).items()]
    return lines


def tell(text):
    print(text, file=sys.stderr, flush=True)


def check(report):
    """Exits when somebody computed something else."""
    wrong = [
        f"{m['network']}, {r['who']}, batch {r['batch']}: {r['difference']}"
        for m in report["networks"]
        for r in m["rows"]
        if r["who"] not in ROUNDED and r["difference"] is not None and r["difference"] > TOLERANCE
    ]
    if wrong:
        sys.exit("not the same work was compared; scores differ:\n" + "\n".join(wrong))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="threads, and cores, of each (2)")
    parser.add_argument("--only", nargs="*", choices=list(networks.NETWORKS), help="networks")
    parser.add_argument("--peers", nargs="*", help="those whose names contain one of these")
    parser.add_argument("--batches", type=int, nargs="*", help="instead of each network's own")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each (5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a repetition, at least (0.5)")
    parser.add_argument("--quick", action="store_true", help="batches 1 and 32, two short rounds; writes no file")
    parser.add_argument("--format", choices=["markdown", "json"], default="markdown")
    parser.add_argument("--odin-bench", type=Path, default=TARGET / "release/odin_bench")
    parser.add_argument("--work", type=Path, default=TARGET / "peers/work", help="for networks and detectors")
    parser.add_argument("--results", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.batches = arguments.batches or [1, 32]
        arguments.rounds, arguments.seconds = 2, 0.2
    return arguments


def main():
    arguments = parse()
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    os.sched_setaffinity(0, cores)
    os.environ |= {"OMP_NUM_THREADS": str(arguments.threads)}
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(arguments.work / "inductor"))
    report = {"machine": machine(arguments), "networks": []}
    arguments.work.mkdir(parents=True, exist_ok=True)
    with open(arguments.work / "log.txt", "w") as log:
        for name in arguments.only or networks.NETWORKS:
            measured = measure(name, arguments, log)
            if name == "densenet-bc-100":
                measured["own"] = own_targets(name, arguments)
            report["networks"].append(measured)
            again = run_json(arguments, "peak", f"--threads={arguments.threads}")
            report["machine"]["peak"] = higher(report["machine"]["peak"], again)
    text = markdown(report) if arguments.format == "markdown" else json.dumps(report, indent=1)
    print(text)
    if not arguments.quick:
        ending = "md" if arguments.format == "markdown" else "json"
        file = arguments.results / f"{report['machine']['date']}-{arguments.threads}-threads.{ending}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    check(report)


if __name__ == "__main__":
    main()
