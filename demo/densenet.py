"""DenseNet-BC (Huang et al., CVPR 2017, arXiv 1608.06993) for small images.

Parameter names are those of the ODIN paper's checkpoints, so the toolkit's
architecture recognition reads this model like any other DenseNet-BC.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """BN-ReLU-conv1x1(4k)-BN-ReLU-conv3x3(k), concatenated to its input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return torch.cat([x, y], dim=1)


class DenseBlock(nn.Module):
    """`layers` bottlenecks in a row; adds `layers * growth` channels."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            *(Bottleneck(channels + i * growth, growth) for i in range(layers))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Transition(nn.Module):
    """BN-ReLU-conv1x1(half the channels)-average pooling 2x2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv1(F.relu(self.bn1(x))), 2)


class DenseNetBC(nn.Module):
    """Three dense blocks of (depth - 4) / 6 bottlenecks; NCHW in, logits out."""

    def __init__(self, depth: int, growth: int, in_channels: int, classes: int) -> None:
        super().__init__()
        layers, rest = divmod(depth - 4, 6)
        if rest or layers < 1:
            raise ValueError(f"DenseNet-BC needs a depth of 6n + 4 with n >= 1, got {depth}")

        channels = 2 * growth
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.block1 = DenseBlock(channels, growth, layers)
        channels += layers * growth
        self.trans1 = Transition(channels)
        channels //= 2
        self.block2 = DenseBlock(channels, growth, layers)
        channels += layers * growth
        self.trans2 = Transition(channels)
        channels //= 2
        self.block3 = DenseBlock(channels, growth, layers)
        channels += layers * growth
        self.bn1 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.trans1(self.block1(self.conv1(x)))
        y = self.block3(self.trans2(self.block2(y)))
        return self.fc(F.relu(self.bn1(y)).mean(dim=(2, 3)))
