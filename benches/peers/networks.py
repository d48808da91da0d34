"""The networks that are measured, with random weights, as PyTorch modules and as files."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import checkpoint_fixtures as zoo  # noqa: E402

CIFAR = (0.4914, 0.4824, 0.4467), (0.2471, 0.2436, 0.2616)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    build: object
    size: int = 32
    classes: int = 10
    normalization: tuple = CIFAR
    batches: tuple = (1, 8, 32, 100)

    @property
    def file_type(self):
        return "pth" if self.size == 32 else "onnx"


def cifar_resnet(depth):
    return zoo.ResNet(None, stages=((depth - 2) // 6,) * 3, base=16)


def large(build):
    # A hundred images of this size take more memory in PyTorch than most machines have.
    return Network(build, 224, 1000, IMAGENET, (1, 8, 32))


NETWORKS = {
    "densenet-bc-100": Network(lambda: zoo.DenseNet(layers=16, growth=12)),
    "wrn-28-10": Network(lambda: zoo.WideResNet(layers=4, widen=10, base=16)),
    "wrn-40-2": Network(lambda: zoo.WideResNet(layers=6, widen=2, base=16)),
    "resnet-20": Network(lambda: cifar_resnet(20)),
    "resnet-56": Network(lambda: cifar_resnet(56)),
    "resnet-50": large(torchvision.models.resnet50),
    "vit-b-16": large(torchvision.models.vit_b_16),
}


def build(name):
    """In evaluation mode, with random weights under which signals neither vanish nor explode."""
    network = NETWORKS[name]
    torch.manual_seed(0)
    module = network.build()
    head = [m for m in module.modules() if isinstance(m, nn.Linear)][-1]
    if head.out_features != network.classes:
        head = nn.Linear(head.in_features, network.classes)
        setattr(module, next(n for n in ("fc", "linear") if hasattr(module, n)), head)
    nn.init.normal_(head.weight, std=head.in_features**-0.5)
    settle(module, network)
    return module.eval().requires_grad_(False)


def settle(module, network):
    """Gives batch normalisations the statistics of images. The last one of a residual path is
    made small, as training begins with: otherwise rounding errors grow with each block until
    two runtimes disagree on the sign of many a gradient."""
    for block in module.modules():
        if isinstance(block, (zoo.ResBlock, Bottleneck)):
            last = block.bn3 if hasattr(block, "bn3") else block.bn2
            last.weight.data.fill_(0.2)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    if norms:
        with torch.no_grad():
            module.train()(normalize(network, images(network, 16, seed=1)))


def images(network, count, seed=0):
    """Smooth random images `[N, 3, H, W]` in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, (network.size,) * 2, mode="bilinear")
    grain = torch.rand(smooth.shape, generator=generator) - 0.5
    return (smooth + 0.1 * grain).clamp(0, 1)


def normalize(network, x):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in network.normalization)
    return (x - mean) / std


def write(name, path):
    """The network as a file that ODIN reads."""
    network, module = NETWORKS[name], build(name)
    if network.file_type == "pth":
        return torch.save(module.state_dict(), path)
    # Otherwise attention is one operator, which ONNX does not have.
    torch.backends.mha.set_fastpath_enabled(False)
    x = torch.zeros(2, 3, network.size, network.size)
    torch.onnx.export(
        module,
        (x,),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
    )
    torch.backends.mha.set_fastpath_enabled(True)
