"""Writes small ONNX classifiers of every family, as the exporters in use write them, with the
logits, scores and gradient signs that PyTorch computes from the original modules in f64.

    python scripts/onnx_fixtures.py crates/odin-formats/tests/fixtures/onnx
    python scripts/onnx_fixtures.py --full DIR      every network by every exporter and opset

`docs/onnx_fixtures.md` describes what is written, `requirements-onnx.txt` what is needed. The
networks are the real ones of torchvision, timm and Keras, with few channels and few layers. They
are untrained; their weights are seeded, and their normalisation statistics are those of noise,
disturbed, so that signals neither vanish nor explode and every tensor counts. Each file is also
run by ONNX Runtime and compared with PyTorch before it counts as a fixture.
"""

import argparse
import copy
import io
import json
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import timm.models
import torch
import torch.nn.functional as F
import torchvision.models as tv
from timm.models.deit import VisionTransformerDistilled
from timm.models.mlp_mixer import MlpMixer
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from torch import nn
from torchvision.models import convnext, efficientnet, inception, mnasnet
from torchvision.models import mobilenetv3, regnet, squeezenet, swin_transformer, vgg
from torchvision.models.googlenet import BasicConv2d, Inception

import checkpoint_fixtures as cifar

CLASSES = 7
TEMPERATURE, MAGNITUDE = 1000.0, 0.0014
NEWEST_OPSET = 24
IMAGES = 4
# For so many of them the signs of the gradient are stored.
WITH_GRADIENT = 2
# A gradient component below this share of its image's largest may change sign by rounding.
SIGNIFICANT = 1e-4

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PAPER = [0.491, 0.482, 0.447], [0.247, 0.243, 0.261]
HALF = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]
GREY = [0.5], [0.25]
BYTES = [0.0], [1 / 255]
PIXELS = [0.0], [1.0]


# --- The networks of torchvision and timm, reduced --------------------------------------------


class NarrowResNet(tv.ResNet):
    """torchvision's, with a few channels; the last stage can be left out."""

    WIDTHS = {64: 4, 128: 4, 256: 6, 512: 8}

    def __init__(self, block, layers, last_stage=True, **options):
        super().__init__(block, layers, CLASSES, **options)
        self.conv1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        if not last_stage:
            self.layer4 = nn.Identity()
        self.fc = nn.Linear(block.expansion * (8 if last_stage else 6), CLASSES)

    def _make_layer(self, block, planes, blocks, **options):
        if planes == 64:
            self.inplanes = 4
        return super()._make_layer(block, self.WIDTHS[planes], blocks, **options)


def resnet():
    return NarrowResNet(tv.resnet.BasicBlock, [1, 1, 1, 1])


def resnext():
    return NarrowResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], last_stage=False, groups=2, width_per_group=32)


def wide_resnet():
    return NarrowResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], last_stage=False, width_per_group=128)


def densenet():
    return tv.DenseNet(3, (2, 2, 1), 6, bn_size=2, num_classes=CLASSES)


def vgg_plain():
    layers = vgg.make_layers([4, "M", 6, 6, "M", 8, "M"])
    network = tv.VGG(layers, CLASSES, init_weights=False)
    # The pool is the identity here, as it is at the full resolution.
    network.avgpool = nn.AdaptiveAvgPool2d(4)
    network.classifier = nn.Sequential(
        nn.Linear(8 * 16, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, 12), nn.ReLU(True), nn.Dropout(),
        nn.Linear(12, CLASSES),
    )  # fmt: skip
    return network


def squeezenet_1_1():
    network = tv.SqueezeNet("1_1", CLASSES)
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    network.features = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(True), pool(), squeezenet.Fire(8, 2, 8, 8), squeezenet.Fire(16, 2, 8, 8),
        pool(), squeezenet.Fire(16, 4, 12, 12), squeezenet.Fire(24, 4, 12, 12),
    )  # fmt: skip
    network.classifier[1] = nn.Conv2d(24, CLASSES, 1)
    return network


def googlenet_reduced():
    network = tv.GoogLeNet(CLASSES, aux_logits=False, transform_input=True, init_weights=False)
    block, conv = Inception, BasicConv2d
    network.conv1, network.conv2 = conv(3, 4, kernel_size=7, stride=2, padding=3), conv(4, 4, kernel_size=1)
    network.conv3 = conv(4, 8, kernel_size=3, padding=1)
    network.inception3a = block(8, 4, 4, 6, 2, 4, 2)
    for name in "3b", "4a", "4b", "4c", "4d", "5a", "5b":
        setattr(network, f"inception{name}", nn.Identity())
    network.inception4e = block(16, 4, 4, 6, 2, 4, 4)
    network.fc = nn.Linear(18, CLASSES)
    return network


class InceptionV3(nn.Module):
    """One block of each kind of torchvision's; the last has asymmetric branches within branches."""

    def __init__(self):
        super().__init__()

        def narrow(divisor):
            return lambda cin, cout, **kw: inception.BasicConv2d(cin // divisor, cout // divisor, **kw)

        self.stem = inception.BasicConv2d(3, 4, kernel_size=3, stride=2)
        self.a = inception.InceptionA(4 * 32, 32, narrow(32))
        self.b = inception.InceptionB(8 * 32, narrow(32))
        self.c = inception.InceptionC(23 * 32, 64, narrow(32))
        self.d = inception.InceptionD(24 * 64, narrow(64))
        self.e = inception.InceptionE(32 * 64, narrow(64))
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = self.e(self.d(self.c(self.b(self.a(self.stem(x))))))
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, (1, 1))).flatten(1))


def mobilenet_v2():
    settings = [[1, 8, 1, 1], [3, 8, 2, 2], [3, 8, 1, 2]]
    network = tv.MobileNetV2(CLASSES, 0.25, settings)
    network.features[-1] = tv.mobilenetv2.Conv2dNormActivation(8, 24, kernel_size=1, activation_layer=nn.ReLU6)
    network.classifier[1] = nn.Linear(24, CLASSES)
    return network


def mobilenet_v3():
    block = mobilenetv3.InvertedResidualConfig
    settings = [
        block(8, 3, 8, 8, True, "RE", 2, 1, 1.0),
        block(8, 3, 16, 8, False, "RE", 1, 1, 1.0),
        block(8, 5, 16, 8, True, "HS", 2, 1, 1.0),
    ]
    network = tv.MobileNetV3(settings, 16, CLASSES)
    network.classifier[0] = nn.Linear(48, 16)
    return network


def efficientnet_b():
    block = efficientnet.MBConvConfig
    settings = [block(1, 3, 1, 8, 8, 1), block(3, 3, 2, 8, 8, 2), block(3, 5, 2, 8, 8, 1)]
    return tv.EfficientNet(settings, 0.2, num_classes=CLASSES, last_channel=16)


def efficientnet_v2():
    fused, block = efficientnet.FusedMBConvConfig, efficientnet.MBConvConfig
    settings = [fused(1, 3, 1, 8, 8, 1), fused(2, 3, 2, 8, 8, 1), block(3, 3, 2, 8, 8, 1)]
    norm = lambda channels: nn.BatchNorm2d(channels, eps=1e-3)
    return tv.EfficientNet(settings, 0.2, num_classes=CLASSES, last_channel=16, norm_layer=norm)


def shufflenet():
    return tv.ShuffleNetV2([2, 1, 1], [8, 8, 12, 16, 16], CLASSES)


def regnet_y():
    params = regnet.BlockParams([1, 2], [8, 12], [4, 4], [1.0, 1.0], [2, 2], 0.25)
    return tv.RegNet(params, CLASSES, stem_width=8)


def convnext_reduced():
    settings = [convnext.CNBlockConfig(6, 8, 1), convnext.CNBlockConfig(8, None, 2)]
    return tv.ConvNeXt(settings, num_classes=CLASSES)


def mnasnet_reduced():
    network = tv.MNASNet(0.1, CLASSES)
    layers = network.layers
    ends = nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(True)
    blocks = mnasnet._stack(8, 8, 3, 2, 3, 2, 0.1), mnasnet._stack(8, 8, 5, 2, 3, 1, 0.1)
    width = layers[0].out_channels
    assert width == 8, width
    network.layers = nn.Sequential(*layers[:8], *blocks, *ends)
    network.classifier[1] = nn.Linear(24, CLASSES)
    return network


def vit():
    return tv.VisionTransformer(16, 4, 1, 2, 12, 24, num_classes=CLASSES)


def vit_timm():
    """Global average pooling, layer scale, normalised queries and keys, register tokens."""
    return timm.models.VisionTransformer(
        16, 4, num_classes=CLASSES, global_pool="avg", embed_dim=12, depth=1, num_heads=2, mlp_ratio=2,
        init_values=1e-5, qk_norm=True, reg_tokens=2,
    )  # fmt: skip


def deit():
    return VisionTransformerDistilled(
        img_size=16, patch_size=4, num_classes=CLASSES, embed_dim=12, depth=1, num_heads=2, mlp_ratio=2
    )


def swin():
    return tv.SwinTransformer([2, 2], 4, [2, 1], [1, 2], [4, 4], 2.0, num_classes=CLASSES)


def swin_v2():
    network = tv.SwinTransformer(
        [2, 2], 4, [2, 1], [1, 2], [4, 4], 2.0, num_classes=CLASSES,
        block=swin_transformer.SwinTransformerBlockV2, downsample_layer=swin_transformer.PatchMergingV2,
    )  # fmt: skip
    for module in network.modules():
        if hasattr(module, "cpb_mlp"):
            heads = module.cpb_mlp[2].out_features
            module.cpb_mlp = nn.Sequential(nn.Linear(2, 16), nn.ReLU(True), nn.Linear(16, heads, bias=False))
    return network


def swin_timm():
    return TimmSwin(
        16, 2, num_classes=CLASSES, embed_dim=4, depths=(2, 1), num_heads=(1, 2), window_size=4, mlp_ratio=2
    )


def mixer():
    return MlpMixer(CLASSES, 16, patch_size=4, num_blocks=2, embed_dim=12, mlp_ratio=(0.5, 2.0))


# --- Networks without a well-known name ---------------------------------------------------------


def mlp():
    return nn.Sequential(
        nn.Linear(24, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 16), nn.Tanh(),
        nn.Linear(16, CLASSES),
    )  # fmt: skip


class Conv1d(nn.Module):
    """A dilated residual network for signals, after a strided stem."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(2, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2))
        self.dilated = nn.ModuleList(nn.Conv1d(8, 8, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.pool = nn.AvgPool1d(3, 2, 1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for conv in self.dilated:
            x = x + F.leaky_relu(conv(x), 0.1)
        x = self.pool(x)
        return self.head(torch.cat([x.mean(2), x.amax(2)], 1))


def conv3d():
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(4, 8, (1, 3, 3), (1, 2, 2), bias=False), nn.BatchNorm3d(8), nn.SiLU(), nn.AvgPool3d((2, 1, 1)),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, CLASSES),
    )  # fmt: skip


class Norms(nn.Module):
    """Normalisations other than of the batch, up- and downsampling, paddings."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.group = nn.GroupNorm(2, 8)
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect", groups=2)
        self.lrn = nn.LocalResponseNorm(5, 1e-2, 0.75, 2.0)
        self.up = nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2)
        self.layer = nn.LayerNorm(6)
        self.conv3 = nn.Conv2d(6, 8, 3, 2, dilation=2)
        self.shuffle = nn.PixelShuffle(2)
        self.head = nn.Linear(2, CLASSES)

    def forward(self, x):
        x = F.relu(self.group(self.conv1(x)))
        x = self.lrn(self.conv2(self.instance(x)))
        x = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.up(F.pad(x, (1, 1, 0, 2), mode="replicate"))
        x = self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.shuffle(self.conv3(x))
        return self.head(F.normalize(x.flatten(2).std(2) + x.amax((2, 3)), dim=1))


class Activations(nn.Module):
    """Every activation in use, one after another, each with its own small convolution."""

    def __init__(self):
        super().__init__()
        self.kinds = nn.ModuleList(
            [
                nn.LeakyReLU(0.2), nn.PReLU(6), nn.PReLU(), nn.ELU(0.7), nn.SELU(), nn.CELU(0.8), nn.Softplus(),
                nn.Mish(), nn.Hardsigmoid(), nn.Hardswish(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Softsign(),
                nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.8), nn.LogSigmoid(), nn.GLU(1),
            ]
        )  # fmt: skip
        self.convs = nn.ModuleList(
            nn.Conv2d(3 if i == 0 else 6, 12 if isinstance(kind, nn.GLU) else 6, 1)
            for i, kind in enumerate(self.kinds)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in self.kinds)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = F.avg_pool2d(x, 2)
        for conv, kind, norm in zip(self.convs, self.kinds, self.norms):
            y = norm(kind(conv(x)))
            x = y if y.shape != x.shape else 0.5 * x + y
        return self.head(x.mean((2, 3)))


class Arithmetic(nn.Module):
    """Slices, gathers, powers, logarithms, roots, `where`, expansion, reductions, einsum."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.empty(4, 3, 1, 1))
        self.base = nn.Parameter(torch.empty(1, 4, 1, 1))
        self.table = nn.Parameter(torch.empty(4, 8))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        even, odd = x[:, :, ::2, 1::2], x[:, [2, 0, 1]][:, :, 1::2, 2:-1:2]
        even = torch.where(even[..., :-1] > odd, even[..., :-1] * 1.5, odd - 0.1)
        x = torch.einsum("oc,nchw->nohw", self.mix[:, :, 0, 0], even)
        x = torch.log(1.5 + x.square()) + self.base.expand(1, 4, 16, 15) / (1.2 + x.pow(2).sqrt())
        x = torch.minimum(torch.maximum(x, -self.base), x.abs() + torch.exp(-x.clamp(min=-1.0)))
        first, second = x.split([1, 3], 1)
        x = torch.cat([first - second.mean(1, keepdim=True), second * torch.cos(first)], 1)
        x = x.sub(x.mean((2, 3), keepdim=True)).flatten(2)
        pooled = [x.logsumexp(2), x.amin(2), x.var(2, unbiased=False).reciprocal().neg()]
        y = torch.stack(pooled, 1).reshape(x.shape[0], -1)
        return self.head(y)


class Bytes(nn.Module):
    """Takes `uint8 [N, H, W, C]` and contains the normalisation."""

    def __init__(self, pool=4):
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET[0]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET[1]).reshape(1, 3, 1, 1))
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1),
            nn.ReLU(), nn.AvgPool2d(pool), nn.Flatten(), nn.Linear(48, CLASSES),
        )  # fmt: skip

    def forward(self, x):
        x = x.to(self.mean.dtype).permute(0, 3, 1, 2) / 255
        return self.network((x - self.mean) / self.std)


class Pixels(Bytes):
    """Takes `float [N, C, H, W]` in [0, 1] resizes and normalises."""

    def forward(self, x):
        x = F.interpolate(x, size=(24, 24), mode="bilinear", align_corners=False)
        return self.network((x - self.mean) / self.std)


class ThreeOutputs(nn.Module):
    """Features, logits and probabilities, in this order."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        )  # fmt: skip
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        features = self.features(x).flatten(1)
        logits = self.head(features)
        return features, logits, logits.softmax(1)


# --- Networks of Keras ------------------------------------------------------------------------------


def keras_mobilenet(keras):
    """Pixels of 0 to 255, padding by hand and "same", depthwise, squeeze and excitation."""
    L = keras.layers
    image = keras.Input((32, 32, 3), name="image")
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(L.Rescaling(1 / 127.5, -1)(image))
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(8, 3, 2, use_bias=False)(x)))
    x = L.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(x)
    x = L.Activation("swish")(L.BatchNormalization()(x))
    x = L.MaxPooling2D(2)(L.Conv2D(8, 3, padding="same", dilation_rate=2)(x))
    s = L.Conv2D(4, 1, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.Multiply()([x, L.Conv2D(8, 1, activation="hard_sigmoid")(s)])
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    return keras.Model(image, L.Dense(CLASSES, name="predictions")(x))


def keras_resnet(keras):
    """Strided "same" convolutions, which pad unevenly, and normalisation after every sum."""
    L = keras.layers
    image = keras.Input((32, 32, 3), name="image")
    x = L.Rescaling([4.37, 4.46, 4.44], [-2.12, -2.04, -1.8])(image)
    x = L.MaxPooling2D(3, 2, padding="same")(L.LeakyReLU(0.1)(L.Conv2D(6, 7, 2, padding="same")(x)))
    for width in (6, 8):
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(width, 3, 2, padding="same")(x)))
        y = L.BatchNormalization()(L.Conv2D(width, 3, padding="same")(y))
        x = L.ELU()(L.Add()([y, L.AveragePooling2D(2, padding="same")(L.Conv2D(width, 1)(x))]))
        x = L.BatchNormalization()(L.Concatenate()([x, L.PReLU(shared_axes=[1, 2])(x)]))
    x = L.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(image, L.Dense(CLASSES)(L.GlobalMaxPooling2D()(x)))


def keras_cnn(keras):
    """The network of most tutorials: Flatten of a map that lies as NHWC."""
    L = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"), L.Conv2D(4, 5, activation="relu"), L.MaxPooling2D(),
            L.Conv2D(6, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(8, activation="tanh"),
            L.Dropout(0.5), L.Dense(CLASSES),
        ]
    )  # fmt: skip


def keras_vit(keras):
    """Patches by a strided convolution, attention by einsum; tf2onnx cannot convert the exact GELU."""
    gelu = lambda x: keras.activations.gelu(x, approximate=True)
    L = keras.layers

    class Positions(L.Layer):
        def build(self, shape):
            self.embedding = self.add_weight(shape=shape[1:], initializer="normal")

        def call(self, x):
            return x + self.embedding

    image = keras.Input((16, 16, 3), name="image")
    x = L.Reshape((16, 12))(L.Conv2D(12, 4, 4)(image))
    x = Positions()(x)
    y = L.LayerNormalization(epsilon=1e-6)(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 6)(y, y)])
    y = L.Dense(24, activation=gelu)(L.LayerNormalization(epsilon=1e-6)(x))
    x = L.Add()([x, L.Dense(12)(y)])
    return keras.Model(image, L.Dense(CLASSES)(L.GlobalAveragePooling1D()(L.LayerNormalization()(x))))


class Keras(nn.Module):
    """A network of Keras that PyTorch can call and differentiate, in f32 and f64."""

    def __init__(self, make):
        super().__init__()
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import keras

        self.keras, self.make = keras, make
        # Otherwise names would depend on the networks before this one.
        keras.utils.clear_session()
        keras.utils.set_random_seed(len(make.__name__))
        self.model = make(keras)

    def __deepcopy__(self, memo):
        return copy.copy(self)

    def double(self):
        policy = self.keras.config.dtype_policy()
        self.keras.config.set_dtype_policy("float64")
        model = self.make(self.keras)
        self.keras.config.set_dtype_policy(policy)
        model.set_weights(self.model.get_weights())
        self.model = model
        return self

    def forward(self, x):
        return ThroughTensorFlow.apply(x, self.model)

    def settle(self, spec, seed):
        """What `built` does to modules of PyTorch."""
        rng = np.random.default_rng(seed)
        norms = [l for l in self.model.layers if isinstance(l, self.keras.layers.BatchNormalization)]
        noise = torch.from_numpy(rng.integers(0, 256, (64, *dimensions(spec.shape)), dtype=np.uint8))
        for norm in norms:
            norm.momentum = 0.0
        self.model(as_input(spec, noise).float().numpy(), training=True)
        for norm in norms:
            gamma, beta, mean, variance = norm.get_weights()
            gamma, beta = rng.uniform(0.5, 1.5, gamma.shape), rng.uniform(-0.4, 0.4, beta.shape)
            mean = mean + np.sqrt(variance) * rng.uniform(-0.3, 0.3, mean.shape)
            norm.set_weights([gamma, beta, mean, variance * rng.uniform(0.6, 1.6, mean.shape)])
        logits = self(as_input(spec, images(spec.shape)).float())
        head, spread = self.model.layers[-1], logits.std(0).mean().item()
        kernel, bias = head.get_weights()
        offset = (logits.mean(0).numpy() - bias) / spread
        head.set_weights([kernel / spread, rng.uniform(-0.5, 0.5, bias.shape) - 0.95 * offset])
        return self


class ThroughTensorFlow(torch.autograd.Function):
    @staticmethod
    def forward(context, x, model):
        context.x, context.model = x.detach().numpy(), model
        return torch.from_numpy(model(context.x, training=False).numpy().copy())

    @staticmethod
    def backward(context, seed):
        import tensorflow as tf

        x = tf.convert_to_tensor(context.x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = context.model(x, training=False)
        gradient = tape.gradient(logits, x, output_gradients=tf.convert_to_tensor(seed.numpy()))
        return torch.from_numpy(gradient.numpy().copy()), None


def exported_by_tf2onnx(file, network):
    import tensorflow as tf
    import tf2onnx

    last = {"logits": lambda z: z, "softmax": tf.nn.softmax}[file.ends]
    shape = [None if file.dynamic_batch else 1, *network.model.input_shape[1:]]
    function = tf.function(lambda image: last(network.model(image, training=False)))
    signature = [tf.TensorSpec(shape, tf.float32, "image")]
    model = tf2onnx.convert.from_function(function, signature, opset=file.opset, **file.options)[0]
    return without_counters(model)


def without_counters(model):
    """Weights by their first use, where tf2onnx names and orders them by addresses and counters."""
    for value in [*model.graph.input, *model.graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = "unk__0"
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    used = dict.fromkeys(name for node in model.graph.node for name in node.input if name in weights)
    short = {name: f"weight_{i}" for i, name in enumerate(used)}
    for node in model.graph.node:
        node.input[:] = [short.get(name, name) for name in node.input]
    ordered = [weights[name] for name in used]
    for tensor in ordered:
        tensor.name = short[tensor.name]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in ordered]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)
    return model


# --- All of them ------------------------------------------------------------------------------------


@dataclass
class Network:
    """`shape` is of one image; x = (pixel - mean) / std, mean and std along the channels."""

    family: str
    make: Callable[[], nn.Module]
    norm: tuple = IMAGENET
    shape: str = "3x32x32"
    layout: str = "NCHW"
    dtype: str = "f32"
    output: int = 0
    weights: torch.dtype = torch.float32


NETWORKS = {
    "resnet": Network("ResNet", resnet),
    "resnext": Network("ResNeXt", resnext),
    "wide_resnet": Network("Wide ResNet", wide_resnet),
    "wide_resnet_paper": Network("Wide ResNet", lambda: cifar.WideResNet(layers=1, widen=2, base=1), PAPER),
    "densenet": Network("DenseNet", densenet),
    "densenet_paper": Network("DenseNet", lambda: cifar.DenseNet(layers=2, growth=2), PAPER),
    "vgg": Network("VGG", vgg_plain),
    "squeezenet": Network("SqueezeNet", squeezenet_1_1),
    "googlenet": Network("Inception", googlenet_reduced),
    "inception_v3": Network("Inception", InceptionV3, HALF),
    "mobilenet_v2": Network("MobileNet V2", mobilenet_v2),
    "mobilenet_v3": Network("MobileNet V3", mobilenet_v3),
    "efficientnet": Network("EfficientNet", efficientnet_b),
    "efficientnet_v2": Network("EfficientNet", efficientnet_v2, HALF),
    "shufflenet": Network("ShuffleNet", shufflenet),
    "regnet": Network("RegNet", regnet_y),
    "convnext": Network("ConvNeXt", convnext_reduced),
    "mnasnet": Network("MNASNet", mnasnet_reduced),
    "vit": Network("ViT", vit, shape="3x16x16"),
    "vit_timm": Network("ViT", vit_timm, HALF, "3x16x16"),
    "deit": Network("DeiT", deit, shape="3x16x16"),
    "swin": Network("Swin", swin, shape="3x16x16"),
    "swin_v2": Network("Swin", swin_v2, shape="3x16x16"),
    "swin_timm": Network("Swin", swin_timm, shape="3x16x16"),
    "mixer": Network("MLP-Mixer", mixer, HALF, "3x16x16"),
    "mlp": Network("MLP", mlp, GREY, "24", "NF"),
    "conv1d": Network("1-D convolution", Conv1d, ([0.5, 0.4], [0.25, 0.3]), "2x96", "NCL"),
    "conv3d": Network("3-D convolution", conv3d, GREY, "1x6x12x12", "NCDHW"),
    "norms": Network("operators", Norms, HALF),
    "activations": Network("operators", Activations, HALF),
    "arithmetic": Network("operators", Arithmetic, HALF),
    "bytes": Network("preprocessing", Bytes, BYTES, layout="NHWC", dtype="u8"),
    "pixels": Network("preprocessing", lambda: Pixels(pool=3), PIXELS),
    "three_outputs": Network("several outputs", ThreeOutputs, output=1),
    "keras_mobilenet": Network("Keras", lambda: Keras(keras_mobilenet), BYTES, layout="NHWC"),
    "keras_resnet": Network("Keras", lambda: Keras(keras_resnet), PIXELS, layout="NHWC"),
    "keras_cnn": Network("Keras", lambda: Keras(keras_cnn), PIXELS, "1x28x28", "NHWC"),
    "keras_vit": Network("Keras", lambda: Keras(keras_vit), HALF, "3x16x16", layout="NHWC"),
    "resnet_f16": Network("ResNet", resnet, weights=torch.float16),
    "pixels_f16": Network("preprocessing", lambda: Pixels(pool=3), PIXELS, weights=torch.float16),
}


# --- Weights --------------------------------------------------------------------------------------

NORMS = nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d
LINEAR = nn.modules.conv._ConvNd, nn.Linear


def drawn(name):
    """The first network drawn whose golden answers rounding cannot change, and these."""
    for attempt in range(50):
        # Networks that only differ in the type of their weights share a seed.
        network = built(NETWORKS[name], zlib.crc32(name.removesuffix("_f16").encode()) + attempt)
        values, tensors = golden(NETWORKS[name], network)
        top = torch.tensor(values["logits"]).topk(2, 1).values
        if (top[:, 0] - top[:, 1]).min() > 2e-3 and min(values["gradient_max"]) > 1e-6:
            return network, values, tensors
    raise RuntimeError(f"{name}: no attempt gives logits far apart and a gradient")


def built(spec, seed):
    """The network in evaluation mode, with weights that all matter."""
    torch.manual_seed(seed)
    network = spec.make().eval()
    if isinstance(network, Keras):
        return network.settle(spec, seed)
    noise = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.rand(like.shape, generator=noise) * (high - low) + low

    with torch.no_grad():
        for module in network.modules():
            for kind, parameter in module.named_parameters(recurse=False):
                parameter.copy_(initial(module, kind, parameter, uniform))
        settle_statistics(network, spec, noise, uniform)
        spread_logits(network, spec)
        if spec.weights != torch.float32:
            for tensor in network.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(tensor.to(spec.weights).float())
    return network


def initial(module, kind, parameter, uniform):
    if isinstance(module, NORMS):
        return uniform(parameter, 0.5, 1.5) if kind == "weight" else uniform(parameter, -0.4, 0.4)
    if isinstance(module, nn.PReLU):
        return uniform(parameter, 0.05, 0.5)
    if kind in ("gamma", "layer_scale"):
        return uniform(parameter, 0.4, 1.2)
    if kind == "logit_scale":
        return uniform(parameter, 1.0, 2.0)
    if kind.endswith("weight") and parameter.dim() > 1:
        spread = (1.4 if isinstance(module, LINEAR) else 1.0) * (3 / parameter[0].numel()) ** 0.5
        return uniform(parameter, -spread, spread)
    return uniform(parameter, -0.5, 0.5)


def settle_statistics(network, spec, noise, uniform):
    """Batch normalisation learns the statistics of noise, which are then disturbed."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    shape = [64, *dimensions(spec.shape)]
    network(as_input(spec, torch.randint(0, 256, shape, generator=noise, dtype=torch.uint8)).float())
    for norm in norms:
        norm.eval()
        norm.momentum = 0.1
        norm.running_mean += norm.running_var.sqrt() * uniform(norm.running_mean, -0.3, 0.3)
        norm.running_var *= uniform(norm.running_var, 0.6, 1.6)


def spread_logits(network, spec):
    """Scales and centres the last layers so that the images' logits differ by about one."""
    heads = [m for m in network.modules() if isinstance(m, LINEAR) and m.weight.shape[0] == CLASSES]
    x = as_input(spec, images(spec.shape)).float()
    spread = logits_of(spec, network(x)).std(0).mean()
    for head in heads:
        head.weight /= spread
    offset = logits_of(spec, network(x)).mean(0)
    for head in heads:
        if isinstance(head, nn.Linear):
            head.bias -= 0.95 * offset


# --- Inputs and what the tests expect ---------------------------------------------------------------


def dimensions(shape):
    return [int(d) for d in shape.split("x")]


def images(shape):
    """Four images: coarse patterns of different brightness and contrast under fine noise."""
    dims = dimensions(shape)
    rng = np.random.default_rng(zlib.crc32(shape.encode()))
    coarse = rng.random((IMAGES, dims[0], *[-(-d // 6) for d in dims[1:]]))
    for axis, size in enumerate(dims[1:], 2):
        coarse = np.repeat(coarse, 6, axis).take(range(size), axis)
    fine = rng.random((IMAGES, *dims))
    column = [IMAGES] + [1] * len(dims)
    contrast = np.array([0.9, 0.5, 0.7, 0.3]).reshape(column)
    brightness = np.array([0.5, 0.3, 0.6, 0.7]).reshape(column)
    mixed = np.array([0.7, 0.4, 0.5, 0.9]).reshape(column)
    pixels = brightness + contrast * (mixed * coarse + (1 - mixed) * fine - 0.5)
    return torch.from_numpy(np.round(pixels.clip(0, 1) * 255).astype(np.uint8))


def along_channels(spec, values):
    """Per-channel values in the shape that broadcasts to the network's input."""
    values = torch.tensor(values, dtype=torch.float64)
    rank = len(dimensions(spec.shape)) + 1
    return values.reshape([1] * (rank - 1) + [-1] if spec.layout[-1] == "C" else [1, -1] + [1] * (rank - 2))


def as_input(spec, pixels):
    """The normalised input in f64."""
    x = pixels.double() / 255
    if spec.layout[-1] == "C":
        x = x.movedim(1, -1)
    return (x - along_channels(spec, spec.norm[0])) / along_channels(spec, spec.norm[1])


def logits_of(spec, outputs):
    return outputs[spec.output] if isinstance(outputs, tuple) else outputs


def packed(bits):
    """One row of bytes per image, the first component in the lowest bit."""
    return np.packbits(bits.reshape(len(bits), -1), axis=1, bitorder="little")


def expectation(spec, x, logits_and_gradient):
    """`logits_and_gradient(x, seed)` gives logits and, for a seed made from them, the gradient."""
    epsilon = MAGNITUDE / along_channels(spec, spec.norm[1])
    logits, gradient = logits_and_gradient(x, odin_seed)
    perturbed, _ = logits_and_gradient(x - epsilon * torch.where(gradient >= 0, 1.0, -1.0), odin_seed)
    size = gradient.abs().flatten(1)
    significant = size >= SIGNIFICANT * size.amax(1, keepdim=True)
    bits = {"sign": gradient >= 0, "significant": significant}
    golden = {
        "prediction": logits.argmax(1).tolist(),
        "msp": digits(logits.softmax(1).amax(1)),
        "odin": digits((perturbed / TEMPERATURE).softmax(1).amax(1)),
        "gradient_l1": digits(size.sum(1)),
        "gradient_max": digits(size.amax(1)),
        "logits": [digits(row) for row in logits],
    }
    return golden, {kind: packed(b[:WITH_GRADIENT].numpy()) for kind, b in bits.items()}


def digits(values):
    """As many as matter."""
    return [float(f"{value:.13g}") for value in values.tolist()]


def odin_seed(logits):
    """The gradient of -log S_y(z; T) by z, times T."""
    return (logits / TEMPERATURE).softmax(1) - F.one_hot(logits.argmax(1), logits.shape[1])


def of_module(spec, network):
    def logits_and_gradient(x, seed):
        x = x.clone().requires_grad_()
        logits = logits_of(spec, network(x))
        (gradient,) = torch.autograd.grad(logits, x, seed(logits.detach()))
        return logits.detach(), gradient

    return logits_and_gradient


# --- Files ------------------------------------------------------------------------------------------


@dataclass
class File:
    """How a network becomes a file. `ends`: a module put after the logits."""

    network: str
    exporter: str
    opset: int
    ends: str = "logits"
    dynamic_batch: bool = True
    suffix: str = ""
    options: dict = field(default_factory=dict)
    after: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None
    external: bool = False

    def name(self):
        return f"{self.network}.{self.exporter}{self.opset}{self.suffix}.onnx"


ENDS = {"logits": nn.Identity, "softmax": lambda: nn.Softmax(1), "log_softmax": lambda: nn.LogSoftmax(1)}


def exported(file, network, x):
    """The model as the exporter wrote it."""
    if file.exporter == "tf2onnx":
        return exported_by_tf2onnx(file, network)
    network = copy.deepcopy(network)
    if file.ends != "logits":
        network = nn.Sequential(network, ENDS[file.ends]())
    if NETWORKS[file.network].weights == torch.float16 and file.after is None:
        network, x = network.half(), x.half()
    outputs = network(x)
    names = ["features", "logits", "probabilities"] if isinstance(outputs, tuple) else ["output"]
    x = x if file.dynamic_batch else x[:1]
    common = {"input_names": ["input"], "output_names": names, "opset_version": file.opset} | file.options
    out = io.BytesIO()
    if file.exporter == "torchscript":
        axes = {name: {0: "batch"} for name in ["input", *names]} if file.dynamic_batch else None
        torch.onnx.export(network, (x,), out, dynamo=False, dynamic_axes=axes, **common)
        return onnx.load_from_string(out.getvalue())
    shapes = ({0: torch.export.Dim("batch")},) if file.dynamic_batch else None
    program = torch.onnx.export(network, (x,), dynamo=True, dynamic_shapes=shapes, verbose=False, **common)
    return program.model_proto


def without_remarks(model):
    """Takes off what has no meaning and much weight: source lines, inferred shapes."""
    graph = model.graph
    for item in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    graph.ClearField("value_info")
    return model


def with_short_names(model):
    """Intermediate values and nodes by operator and number: paths of modules would be half a file."""
    graph = model.graph
    kept = {v.name for v in [*graph.input, *graph.output, *graph.initializer]}
    if any(a.HasField("g") for node in graph.node for a in node.attribute):
        return model
    short = {name: name for name in kept}
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        node.input[:] = [short.get(name, name) for name in node.input]
        for j, name in enumerate(node.output):
            short.setdefault(name, name and f"{node.op_type.lower()}_{i}" + f"_{j}" * (j > 0))
        node.output[:] = [short[name] for name in node.output]
    return model


def halved_weights(model):
    """float16 initialisers, each followed by a Cast to float32: the common way to halve a file."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 0:
            name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name + "_f16"))
            casts.append(onnx.helper.make_node("Cast", [name + "_f16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


UNFOLDED = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
AS_INPUTS = UNFOLDED | {"keep_initializers_as_inputs": True}
SCRIPT, DYNAMO, KERAS = "torchscript", "dynamo", "tf2onnx"
CHOSEN = [
    File("resnet", SCRIPT, 9),
    File("resnet", DYNAMO, NEWEST_OPSET),
    File("resnext", SCRIPT, 13),
    File("wide_resnet_paper", DYNAMO, 18),
    File("densenet", SCRIPT, 9),
    File("densenet_paper", SCRIPT, 17),
    File("vgg", SCRIPT, 9),
    File("squeezenet", SCRIPT, 11),
    File("googlenet", SCRIPT, 9),
    File("inception_v3", SCRIPT, 13),
    File("mobilenet_v2", SCRIPT, 9),
    File("mobilenet_v2", DYNAMO, 18),
    File("mobilenet_v3", SCRIPT, 11),
    File("efficientnet", SCRIPT, 13),
    File("efficientnet_v2", DYNAMO, NEWEST_OPSET),
    File("shufflenet", SCRIPT, 9),
    File("shufflenet", DYNAMO, 18),
    File("regnet", SCRIPT, 17),
    File("convnext", SCRIPT, 13),
    File("convnext", DYNAMO, 18),
    File("mnasnet", SCRIPT, 11),
    File("vit", SCRIPT, 17),
    File("vit", DYNAMO, NEWEST_OPSET),
    File("vit_timm", DYNAMO, 18),
    File("deit", SCRIPT, 14),
    File("swin", DYNAMO, 18),
    File("swin_timm", SCRIPT, 17),
    File("swin_v2", DYNAMO, NEWEST_OPSET),
    File("mixer", SCRIPT, 13, dynamic_batch=False, suffix=".fixed_batch"),
    File("mlp", SCRIPT, 9),
    File("mlp", DYNAMO, 18, suffix=".external", external=True),
    File("conv1d", SCRIPT, 11),
    File("conv1d", SCRIPT, 9, suffix=".as_inputs", options=AS_INPUTS),
    File("conv3d", SCRIPT, 13, "softmax", suffix=".softmax", options=UNFOLDED),
    File("conv3d", DYNAMO, 18, "log_softmax", suffix=".log_softmax"),
    File("norms", SCRIPT, 11),
    File("norms", DYNAMO, 18),
    File("activations", SCRIPT, 12),
    File("activations", DYNAMO, NEWEST_OPSET),
    File("arithmetic", SCRIPT, 13),
    File("arithmetic", DYNAMO, 18),
    File("bytes", SCRIPT, 13),
    File("bytes", DYNAMO, 18),
    File("pixels", SCRIPT, 11),
    File("three_outputs", SCRIPT, 17),
    File("keras_mobilenet", KERAS, 9, "softmax", suffix=".softmax"),
    File("keras_resnet", KERAS, 13),
    File("keras_cnn", KERAS, 15, "softmax", suffix=".softmax"),
    File("keras_vit", KERAS, 18),
    File("resnet_f16", DYNAMO, 18),
    File("pixels_f16", SCRIPT, 11, suffix=".cast", options=UNFOLDED, after=halved_weights),
]


def write(file, network, folder, remarks=False):
    """Writes the file, once it gives what PyTorch gives, and returns its line of the index."""
    spec = NETWORKS[file.network]
    x = as_input(spec, images(spec.shape)).float()
    x = x.round().to(torch.uint8) if spec.dtype == "u8" else x
    model = exported(file, network, x)
    if file.after:
        model = file.after(model)
    if not remarks:
        model = with_short_names(without_remarks(model))
    path = folder / file.name()
    onnx.checker.check_model(model, full_check=True)
    size = model.ByteSize()
    if file.external:
        data = path.name + ".data"
        onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=64)
        size = path.stat().st_size + (folder / data).stat().st_size
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))
    difference = compare_with_runtime(file, spec, network, path, x)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    assert opset == file.opset, (opset, file)
    print(f"{path.name:45} {size:8} {difference:.1e}", flush=True)
    return {
        "file": path.name,
        "network": file.network,
        "exporter": file.exporter,
        "opset": opset,
        "dynamic_batch": file.dynamic_batch,
        "ends_in": file.ends,
        "input": model.graph.input[0].name,
        "output": model.graph.output[spec.output].name,
        "bytes": size,
    }


def compare_with_runtime(file, spec, network, path, x):
    """The largest difference of ONNX Runtime in f32 from PyTorch in f32."""
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = x.half() if given.type == "tensor(float16)" else x
    batches = [x] if file.dynamic_batch else x.split(1)
    out = [session.run(None, {given.name: b.numpy()})[spec.output] for b in batches]
    actual = torch.from_numpy(np.concatenate(out)).double()
    with torch.no_grad():
        expected = ENDS[file.ends]()(logits_of(spec, network(x.float() if spec.dtype == "f32" else x)))
    difference = (actual - expected.double()).abs().max().item()
    allowed = 2e-2 if given.type == "tensor(float16)" else 2e-4
    assert difference < allowed, f"{path.name}: ONNX Runtime differs by {difference}"
    return difference


def golden(spec, network):
    network = copy.deepcopy(network).double()
    return expectation(spec, as_input(spec, images(spec.shape)), of_module(spec, network))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="every network by every exporter and opset")
    parser.add_argument("--only", nargs="*", help="networks")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = every_combination() if arguments.full else CHOSEN
    wanted = [n for n in NETWORKS if n in (arguments.only or {f.network for f in files})]
    index = {"temperature": TEMPERATURE, "magnitude": MAGNITUDE, "networks": {}, "files": []}
    shapes, gradients = {}, {}
    for name in wanted:
        spec = NETWORKS[name]
        network, values, tensors = drawn(name)
        (mean, std) = spec.norm
        about = {"family": spec.family, "shape": spec.shape, "layout": spec.layout, "dtype": spec.dtype}
        index["networks"][name] = about | {"mean": mean, "std": std} | values
        shapes[spec.shape] = images(spec.shape).numpy()
        gradients |= {f"{name}.{kind}": bits for kind, bits in tensors.items()}
        for file in (f for f in files if f.network == name):
            try:
                index["files"].append(write(file, network, folder, remarks=arguments.full))
            except Exception as error:
                # Not every exporter can write every network.
                if not arguments.full:
                    raise
                print(f"{file.name()}: {type(error).__name__}: {str(error).splitlines()[0][:150]}")
    (folder / "images.safetensors").write_bytes(safetensors.numpy.save(shapes))
    (folder / "gradients.safetensors").write_bytes(safetensors.numpy.save(gradients))
    (folder / "index.json").write_text(in_lines(index) + "\n")
    total = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{len(index['files'])} models, {total} bytes in all")


def in_lines(index):
    """JSON with a line for each network and each file."""
    inner = lambda items: ",\n  ".join(items)
    networks = inner(f"{json.dumps(name)}: {json.dumps(about)}" for name, about in index["networks"].items())
    files = inner(json.dumps(file) for file in index["files"])
    head = json.dumps({k: v for k, v in index.items() if k not in ("networks", "files")})[1:-1]
    return f'{{\n {head},\n "networks": {{\n  {networks}\n }},\n "files": [\n  {files}\n ]\n}}'


def every_combination():
    of_torch = [("torchscript", o) for o in (9, 11, 13, 17)] + [("dynamo", o) for o in (18, NEWEST_OPSET)]
    of_keras = [("tf2onnx", o) for o in (9, 11, 13, 15, 18)]
    kinds = lambda name: of_keras if name.startswith("keras") else of_torch
    return [File(name, *kind) for name in NETWORKS for kind in kinds(name)]


if __name__ == "__main__":
    main()
