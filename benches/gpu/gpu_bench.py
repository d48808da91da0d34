"""Compiled detectors on an NVIDIA GPU, by ONNX Runtime, beside PyTorch.

Needed: PyTorch and torchvision for CUDA, onnx, `onnxruntime-gpu` for the same CUDA as PyTorch's,
numpy, Pillow; and our program, which writes the detectors:

    cargo build --release --locked
    python benches/gpu/gpu_bench.py prepare DIR --odin target/release/odin \
        --weights densenet-bc-100=densenet_bc_100_12_cifar10.pth --images test/ other/
    python benches/gpu/gpu_bench.py nodes DIR        where ONNX Runtime puts each node
    python benches/gpu/gpu_bench.py agree DIR        differences between the scores
    python benches/gpu/gpu_bench.py measure DIR      speed; --seconds bounds the time that it takes
    python benches/gpu/gpu_bench.py table DIR        the tables, from what was measured so far
    python benches/gpu/gpu_bench.py symmetric DIR OTHER    detectors with equal pads; measure OTHER

`prepare` needs no GPU; --images wants folders of PNG files of 32x32. For each network it writes
NAME.pth, with random weights or with those that --weights gives, and NAME.detector.onnx by

    odin compile --nn NAME.pth --mean .. --std .. --magnitude 0.0014 -o NAME.detector.onnx

Results are lines of JSON, added to DIR/*.jsonl as soon as they are known.

How time is measured: by the host's clock, from the call until the results of a batch are there
(every batch is waited for), median of runs for at least 0.3 seconds after a warm-up. Everybody
gets pixels in [0, 1] as f32, normalises them, and gives predictions and ODIN scores. "device":
pixels and scores stay in the memory of the GPU. "host": from and to arrays in main memory.

The variants of PyTorch that `torch.compile` makes are compiled first, all at once, in processes of
their own, and are measured one after another in their turn.
"""

import argparse
import contextlib
import copy
import functools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

TEMPERATURE, MAGNITUDE = 1000.0, 0.0014
PAPER = (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETWORKS = {  # size, normalisation, batches
    "densenet-bc-100": (32, PAPER, (1, 8, 32, 128, 512)),
    "resnet-20": (32, IMAGENET, (1, 8, 32, 128, 512)),
    "wrn-40-2": (32, PAPER, (1, 8, 32, 128, 512)),
    "resnet-50": (224, IMAGENET, (1, 8, 32, 128)),
}
ORDER = (128, 1, 32, 8, 512)  # the most telling batches first, should the time not suffice
COMPILED = (1, 32, 128)  # batches for which torch.compile is measured


# --- PyTorch ----------------------------------------------------------------------------------


@functools.cache
def loaded(directory, name):
    import networks
    import torch

    module = networks.build(name)
    module.load_state_dict(torch.load(directory / f"{name}.pth", map_location="cpu"))
    return module


def load(directory, name):
    """The module with the weights that the detector was made of, on the CPU."""
    return copy.deepcopy(loaded(directory, name))


class Torch:
    """All of ODIN on batches. `like_authors`: weights and second pass record what gradients need,
    and the gradients of the weights are computed, as in the first programs; else weights are frozen
    and only the gradient of the input is computed."""

    def __init__(self, module, name, channels_last=False, like_authors=False, device="cuda", double=False):
        import torch

        self.torch, self.like_authors = torch, like_authors
        self.type = torch.float64 if double else torch.float32
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        mean, std = (torch.tensor(v, dtype=self.type).view(1, 3, 1, 1) for v in NETWORKS[name][1])
        self.mean, self.std, self.device = mean.to(device), std.to(device), device
        self.step = MAGNITUDE / self.std
        self.module = module.to(device, self.type, memory_format=self.format)
        self.module.requires_grad_(like_authors)

    def input(self, images):
        return self.torch.from_numpy(images).to(self.device)

    def __call__(self, images):
        torch, cross_entropy = self.torch, self.torch.nn.functional.cross_entropy
        x = ((images.to(self.type) - self.mean) / self.std).contiguous(memory_format=self.format)
        logits = self.module(x.requires_grad_())
        prediction = logits.detach().argmax(1)
        if self.like_authors:
            cross_entropy(logits / TEMPERATURE, prediction).backward()
            perturbed = self.module(self.perturb(x.detach(), x.grad))
        else:
            loss = cross_entropy(logits / TEMPERATURE, prediction, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                perturbed = self.module(self.perturb(x.detach(), gradient))
        scores = (perturbed.detach().double() / TEMPERATURE).softmax(1).amax(1)
        return prediction, scores

    def perturb(self, x, gradient):
        # Not `sign`, which is 0 at 0.
        return self.torch.where(gradient >= 0, x - self.step, x + self.step)


class Replay:
    """A captured CUDA graph of all of it."""

    def __init__(self, step, images):
        torch = step.torch
        self.images = images.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step(self.images)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = step(self.images)

    def __call__(self):
        self.graph.replay()
        return self.outputs


def tf32(on):
    import torch

    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cuda.matmul.allow_tf32 = on


# --- ONNX Runtime -----------------------------------------------------------------------------


class Ort:
    """The compiled detector. `batch`: the number of images is told to the session, else left open."""

    def __init__(
        self, directory, name, use_tf32=None, batch=None, graph=False, cuda=True, profile=None, **more
    ):
        import onnxruntime

        self.ort, self.graph = onnxruntime, graph
        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if batch:
            options.add_free_dimension_override_by_name("N", batch)
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        settings = {"device_id": 0} | more
        if use_tf32 is not None:
            settings["use_tf32"] = int(use_tf32)
        if graph:
            settings["enable_cuda_graph"] = 1
        providers = [("CUDAExecutionProvider", settings)] if cuda else []
        self.session = onnxruntime.InferenceSession(
            str(directory / f"{name}.detector.onnx"), options, providers=[*providers, "CPUExecutionProvider"]
        )
        found = self.session.get_providers()[0]
        if cuda and found != "CUDAExecutionProvider":
            raise RuntimeError(f"no CUDA in this ONNX Runtime: {found}")
        # Sessions that capture graphs run as others do where a run says so.
        self.uncaptured = onnxruntime.RunOptions()
        if graph:
            self.uncaptured.add_run_config_entry("gpu_graph_id", "-1")

    def run(self, images):
        return self.session.run(["prediction", "odin"], {"images": images}, self.uncaptured)

    def bind(self, images, device="cuda"):
        """Inputs and outputs at fixed places in the memory of the GPU."""
        value = self.ort.OrtValue
        self.input = value.ortvalue_from_numpy(images, device, 0)
        self.outputs = [
            value.ortvalue_from_shape_and_type([len(images)], t, device, 0) for t in (np.int64, np.float32)
        ]
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("images", self.input)
        for name, output in zip(("prediction", "odin"), self.outputs):
            self.binding.bind_ortvalue_output(name, output)

    def run_bound(self):
        self.session.run_with_iobinding(self.binding, self.uncaptured)

    def run_captured(self):
        self.session.run_with_iobinding(self.binding)

    def read(self):
        return [output.numpy() for output in self.outputs]


# --- Preparation ------------------------------------------------------------------------------


def prepare(arguments):
    import networks
    import torch
    from PIL import Image

    given = dict(pair.split("=", 1) for pair in arguments.weights)
    arguments.dir.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks:
        module = networks.build(name)
        if name in given:
            state = torch.load(given[name], map_location="cpu", weights_only=False)
            state = state.get("state_dict", state)
            module.load_state_dict({key.removeprefix("module."): v for key, v in state.items()})
        weights = arguments.dir / f"{name}.pth"
        torch.save(module.state_dict(), weights)
        mean, std = (",".join(f"{v:.9f}" for v in values) for values in NETWORKS[name][1])
        command = [arguments.odin, "compile", "--nn", weights, "--mean", mean, "--std", std]
        command += ["--magnitude", str(MAGNITUDE), "-o", arguments.dir / f"{name}.detector.onnx", "--quiet"]
        subprocess.run(list(map(str, command)), check=True)
    parts = []
    for folder in arguments.images:
        files = sorted(Path(folder).rglob("*.png"))
        files = files[:: max(1, len(files) // arguments.count)][: arguments.count]
        parts.append(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    if parts:
        np.save(arguments.dir / "images.npy", np.concatenate(parts))


def symmetric(arguments):
    """Writes DIR/NAME.detector.onnx to OTHER, every ConvTranspose of unequal pads as the same one
    with equal pads and output_padding, which ONNX Runtime has for CUDA."""
    import onnx

    arguments.other.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks:
        model = onnx.load(arguments.dir / f"{name}.detector.onnx")
        for node in model.graph.node:
            values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            rank = len(values.get("pads", ())) // 2
            begin, end = values.get("pads", [])[:rank], values.get("pads", [])[rank:]
            if node.op_type != "ConvTranspose" or begin == end:
                continue
            extra = values.get("output_padding", [0] * rank)
            values["output_padding"] = [o + b - e for o, b, e in zip(extra, begin, end)]
            values["pads"] = begin + begin
            assert all(0 <= o < s for o, s in zip(values["output_padding"], values["strides"]))
            del node.attribute[:]
            node.attribute.extend(onnx.helper.make_attribute(k, v) for k, v in values.items())
        onnx.save(model, arguments.other / f"{name}.detector.onnx")
        for file in (f"{name}.pth", "images.npy"):
            with contextlib.suppress(FileExistsError):
                (arguments.other / file).symlink_to((arguments.dir / file).resolve())


def real_images(arguments, name):
    """f32 [N, 3, H, W] in [0, 1], enlarged where the network takes larger ones."""
    import torch

    pixels = np.load(arguments.dir / "images.npy").transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    size = NETWORKS[name][0]
    if pixels.shape[2] == size:
        return np.ascontiguousarray(pixels)
    larger = torch.nn.functional.interpolate(torch.from_numpy(pixels), (size, size), mode="bilinear")
    return larger.clamp(0, 1).numpy()


def random_images(name, count):
    import networks

    return networks.images(networks.NETWORKS[name], count).numpy()


# --- Where the nodes run ----------------------------------------------------------------------


def nodes(arguments):
    out = Results(arguments.dir / "nodes.jsonl")
    for name in arguments.networks:
        images = random_images(name, 8)
        begun = time.perf_counter()
        session = Ort(arguments.dir, name, batch=8, profile=str(arguments.dir / "profile"))
        created = time.perf_counter() - begun
        session.run(images)
        first = time.perf_counter() - begun - created
        file = session.session.end_profiling()
        places = {}
        for event in json.loads(Path(file).read_text()):
            details = event.get("args", {})
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                place = details.get("provider", "?").removesuffix("ExecutionProvider")
                kinds = places.setdefault(place, {})
                kinds[details["op_name"]] = kinds.get(details["op_name"], 0) + 1
        Path(file).unlink()
        out.write({"network": name, "create_s": created, "first_run_s": first, "nodes": places})


# --- Agreement --------------------------------------------------------------------------------


def agree(arguments):
    """Everybody beside PyTorch in f64."""
    import torch

    out = Results(arguments.dir / "agree.jsonl")
    for name in arguments.networks:
        images = real_images(arguments, name)[: arguments.count or None]
        chunk = 25 if NETWORKS[name][0] > 32 else 100
        chunks = [images[i : i + chunk] for i in range(0, len(images), chunk)]

        def torch_scores(on, device=arguments.device, **options):
            tf32(on)
            step = Torch(load(arguments.dir, name), name, device=device, **options)
            parts = [[v.cpu().numpy() for v in step(step.input(c))] for c in chunks]
            return [np.concatenate(v) for v in zip(*parts)]

        def ort_scores(**options):
            session = Ort(arguments.dir, name, **options)
            return [np.concatenate(v) for v in zip(*[session.run(c) for c in chunks])]

        cuda = arguments.device == "cuda"
        exact = torch_scores(False, double=True)
        clean = exact_clean(arguments, name, chunks)
        runners = {
            "PyTorch, TF32 off": lambda: torch_scores(False),
            "PyTorch, channels last, TF32 off": lambda: torch_scores(False, channels_last=True),
            "PyTorch, TF32 on": lambda: torch_scores(True),
            "detector, ONNX Runtime CUDA, use_tf32 = 0": lambda: ort_scores(use_tf32=False, cuda=cuda),
            "detector, ONNX Runtime CUDA, use_tf32 = 1": lambda: ort_scores(use_tf32=True, cuda=cuda),
            "detector, ONNX Runtime CUDA, as it comes": lambda: ort_scores(cuda=cuda),
            "detector, ONNX Runtime CPU": lambda: ort_scores(cuda=False),
        }
        found = {"f64": exact}
        for runner, scores in runners.items():
            try:
                found[runner] = scores()
            except Exception as error:  # a row of the table, and on with the next
                out.write({"network": name, "runner": runner, "error": str(error)[:300]})
                continue
            out.write({"network": name, "runner": runner} | difference(found[runner], exact, clean))
        np.savez(
            arguments.dir / f"{name}.scores.npz",
            **{f"{k}:{i}": v for k, p in found.items() for i, v in enumerate(p)},
        )
        if cuda:
            torch.cuda.empty_cache()


def exact_clean(arguments, name, chunks):
    """The scores at T without the perturbation, in f64."""
    import torch

    step = Torch(load(arguments.dir, name), name, device=arguments.device, double=True)
    with torch.no_grad():
        logits = [step.module((step.input(c).double() - step.mean) / step.std) for c in chunks]
    return (torch.cat(logits) / TEMPERATURE).softmax(1).amax(1).cpu().numpy()


def difference(found, exact, clean):
    gap = np.abs(found[1].astype(np.float64) - exact[1])
    return {
        "images": len(gap),
        "equal_predictions": float((found[0] == exact[0]).mean()),
        "max": float(gap.max()),
        "p99": float(np.quantile(gap, 0.99)),
        "median": float(np.median(gap)),
        "median_effect": float(np.median(np.abs(exact[1] - clean))),
    }


# --- Speed ------------------------------------------------------------------------------------


def timed(run, seconds=0.3):
    """The median of seconds per call."""
    end = time.perf_counter() + seconds / 3
    run(), run()
    while time.perf_counter() < end:
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


class Results:
    """Lines of JSON in a file, written one by one."""

    def __init__(self, file):
        self.file = file
        self.rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def write(self, row):
        self.rows.append(row)
        with self.file.open("a") as file:
            print(json.dumps(row), file=file)
        print(json.dumps(row), flush=True)

    def speed(self, network, batch, runner, variant, run, host=None):
        row = {"network": network, "batch": batch, "runner": runner, "variant": variant}
        for where, call in (("device", run), ("host", host)):
            if call:
                row[where] = batch / timed(call)
        self.write(row)


def measure(arguments):
    import torch

    end = time.perf_counter() + arguments.seconds
    out = Results(arguments.dir / "speed.jsonl")
    out.write({"machine": describe()})
    started = [] if arguments.started else workers(arguments)
    settle_workers(arguments)
    torch.backends.cudnn.benchmark = False
    for batch in ORDER:
        for name in arguments.networks:
            if batch not in NETWORKS[name][2] or batch not in arguments.batches:
                continue
            images = random_images(name, batch)
            for part in (time_ort, time_torch, time_compiled):
                if time.perf_counter() > end:
                    out.write({"network": name, "batch": batch, "skipped": part.__name__})
                    continue
                begun = time.perf_counter()
                try:
                    part(arguments, name, batch, images, out)
                except Exception as error:
                    out.write({"network": name, "batch": batch, "error": f"{part.__name__}: {error}"[:400]})
                torch.cuda.empty_cache()
                print(f"{part.__name__} {name} {batch}: {time.perf_counter() - begun:.1f} s", flush=True)
    for worker in started:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)


def time_ort(arguments, name, batch, images, out):
    # As it comes: what a user gets who knows nothing of options.
    session = Ort(arguments.dir, name)
    session.bind(images)
    out.speed(name, batch, "ONNX Runtime", "as it comes", session.run_bound, lambda: session.run(images))
    for on in (True, False):
        del session
        variant = f"TF32 {'on' if on else 'off'}"
        try:
            session = Ort(arguments.dir, name, on, batch, graph=True)
        except Exception as error:
            out.write({"network": name, "batch": batch, "error": f"ONNX Runtime, CUDA graph: {error}"[:400]})
            session = Ort(arguments.dir, name, on, batch)
        session.bind(images)
        out.speed(name, batch, "ONNX Runtime", variant, session.run_bound, lambda: session.run(images))
        if not session.graph:
            continue

        def from_host():
            session.input.update_inplace(images)
            session.run_captured()
            return session.read()

        session.run_captured()
        out.speed(name, batch, "ONNX Runtime", f"CUDA graph, {variant}", session.run_captured, from_host)


def time_torch(arguments, name, batch, images, out):
    import torch

    def device(step, x):
        step(x)
        torch.cuda.synchronize()

    def host(step):
        return [v.cpu().numpy() for v in step(step.input(images))]

    torch.backends.cudnn.benchmark = False
    for on in (True, False):
        tf32(on)
        step = Torch(load(arguments.dir, name), name, like_authors=True)
        x = step.input(images)
        variant = f"as the authors' program, TF32 {'on' if on else 'off'}"
        out.speed(name, batch, "PyTorch", variant, lambda: device(step, x), lambda: host(step))
    torch.backends.cudnn.benchmark = True
    for on in (True, False):
        for last in (False, True):
            tf32(on)
            step = Torch(load(arguments.dir, name), name, channels_last=last)
            time_step(
                name,
                batch,
                ("channels last, " if last else "") + f"TF32 {'on' if on else 'off'}",
                step,
                images,
                out,
            )
            torch.cuda.empty_cache()
    torch.backends.cudnn.benchmark = False


def time_step(name, batch, variant, step, images, out):
    """As it is, and as a CUDA graph."""
    import torch

    x = step.input(images)

    def device():
        step(x)
        torch.cuda.synchronize()

    def host():
        return [v.cpu().numpy() for v in step(step.input(images))]

    out.speed(name, batch, "PyTorch", variant, device, host)
    replay = Replay(step, x)

    def replayed():
        replay()
        torch.cuda.synchronize()

    def from_host():
        replay.images.copy_(torch.from_numpy(images))
        return [v.cpu().numpy() for v in replay()]

    out.speed(name, batch, "PyTorch", f"CUDA graph, {variant}", replayed, from_host)


def time_compiled(arguments, name, batch, images, out):
    mark = arguments.dir / "workers" / f"{name}-{batch}"
    if not mark.with_suffix(".ready").exists():
        return
    mark.with_suffix(".go").touch()
    end = time.perf_counter() + 60
    while not mark.with_suffix(".done").exists() and time.perf_counter() < end:
        time.sleep(0.02)
    for line in mark.with_suffix(".jsonl").read_text().splitlines():
        out.write(json.loads(line))


def workers(arguments):
    """Starts what compiles; each waits for its turn."""
    folder = arguments.dir / "workers"
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "2", "OMP_NUM_THREADS": "2"}
    started = []
    for name in arguments.networks:
        for batch in COMPILED:
            if batch in NETWORKS[name][2]:
                log = (folder / f"{name}-{batch}.log").open("w")
                command = [sys.executable, __file__, "worker", str(arguments.dir), name, str(batch)]
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, env=environment, start_new_session=True
                )
                (folder / f"{name}-{batch}.started").write_text(str(process.pid))
                started.append(process)
    return started


def settle_workers(arguments):
    """Waits until they have compiled or failed, so that nobody works beside a measurement."""
    folder, end = arguments.dir / "workers", time.perf_counter() + arguments.patience

    def at_work():
        ended = (".ready", ".failed", ".done")
        return [f for f in folder.glob("*.started") if not any(f.with_suffix(s).exists() for s in ended)]

    while at_work() and time.perf_counter() < end:
        time.sleep(0.5)
    for file in at_work():
        print(f"not compiled in time: {file.stem}", flush=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


def worker(arguments):
    """Compiles for one network and batch, waits for its turn, and measures."""
    import torch

    name, batch = arguments.network, arguments.batch
    mark = arguments.dir / "workers" / f"{name}-{batch}"
    torch.set_num_threads(2)
    try:
        begun = time.perf_counter()
        torch._dynamo.config.recompile_limit = 64
        module = load(arguments.dir, name)
        step = Torch(module, name, channels_last=True)
        step.module = torch.compile(step.module, dynamic=False)
        images = random_images(name, batch)
        for on in (False, True):
            tf32(on)
            for _ in range(2):
                step(step.input(images))
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        print(f"compiled in {time.perf_counter() - begun:.0f} s", flush=True)
    except Exception:
        mark.with_suffix(".failed").touch()
        raise
    mark.with_suffix(".ready").touch()
    while not mark.with_suffix(".go").exists():
        time.sleep(0.02)
    try:
        out = Results(mark.with_suffix(".jsonl"))
        torch.backends.cudnn.benchmark = True
        for on in (True, False):
            tf32(on)
            time_step(
                name, batch, f"torch.compile, channels last, TF32 {'on' if on else 'off'}", step, images, out
            )
    finally:
        mark.with_suffix(".done").touch()


def describe():
    import torch

    query = "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"
    machine = {"python": platform.python_version(), "torch": torch.__version__}
    machine["cudnn"] = torch.backends.cudnn.version()
    try:
        import onnxruntime

        machine["onnxruntime"] = onnxruntime.__version__
        card = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True)
        machine["gpu"] = card.stdout.strip()
    except (ImportError, OSError) as error:
        machine["error"] = str(error)
    return machine


# --- Tables -----------------------------------------------------------------------------------


def table(arguments):
    speed = Results(arguments.dir / "speed.jsonl").rows
    agreement = Results(arguments.dir / "agree.jsonl").rows
    print("| network | runner | variant | " + " | ".join(f"batch {b}" for b in sorted(ORDER)) + " |")
    print("|---|---|---|" + "---|" * len(ORDER))
    for name in NETWORKS:
        rows = [r for r in speed if r.get("network") == name and "variant" in r]
        for key in dict.fromkeys((r["runner"], r["variant"]) for r in rows):
            for where in ("device", "host"):
                found = {
                    r["batch"]: r[where] for r in rows if (r["runner"], r["variant"]) == key and where in r
                }
                cells = " | ".join(f"{found[b]:,.0f}" if b in found else "" for b in sorted(ORDER))
                print(f"| {name} | {key[0]} | {key[1]}, {where} | {cells} |")
    print("\n| network | | images | equal predictions | max | 99 % | median |\n|---|---|---|---|---|---|---|")
    for r in agreement:
        cells = (
            r.get("error")
            or f"{r['images']} | {100 * r['equal_predictions']:.2f} % | {r['max']:.1e} | {r['p99']:.1e} | {r['median']:.1e}"
        )
        print(f"| {r['network']} | {r['runner']} | {cells} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for function in (prepare, symmetric, nodes, agree, measure, table, workers, worker):
        command = commands.add_parser(function.__name__)
        command.set_defaults(function=function)
        command.add_argument("dir", type=Path)
        command.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
        if function is prepare:
            command.add_argument("--odin", default="target/release/odin")
            command.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE")
            command.add_argument(
                "--images", nargs="*", default=[], metavar="FOLDER", help="real images, 32x32"
            )
            command.add_argument("--count", type=int, default=200, help="images of each folder")
        if function is symmetric:
            command.add_argument("other", type=Path)
        if function is agree:
            command.add_argument("--device", default="cuda")
            command.add_argument("--count", type=int, default=0)
        if function is measure:
            command.add_argument("--seconds", type=float, default=1200)
            command.add_argument("--patience", type=float, default=300, help="seconds for compilation")
            command.add_argument("--batches", nargs="+", type=int, default=list(ORDER))
            command.add_argument("--started", action="store_true", help="`workers` was run before")
        if function is worker:
            command.add_argument("network")
            command.add_argument("batch", type=int)
    arguments = parser.parse_args()
    arguments.function(arguments)


if __name__ == "__main__":
    main()
