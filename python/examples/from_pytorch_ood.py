"""From pytorch-ood to odin_ood: both on one network, and why numbers differ where they do.

    pip install odin-ood torch onnxscript pytorch-ood
    python python/examples/from_pytorch_ood.py

Runs in well under a minute on a CPU. The cells are those of an editor that understands `# %%`;
docs/from_pytorch_ood.md tells the same as a page.
"""

# %% The demonstration's network, a small DenseNet that knows the digits 0 to 5, as a PyTorch module
import json
import sys
from pathlib import Path

import numpy as np
import torch
from pytorch_ood.detector import ASH, ODIN, EnergyBased
from pytorch_ood.metrics import OODMetrics

import odin_ood
from odin_ood.pytorch_ood import OdinOOD

DEMO = Path(__file__).resolve().parents[2] / "demo"
sys.path.insert(0, str(DEMO))
from densenet import DenseNetBC  # noqa: E402

MEAN, STD = [0.305185], [0.377469]


def demo_network() -> torch.nn.Module:
    """The network with its trained weights; a safetensors file is a JSON header and the values."""
    content = (DEMO / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(content[begin:end], "<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    network = DenseNetBC(depth=22, growth=12, in_channels=1, classes=6)
    network.load_state_dict(tensors, strict=False)
    return network.eval()


def pixels(name: str) -> torch.Tensor:
    """Images of the demonstration from 0 to 1, (N, 1, 8, 8)."""
    return torch.from_numpy(np.load(DEMO / name)).float() / 255


network = demo_network()
known, unknown = pixels("in.npy"), pixels("near.npy")  # digits 0 to 5, and 6 to 9
labels = torch.from_numpy(np.load(DEMO / "in_labels.npy")).long()


def normalized(images: torch.Tensor) -> torch.Tensor:
    return (images - MEAN[0]) / STD[0]


# %% ODIN in both. pytorch-ood takes normalised images, odin_ood those from 0 to 1.
theirs = ODIN(network, eps=0.0014, temperature=1000.0, norm_std=STD)
ours = odin_ood.Detector.from_torch(network, known[:1], mean=MEAN, std=STD, magnitude=0.0014)

their_in, their_out = theirs(normalized(known)), theirs(normalized(unknown))
our_in, our_out = ours.score(known, labels=labels.numpy()), ours.score(unknown)
print("outlier scores of pytorch-ood:  ", their_in[:3].tolist())
print("in-distribution scores of ours: ", our_in.odin[:3].tolist())
difference = np.abs(-their_in.numpy() - our_in.odin)
print(f"with the sign turned they differ by {difference.max():.1e} at most (theirs are float32)")
print(f"accuracy {np.mean(our_in.prediction == labels.numpy()):.1%}")

# %% Without norm_std, eps of pytorch-ood is a step of the normalised image: ε · std of a pixel
plain = ODIN(network, eps=0.0014, temperature=1000.0)
same = ours.with_setting(magnitude=0.0014 * STD[0])
difference = np.abs(-plain(normalized(known)).numpy() - same.score(known).odin)
print(f"without norm_std it is ours at ε = {0.0014 * STD[0]:.6f}: they differ by {difference.max():.1e}")

# %% Metrics: AUROC agrees; FPR95 has another positive class; AUPR another rule
metrics = OODMetrics()
metrics.update(their_in, labels)
metrics.update(their_out, torch.full((len(their_out),), -1))
their_metrics = metrics.compute()
measured = odin_ood.metrics.evaluate(our_in.odin, our_out.odin)
# Negated and exchanged, out-of-distribution is positive and high: the convention of pytorch-ood.
exchanged = odin_ood.metrics.evaluate(-our_out.odin, -our_in.odin)

print(f"\n{'':24} pytorch-ood   odin_ood   odin_ood with the sides exchanged")
for label, theirs_is, ours_is, exchanged_is in [
    ("AUROC", their_metrics["AUROC"], measured.auroc, exchanged.auroc),
    ("FPR95", their_metrics["FPR95TPR"], measured.fpr_at_95_tpr, exchanged.fpr_at_95_tpr),
    ("AUPR, in positive", their_metrics["AUPR-IN"], measured.aupr_in, exchanged.aupr_out),
    ("AUPR, out positive", their_metrics["AUPR-OUT"], measured.aupr_out, exchanged.aupr_in),
]:
    print(f"{label:24} {theirs_is:11.4%} {ours_is:10.4%} {exchanged_is:10.4%}")

# %% AUPR by trapezoids joins points of the curve by lines; average precision takes steps
three_in, two_out = [0.9, 0.6, 0.5], [0.8, 0.55]
small = OODMetrics()
small.update(-torch.tensor(three_in + two_out), torch.tensor([0, 0, 0, -1, -1]))
steps = odin_ood.metrics.evaluate(three_in, two_out).aupr_in
print(f"\nfive scores: AUPR-IN {small.compute()['AUPR-IN']:.4f} by trapezoids, {steps:.4f} by steps")

# %% Other scores: the sign is all that differs for those of logits
energy = ours.fit(known[:1], scores=["energy", "ash"], ash_pruned=0.65).score(known)
difference = np.abs(-EnergyBased(network)(normalized(known)).detach().numpy() - energy.energy)
print(f"\nenergy differs by {difference.max():.1e} at most")


# %% ASH: pytorch-ood shapes the layer it is given, ours the features that the last layer reads
def feature_maps(x: torch.Tensor) -> torch.Tensor:
    y = network.trans1(network.block1(network.conv1(x)))
    y = network.block3(network.trans2(network.block2(y)))
    return torch.relu(network.bn1(y))


def pooled(x: torch.Tensor) -> torch.Tensor:
    return feature_maps(x).mean((2, 3), keepdim=True)


def head(y: torch.Tensor) -> torch.Tensor:
    return network.fc(y.mean((2, 3)))


with torch.no_grad():
    on_maps = -ASH(feature_maps, head, percentile=0.65)(normalized(known)).numpy()
    on_features = -ASH(pooled, head, percentile=0.65)(normalized(known)).numpy()
print(f"ASH on feature maps differs from ours by up to {np.abs(on_maps - energy.ash).max():.1e},")
print(f"ASH on pooled features by {np.abs(on_features - energy.ash).max():.1e}")

# %% Ours in pytorch-ood's place: outlier scores of normalised images, for its metrics and benchmarks
drop_in = OdinOOD(ours)
metrics = OODMetrics()
metrics.update(drop_in(normalized(known)), labels)
metrics.update(drop_in(normalized(unknown)), torch.full((len(unknown),), -1))
print(f"\nOdinOOD in OODMetrics: AUROC {metrics.compute()['AUROC']:.4%}")

# %% What pytorch-ood leaves to you: a threshold, and a file that needs no PyTorch
calibrated = ours.calibrate(np.load(DEMO / "validation.npy"), tpr=0.95)
verdicts = calibrated.judge(unknown)
print(f"{calibrated}: {verdicts.is_in_distribution.mean():.1%} of the digits 6 to 9 pass")
