"""Whole jobs in Python beside pytorch-ood: `whole_jobs.py DATA` prints a table.

    python benches/peers/whole_jobs.py ../shared/refdata --threads 1 --rounds 5

needs `odin_ood`, and what requirements.txt lists with pytorch-ood 0.4.0. DATA holds `weights/` and
`sets/`. A job is a process that imports its packages, opens a trained network, decodes the PNG images of
an in- and some out-of-distribution folders, scores them with ODIN at T = 1000 and ε = 0.0014 and computes
the metrics. The processes take turns. Wall time counts from start to end of the process; CPU time (user
and system) and the peak of resident memory are those that the operating system accounts to it. Every
number is a median.

The evaluator of OpenOOD is not among the contenders: it is in no package registry, and sends every batch
to a CUDA device.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TEMPERATURE, MAGNITUDE, BATCH = 1000.0, 0.0014, 32
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PAPER = [125.3 / 255, 123.0 / 255, 113.9 / 255], [63.0 / 255, 62.1 / 255, 66.7 / 255]
# Of each network: file of its weights, normalisation.
NETWORKS = {
    "resnet-20": ("resnet20_cifar10.th", IMAGENET),
    "densenet-bc-100": ("densenet_bc_100_12_cifar10.pth", PAPER),
}


def with_odin_ood(network, folders, arguments):
    """Scores of each folder by this project's package; high means in-distribution."""
    import odin_ood

    weights, (mean, std) = NETWORKS[network]
    detector = odin_ood.Detector.from_checkpoint(
        arguments.data / "weights" / weights,
        mean=mean,
        std=std,
        temperature=TEMPERATURE,
        magnitude=MAGNITUDE,
        threads=arguments.threads,
    )
    # A folder as a whole, or a list of some of its files.
    sets = [paths(folder, arguments.limit) if arguments.limit else folder for folder in folders]
    scores = [detector.score(images) for images in sets]
    measured = [odin_ood.metrics.evaluate(scores[0].odin, out.odin).to_dict() for out in scores[1:]]
    names = [Path(name).name for part in scores for name in part.file]
    return names, np.concatenate([part.odin for part in scores]), measured


def with_pytorch_ood(network, folders, arguments):
    """Scores of each folder by pytorch-ood, with the sign turned."""
    import torch
    from pytorch_ood.detector import ODIN
    from pytorch_ood.metrics import OODMetrics
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Normalize, ToTensor

    torch.set_num_threads(arguments.threads)
    _, (mean, std) = NETWORKS[network]
    module = module_of(network, arguments.data)
    detector = ODIN(module, eps=MAGNITUDE, temperature=TEMPERATURE, norm_std=std)
    transform = Compose([ToTensor(), Normalize(mean, std)])
    names, scores = [], []
    for folder in folders:
        images = ImageFolder(str(folder), transform)
        count = min(arguments.limit or len(images), len(images))
        names += [Path(path).name for path, _ in images.samples[:count]]
        images = Subset(images, range(count))
        scores.append(torch.cat([detector(x) for x, _ in DataLoader(images, batch_size=BATCH)]))
    measured = []
    for out in scores[1:]:
        metrics = OODMetrics()
        metrics.update(scores[0], torch.zeros(len(scores[0]), dtype=torch.long))
        metrics.update(out, torch.full((len(out),), -1))
        measured.append(metrics.compute())
    return names, -torch.cat(scores).double().numpy(), measured


def paths(folder, limit):
    """The first images of a folder, in the order of their paths."""
    return sorted(folder.glob("*/*.png"))[:limit]


def module_of(network, data):
    """The network as a PyTorch module with its trained weights, frozen."""
    import torch

    sys.path.insert(0, str(HERE.parents[1] / "scripts"))
    import checkpoint_fixtures as zoo

    if network == "resnet-20":
        module = zoo.ResNet(None, stages=(3, 3, 3), base=16)
        module.linear = torch.nn.Linear(64, 10)
    else:
        module = zoo.DenseNet(layers=16, growth=12)
        module.fc = torch.nn.Linear(module.fc.in_features, 10)
    state = torch.load(data / "weights" / NETWORKS[network][0], map_location="cpu", weights_only=True)
    tensors = {name.removeprefix("module."): tensor for name, tensor in state["state_dict"].items()}
    module.load_state_dict(tensors)
    return module.eval().requires_grad_(False)


JOBS = {"odin-ood": with_odin_ood, "pytorch-ood": with_pytorch_ood}


def run(arguments):
    """One job, in this process."""
    folders = [arguments.data / "sets" / name for name in arguments.sets]
    names, odin, measured = JOBS[arguments.job](arguments.networks[0], folders, arguments)
    np.savez(arguments.output, names=names, odin=odin, measured=json.dumps(measured))


def measured_run(job, network, arguments, output):
    """Wall and CPU seconds and peak bytes of a job in a process of its own."""
    command = [sys.executable, __file__, arguments.data, "--job", job, "--networks", network]
    command += ["--sets", *arguments.sets, "--threads", arguments.threads, "--output", output]
    command += ["--limit", arguments.limit] if arguments.limit else []
    begun = time.perf_counter()
    child = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    if status:
        sys.exit(f"{job} failed on {network}")
    return wall, usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss


def measure(network, arguments):
    """Medians of each job, and how far the scores of the two are apart."""
    taken = {job: [] for job in JOBS}
    with tempfile.TemporaryDirectory() as folder:
        outputs = {job: Path(folder) / f"{job}.npz" for job in JOBS}
        for round_ in range(arguments.rounds):
            order = list(JOBS) if round_ % 2 == 0 else list(reversed(JOBS))
            for job in order:
                run_ = measured_run(job, network, arguments, outputs[job])
                taken[job].append(run_)
                numbers = "{:.2f} s, CPU {:.2f} s, {:.2e} bytes".format(*run_)
                tell(f"{network}, round {round_ + 1}: {job} {numbers}")
        difference, count, metrics = compared(*(np.load(outputs[job]) for job in JOBS))
    medians = {job: [statistics.median(column) for column in zip(*runs)] for job, runs in taken.items()}
    spread = {job: [min(run[0] for run in runs), max(run[0] for run in runs)] for job, runs in taken.items()}
    return {
        "network": network,
        "images": count,
        "medians": medians,
        "wall": spread,
        "difference": difference,
        "metrics": metrics,
    }


def compared(ours, theirs):
    """Largest and median difference of scores, image by image."""
    # Both read a folder in the order of its paths.
    assert ours["names"].tolist() == theirs["names"].tolist()
    apart = np.abs(ours["odin"] - theirs["odin"])
    metrics = [json.loads(str(side["measured"])) for side in (ours, theirs)]
    return [float(apart.max()), float(np.median(apart))], len(apart), metrics


def markdown(report, arguments):
    lines = [
        "| network | images | | wall time | CPU time | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for found in report:
        ours, theirs = (found["medians"][job] for job in JOBS)
        for job, (wall, cpu, peak) in found["medians"].items():
            name = found["network"] if job == "odin-ood" else ""
            count = found["images"] if job == "odin-ood" else ""
            lines.append(f"| {name} | {count} | {job} | {wall:.2f} s | {cpu:.2f} s | {peak / 1e6:.0f} MB |")
        ratios = " | ".join(f"{t / o:.2f}" for o, t in zip(ours, theirs))
        lines.append(f"| | | pytorch-ood / odin-ood | {ratios} |")
    return "\n".join(lines)


def tell(text):
    print(text, file=sys.stderr, flush=True)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--sets", nargs="+", default=["cifar10", "Imagenet_resize", "sun_resize"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="images of each set, the first ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write everything that was measured")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = options()
    if arguments.job:
        return run(arguments)
    packages = ("odin-ood", "pytorch-ood", "torch", "torchvision", "numpy")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{', '.join(f'{name} {version(name)}' for name in packages)}; {machine}")
    report = [measure(network, arguments) for network in arguments.networks]
    print(f"\n{arguments.threads} threads, {arguments.rounds} rounds\n\n{markdown(report, arguments)}")
    for found in report:
        largest, median = found["difference"]
        apart = f"{largest:.1e} at most, {median:.1e} in the median"
        print(f"\n{found['network']}: ODIN scores differ by {apart}")
        print(f"wall times from {found['wall']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
