"""The built-in engine for graphics processors beside PyTorch on the same card; see run.sh.

For each network and batch: the scores of both, compared with PyTorch in f64; milliseconds for an
image, of the host's clock from pixels in main memory to scores there, the median of repetitions
that take turns; and the share of the card's f32 peak that the multiply-adds of direct convolution
make of them, the peak being that of a product of two large matrices by PyTorch without TF32; and the
share of the card's memory bandwidth, that of a copy by PyTorch, that the bytes make which all steps
read and write, each value once (caches may spare some of them, tiles read some again).

The compiled detector beside it, where ONNX Runtime has the providers: CUDA, and TensorRT with one
engine for each batch, whose building is timed and not counted. Where a provider is not there, a line
says so. The longest steps by the device's clock are in results.jsonl ("step").
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
import networks  # noqa: E402
import torch  # noqa: E402

TEMPERATURE, MAGNITUDE = 1000.0, 0.0014
# Between scores, as a share of what the perturbation does to a score in the mean.
TOLERANCE = 0.02
# How many steps of each network and batch are written out.
LONGEST = 12


class OursFailed(Exception):
    """The process of ours ended, or gave no answer: nothing after it can be measured."""


class Ours:
    """A process of `odin_bench serve`."""

    def __init__(self, arguments, file, name, pixels, count):
        mean, std = (",".join(map(str, v)) for v in networks.NETWORKS[name].normalization)
        command = [arguments.bench, "serve", str(file), f"--mean={mean}", f"--std={std}"]
        command += [f"--temperature={TEMPERATURE}", f"--magnitude={MAGNITUDE}", "--threads=8"]
        command += [f"--device={arguments.device}", f"--images={pixels}", f"--count={count}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        begun = time.monotonic()
        self.process = subprocess.Popen(command, text=True, **pipes)
        self.facts = json.loads(self.process.stdout.readline())
        self.seconds_to_start = time.monotonic() - begun

    def __call__(self, count):
        try:
            self.process.stdin.write(f"{count} {count}\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as e:
            raise OursFailed(f"odin_bench serve, batch {count}: {e}, status {self.process.poll()}") from e
        return answer["seconds"], np.array(answer["prediction"]), np.array(answer["odin"])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """Weights frozen, the gradient of the input alone, second pass without recording."""

    def __init__(self, name, images, device, double=False, channels_last=False, compiled=False, autocast=None):
        self.network, self.images, self.device = networks.NETWORKS[name], images, device
        self.type = torch.float64 if double else torch.float32
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.autocast = autocast
        module = networks.build(name).to(device, self.type, memory_format=self.format)
        self.module = torch.compile(module, dynamic=False) if compiled else module
        mean, std = (torch.tensor(v, dtype=self.type, device=device) for v in self.network.normalization)
        self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)

    def scores(self, count):
        kind = self.device.split(":")[0]
        with torch.autocast(kind, self.autocast, enabled=self.autocast is not None):
            x = torch.from_numpy(self.images[:count]).to(self.device, self.type)
            x = ((x - self.mean) / self.std).contiguous(memory_format=self.format).requires_grad_()
            logits = self.module(x)
            prediction = logits.detach().argmax(1)
            loss = torch.nn.functional.cross_entropy(logits / TEMPERATURE, prediction, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                step = torch.where(gradient >= 0, 1.0, -1.0) * (MAGNITUDE / self.std)
                moved = self.module((x - step).to(self.type))
        odin = (moved.double() / TEMPERATURE).softmax(1).amax(1)
        return prediction.cpu().numpy(), odin.detach().cpu().numpy(), logits.detach().double()

    def __call__(self, count):
        begun = time.monotonic()
        prediction, odin, _ = self.scores(count)
        return time.monotonic() - begun, prediction, odin


class Compiled:
    """The compiled detector, by a provider of ONNX Runtime, all sizes known to it."""

    def __init__(self, arguments, file, name, images, provider, batch):
        import onnxruntime

        detector = arguments.out / f"{name}.detector.onnx"
        mean, std = (",".join(map(str, v)) for v in networks.NETWORKS[name].normalization)
        command = [arguments.bench, "compile", str(file), f"--mean={mean}", f"--std={std}"]
        command += [f"--temperature={TEMPERATURE}", f"--magnitude={MAGNITUDE}", "-o", str(detector)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.add_free_dimension_override_by_name("N", batch)
        settings = {"use_tf32": 0} if provider == "CUDAExecutionProvider" else {}
        others = ["CUDAExecutionProvider"] if provider == "TensorrtExecutionProvider" else []
        others += ["CPUExecutionProvider"] if provider != "CPUExecutionProvider" else []
        begun = time.monotonic()
        self.session = onnxruntime.InferenceSession(str(detector), options, [(provider, settings), *others])
        self.images = images
        if self.session.get_providers()[0] != provider:
            raise RuntimeError(f"{provider} was not started: {self.session.get_providers()}")
        self(batch)
        self.seconds_to_start = time.monotonic() - begun

    def __call__(self, count):
        begun = time.monotonic()
        prediction, odin = self.session.run(["prediction", "odin"], {"images": self.images[:count]})
        return time.monotonic() - begun, prediction, odin


def providers(device):
    """The providers of ONNX Runtime that are measured, and why others are not."""
    wanted = ["CUDAExecutionProvider", "TensorrtExecutionProvider"]
    wanted = ["CPUExecutionProvider"] if device == "cpu" else wanted
    try:
        import onnxruntime
    except ImportError as e:
        return [], [f"ONNX Runtime is not installed: {e}"]
    there = onnxruntime.get_available_providers()
    missing = [f"{name}: not in ONNX Runtime {onnxruntime.__version__}" for name in wanted if name not in there]
    return [name for name in wanted if name in there], missing


def variants(device):
    """What PyTorch is measured as: the name, TF32, and the options."""
    eager = [("eager", {}), ("eager, channels last", {"channels_last": True})]
    compiled = [("torch.compile, channels last", {"channels_last": True, "compiled": True})]
    if device == "cpu":
        return [(name, False, options) for name, options in eager[:1]]
    every = [(name, tf32, options) for tf32 in (False, True) for name, options in eager + compiled]
    half = {"channels_last": True, "compiled": True, "autocast": torch.float16}
    return every + [("torch.compile, channels last, autocast f16", True, half)]


def set_tf32(on):
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cudnn.benchmark = True


def measure(runners, count, seconds):
    """Milliseconds for an image of each, repetitions taking turns."""
    times = {name: [] for name in runners}
    for run in runners.values():
        run(count)
    begun = time.monotonic()
    while time.monotonic() - begun < seconds * len(runners) or min(map(len, times.values())) < 3:
        for name, run in runners.items():
            times[name].append(1e3 * run(count)[0] / count)
    return {name: statistics.median(all) for name, all in times.items()}


def peak(device):
    """GFLOP/s of a product of two large matrices in f32, and GB/s of a copy."""
    set_tf32(False)
    n = 8192 if device != "cpu" else 1024
    a = torch.randn(n, n, device=device)
    big = torch.empty(2**28 if device != "cpu" else 2**24, device=device)
    best = [0.0, 0.0]
    for _ in range(5):
        for i, (work, action) in enumerate([(2 * n**3, lambda: a @ a), (8 * big.numel(), lambda: big.clone())]):
            begun = time.monotonic()
            result = action()
            result.flatten()[0].item()
            best[i] = max(best[i], work / (time.monotonic() - begun) / 1e9)
    return best


def agreement(ours, exact, count):
    """The largest difference as a share of the perturbation's mean effect; predictions that differ."""
    _, prediction, odin = ours(count)
    expected, reference, logits = exact.scores(count)
    clean = (logits / TEMPERATURE).softmax(1).amax(1).cpu().numpy()
    effect = np.abs(reference - clean).mean()
    share = float(np.abs(odin - reference).max() / effect)
    return share, int((prediction != expected).sum())


def steps(file, name, arguments, batch, peaks, out):
    """The steps that take longest, with their shares of both peaks."""
    mean, std = (",".join(map(str, v)) for v in networks.NETWORKS[name].normalization)
    command = [arguments.bench, "steps", str(file), f"--mean={mean}", f"--std={std}", "--threads=8"]
    command += [f"--device={arguments.device}", f"--batch={batch}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:  # a batch whose steps do not fit the device at once is not timed
        reason = done.stderr.strip()[-300:]
        print(json.dumps({"network": name, "batch": batch, "steps": reason}), file=out, flush=True)
        print(f"{name}, batch {batch}: steps are not timed: {reason}")
        return
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if any(row["seconds"] is None for row in rows):
        print(json.dumps({"network": name, "batch": batch, "steps": "the device has no clock"}), file=out)
        return
    total = sum(row["seconds"] for row in rows)
    gflops, gigabytes = peaks
    for row in sorted(rows, key=lambda row: -row["seconds"])[:LONGEST]:
        seconds = max(row["seconds"], 1e-9)
        share = {"share_of_time": row["seconds"] / total}
        share["share_of_f32_peak"] = row["flops_per_image"] * batch / seconds / 1e9 / gflops
        moved = row["bytes_per_image"] * batch + row["bytes_of_weights"]
        share["share_of_bandwidth"] = moved / seconds / 1e9 / gigabytes
        print(json.dumps({"network": name, "step": row["what"]} | row | share), file=out, flush=True)
    moved = sum(row["bytes_per_image"] * batch + row["bytes_of_weights"] for row in rows)
    found = {"network": name, "batch": batch, "steps": len(rows), "shaders": len({row["shader"] for row in rows})}
    found |= {"ms_of_steps": 1e3 * total / batch, "share_of_bandwidth": moved / total / 1e9 / gigabytes}
    print(json.dumps(found), file=out, flush=True)
    print(found)


def compare(name, arguments, ours, peers, batch, peaks, out):
    """Times of ours beside each peer: its name, whether with TF32, and how it is made."""
    gflops, gigabytes = peaks
    # Of all three passes; a multiply-add counts as two.
    flops = 2 * ours.facts["multiply_adds_per_image"]
    moved = ours.facts["bytes_per_image"] + ours.facts["bytes_of_weights"] / batch
    for variant, tf32, make in peers:
        set_tf32(tf32)
        try:
            peer = make()
            times = measure({"ODIN": ours, variant: peer}, batch, arguments.seconds)
        except OursFailed:
            raise
        except Exception as e:  # out of memory, or what torch.compile or a provider cannot do
            print(json.dumps({"network": name, "batch": batch, "peer": variant, "error": str(e)[:200]}), file=out)
            continue
        row = {"network": name, "batch": batch, "peer": variant, "tf32": tf32}
        row |= {"odin_ms": times["ODIN"], "peer_ms": times[variant]}
        row["share_of_f32_peak"] = flops / times["ODIN"] / 1e6 / gflops
        row["share_of_bandwidth"] = moved / times["ODIN"] / 1e6 / gigabytes
        if isinstance(peer, Compiled):
            row["seconds_to_start"] = peer.seconds_to_start
        print(json.dumps(row), file=out, flush=True)
        print("{network:16} batch {batch:4} {peer:45} TF32 {tf32!s:5} {odin_ms:9.3f} {peer_ms:9.3f}".format(**row))


def one(name, arguments, device, peaks, out):
    network = networks.NETWORKS[name]
    count = max(arguments.batches)
    file, pixels = arguments.out / f"{name}.{network.file_type}", arguments.out / f"{name}.npy"
    networks.write(name, file)
    images = networks.images(network, count).numpy()
    np.save(pixels, images)
    ours = Ours(arguments, file, name, pixels, count)
    some = min(count, 16)
    share, others = agreement(ours, Torch(name, images, device, double=True), some)
    row = {"network": name, "images": some, "share_of_effect": share, "other_predictions": others}
    print(json.dumps(row | {"seconds_to_start": ours.seconds_to_start}), file=out, flush=True)
    assert others == 0 and share <= TOLERANCE, row
    made, missing = providers(device)
    for reason in missing:
        print(f"skipped: {reason}")
        print(json.dumps({"network": name, "skipped": reason}), file=out, flush=True)
    for batch in arguments.batches:
        peers = [
            (variant, tf32, lambda options=options: Torch(name, images, device, **options))
            for variant, tf32, options in variants(device)
        ]
        peers += [
            (f"compiled, {provider}", provider.startswith("Tensorrt"),
             lambda provider=provider: Compiled(arguments, file, name, images, provider, batch))
            for provider in made
        ]
        compare(name, arguments, ours, peers, batch, peaks, out)
        steps(file, name, arguments, batch, peaks, out)
    ours.end()


def table(lines, out):
    rows = [row for row in map(json.loads, lines) if "peer_ms" in row]
    print("| network | batch | beside | TF32 | ODIN, ms | it, ms | ratio | of f32 peak | of bandwidth |", file=out)
    print("|---|---|---|---|---|---|---|---|---|", file=out)
    for row in rows:
        ratio = row["peer_ms"] / row["odin_ms"]
        tf32 = "on" if row["tf32"] else "off"
        cells = [row["network"], row["batch"], row["peer"], tf32, f"{row['odin_ms']:.3f}", f"{row['peer_ms']:.3f}"]
        cells += [f"{ratio:.2f}", f"{row['share_of_f32_peak']:.2f}", f"{row['share_of_bandwidth']:.2f}"]
        print("| " + " | ".join(map(str, cells)) + " |", file=out)


def refdata(arguments):
    """The trained network on real images, on the device and on the CPU: largest differences."""
    weights = arguments.refdata / "weights/densenet_bc_100_12_cifar10.pth"
    images = arguments.refdata / "sets/Imagenet_resize"
    rows = {}
    for device in ("cpu", arguments.device):
        command = [arguments.bench, "serve", str(weights), f"--device={device}", f"--images={images}"]
        count = 64 if arguments.device.startswith("gpu") else 2
        process = subprocess.run(
            [*command, f"--count={count}", "--threads=2"], input=f"{count} {count}\n", capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        rows[device] = json.loads(process.stdout.splitlines()[-1])
    a, b = rows.values()
    difference = float(np.abs(np.array(a["odin"]) - np.array(b["odin"])).max())
    return {"weights": weights.name, "images": len(a["odin"]), "largest_difference": difference,
            "same_predictions": a["prediction"] == b["prediction"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench")
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--networks", nargs="+", choices=networks.NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--refdata", type=Path)
    arguments = parser.parse_args()
    device = "cuda" if arguments.device.startswith("gpu") and torch.cuda.is_available() else "cpu"
    gflops, gigabytes = peak(device)
    with open(arguments.out / "results.jsonl", "w") as out:
        card = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
        facts = {"torch": torch.__version__, "on": card, "peak_gflops": gflops, "copy_gb_per_s": gigabytes}
        facts |= {"device": arguments.device, "date": time.strftime("%Y-%m-%d")}
        print(json.dumps(facts), file=out, flush=True)
        print(facts)
        if arguments.refdata:
            found = refdata(arguments)
            print(json.dumps(found), file=out, flush=True)
            print(found)
        failed = []
        for name in arguments.networks:
            try:
                one(name, arguments, device, (gflops, gigabytes), out)
            except Exception as e:  # the other networks are measured all the same
                failed.append(name)
                print(json.dumps({"network": name, "failed": f"{type(e).__name__}: {e}"[:500]}), file=out, flush=True)
                print(f"{name} failed: {type(e).__name__}: {e}", file=sys.stderr)
    with open(arguments.out / "results.jsonl") as lines, open(arguments.out / "table.md", "w") as out:
        table(lines, out)
    if failed:
        sys.exit(f"not measured to the end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
