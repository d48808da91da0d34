"""Writes the checkpoints that the tests of odin-formats read, with the logits and scores that
PyTorch computes from them in f64.

    python scripts/checkpoint_fixtures.py crates/odin-formats/tests/fixtures

Needs torch, numpy and safetensors. The networks are tiny and untrained, their weights seeded;
their batch normalisation statistics are far from the initial ones, so that every tensor counts.
Containers that today's PyTorch no longer writes are written here by hand, and are loaded with
`torch.load` before they count as fixtures. Legacy containers name storages by address, so those
files differ from run to run in these names, and in nothing else.
"""

import gzip
import io
import json
import pickle
import struct
import sys
import tarfile
import tempfile
import types
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 7
TEMPERATURE, MAGNITUDE = 1000.0, 0.0014


# --- Networks -------------------------------------------------------------------------------


def conv(cin, cout, kernel, stride=1, bias=False, groups=1):
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=bias, groups=groups)


class DenseLayer(nn.Module):
    """BN-ReLU-[conv1x1-BN-ReLU-]conv3x3, laid beside its input."""

    def __init__(self, cin, growth, bottleneck, new_first=False):
        super().__init__()
        self.new_first = new_first
        mid = 4 * growth if bottleneck else growth
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = conv(cin, mid, 1 if bottleneck else 3)
        if bottleneck:
            self.bn2 = nn.BatchNorm2d(mid)
            self.conv2 = conv(mid, growth, 3)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        if hasattr(self, "conv2"):
            y = self.conv2(F.relu(self.bn2(y)))
        return torch.cat([y, x] if self.new_first else [x, y], 1)


class DenseBlock(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layer = nn.Sequential(*layers)

    def forward(self, x):
        return self.layer(x)


class Transition(nn.Module):
    def __init__(self, cin, cout, norm="bn1", convolution="conv1"):
        super().__init__()
        self.names = norm, convolution
        self.add_module(norm, nn.BatchNorm2d(cin))
        self.add_module(convolution, conv(cin, cout, 1))

    def forward(self, x):
        norm, convolution = (getattr(self, name) for name in self.names)
        return F.avg_pool2d(convolution(F.relu(norm(x))), 2)


class DenseNet(nn.Module):
    """As the paper's authors name it."""

    def __init__(self, layers=2, growth=2, reduction=0.5, bottleneck=True, channels=3):
        super().__init__()
        width = 2 * growth
        self.conv1 = conv(channels, width, 3)
        for b in (1, 2, 3):
            block = [DenseLayer(width + i * growth, growth, bottleneck) for i in range(layers)]
            self.add_module(f"block{b}", DenseBlock(block))
            width += layers * growth
            if b < 3:
                self.add_module(f"trans{b}", Transition(width, int(width * reduction)))
                width = int(width * reduction)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.trans1(self.block1(self.conv1(x)))
        x = self.block3(self.trans2(self.block2(x)))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class KuangliuDenseNet(nn.Module):
    """Four blocks, the new features in front."""

    def __init__(self, layers=1, growth=2):
        super().__init__()
        width = 2 * growth
        self.conv1 = conv(3, width, 3)
        for b in (1, 2, 3, 4):
            block = [DenseLayer(width + i * growth, growth, True, True) for i in range(layers)]
            self.add_module(f"dense{b}", nn.Sequential(*block))
            width += layers * growth
            if b < 4:
                self.add_module(f"trans{b}", Transition(width, width // 2, "bn", "conv"))
                width //= 2
        self.bn = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.trans1(self.dense1(self.conv1(x)))
        x = self.trans2(self.dense2(x))
        x = self.dense4(self.trans3(self.dense3(x)))
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


class TorchvisionDenseNet(nn.Module):
    """`features.denseblock1.denselayer1.norm1`, with the stem for large images or the small one."""

    def __init__(self, small, layers=2, growth=2, blocks=3):
        super().__init__()
        width = 2 * growth
        self.small, f = small, OrderedDict()
        f["conv0"] = conv(3, width, 3) if small else conv(3, width, 7, 2)
        if not small:
            f["norm0"] = nn.BatchNorm2d(width)
            f["relu0"] = nn.ReLU()
            f["pool0"] = nn.MaxPool2d(3, 2, 1)
        for b in range(1, blocks + 1):
            block = nn.Sequential()
            for i in range(layers):
                layer = nn.Sequential()
                layer.add_module("norm1", nn.BatchNorm2d(width + i * growth))
                layer.add_module("relu1", nn.ReLU())
                layer.add_module("conv1", conv(width + i * growth, 4 * growth, 1))
                layer.add_module("norm2", nn.BatchNorm2d(4 * growth))
                layer.add_module("relu2", nn.ReLU())
                layer.add_module("conv2", conv(4 * growth, growth, 3))
                block.add_module(f"denselayer{i + 1}", layer)
            f[f"denseblock{b}"] = block
            width += layers * growth
            if b < blocks:
                f[f"transition{b}"] = nn.Sequential(
                    OrderedDict(
                        norm=nn.BatchNorm2d(width),
                        relu=nn.ReLU(),
                        conv=conv(width, width // 2, 1),
                        pool=nn.AvgPool2d(2),
                    )
                )
                width //= 2
        f["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(f)
        self.classifier = nn.Linear(width, CLASSES)

    def forward(self, x):
        for name, part in self.features.named_children():
            if name.startswith("denseblock"):
                for layer in part:
                    x = torch.cat([x, layer(x)], 1)
            else:
                x = part(x)
        return self.classifier(F.relu(x).mean((2, 3)))


class WideBlock(nn.Module):
    """Pre-activation; a shortcut convolution takes the activated input."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = conv(cin, cout, 3, stride)
        self.bn2 = nn.BatchNorm2d(cout)
        self.conv2 = conv(cout, cout, 3)
        if cin != cout:
            self.convShortcut = nn.Conv2d(cin, cout, 1, stride, bias=False)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return y + (self.convShortcut(active) if hasattr(self, "convShortcut") else x)


class WideResNet(nn.Module):
    """As the paper's authors name it."""

    def __init__(self, layers=1, widen=2, base=1):
        super().__init__()
        self.conv1 = conv(3, base, 3)
        width = base
        for b, stride in ((1, 1), (2, 2), (3, 2)):
            out = base * widen * 2 ** (b - 1)
            block = [WideBlock(width, out, stride)]
            block += [WideBlock(out, out, 1) for _ in range(layers - 1)]
            self.add_module(f"block{b}", DenseBlock(block))
            width = out
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class RawShortcutBlock(nn.Module):
    """Pre-activation; biased convolutions, and the shortcut takes the raw input."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = conv(cin, cout, 3, bias=True)
        self.bn2 = nn.BatchNorm2d(cout)
        self.conv2 = conv(cout, cout, 3, stride, bias=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=True))

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        return self.conv2(F.relu(self.bn2(y))) + self.shortcut(x)


class LayerWideResNet(nn.Module):
    """A Wide ResNet named `layer1.0.conv1`."""

    def __init__(self, layers=2, widen=2, base=1):
        super().__init__()
        self.conv1 = conv(3, base, 3, bias=True)
        width = base
        for b, stride in ((1, 1), (2, 2), (3, 2)):
            out = base * widen * 2 ** (b - 1)
            block = [RawShortcutBlock(width, out, stride)]
            block += [RawShortcutBlock(out, out, 1) for _ in range(layers - 1)]
            self.add_module(f"layer{b}", nn.Sequential(*block))
            width = out
        self.bn1 = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(F.relu(self.bn1(x)).mean((2, 3)))


class ResBlock(nn.Module):
    """Basic or bottleneck; `shortcut` is the name of the projection, None for slice and pad."""

    def __init__(self, cin, planes, stride, shortcut, expansion=1, groups=1):
        super().__init__()
        cout = planes * expansion
        strides = (stride, 1) if expansion == 1 else (1, stride, 1)
        widths = (cin, planes, cout) if expansion == 1 else (cin, planes, planes, cout)
        kernels = (3, 3) if expansion == 1 else (1, 3, 1)
        self.depth, self.cout, self.stride = len(strides), cout, stride
        for i in range(self.depth):
            g = groups if expansion > 1 and i == 1 else 1
            c = conv(widths[i], widths[i + 1], kernels[i], strides[i], groups=g)
            self.add_module(f"conv{i + 1}", c)
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
        self.projection = None
        if shortcut and (stride != 1 or cin != cout):
            projection = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
            self.add_module(shortcut, projection)
            self.projection = shortcut

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = F.relu(y)
        if self.projection:
            x = getattr(self, self.projection)(x)
        elif x.shape != y.shape:
            x = x[:, :, :: self.stride, :: self.stride]
            extra = self.cout - x.shape[1]
            x = F.pad(x, (0, 0, 0, 0, extra // 2, extra - extra // 2))
        return F.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, shortcut, stages=(2, 2, 2), base=2, head="linear", large=False, expansion=1, groups=1):
        super().__init__()
        self.large, self.stages, self.head = large, len(stages), head
        self.conv1 = conv(3, base, 7, 2) if large else conv(3, base, 3)
        self.bn1 = nn.BatchNorm2d(base)
        width = base
        for s, count in enumerate(stages):
            planes = base * 2**s
            blocks = []
            for i in range(count):
                stride = 2 if i == 0 and s > 0 else 1
                blocks.append(ResBlock(width, planes, stride, shortcut, expansion, groups))
                width = planes * expansion
            self.add_module(f"layer{s + 1}", nn.Sequential(*blocks))
        self.add_module(head, nn.Linear(width, CLASSES))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


def seeded(network, seed):
    """The network in evaluation mode with weights that all matter."""
    g = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.rand(like.shape, generator=g) * (high - low) + low

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = uniform(module.weight, 0.5, 1.5)
            module.bias.data = uniform(module.bias, -0.4, 0.4)
            module.running_mean = uniform(module.running_mean, -0.4, 0.4)
            module.running_var = uniform(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(41)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            gain = 3 if isinstance(module, nn.Linear) else 1.4
            spread = gain * (3 / fan_in) ** 0.5
            module.weight.data = uniform(module.weight, -spread, spread)
            if module.bias is not None:
                module.bias.data = uniform(module.bias, -0.5, 0.5)
    return network.eval()


def rounded(network, dtype):
    """The network with its weights rounded to a shorter type and back."""
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(dtype).float())
    return network


# --- What the tests expect -------------------------------------------------------------------


def images():
    """Two images of multiples of 1/16, so that their text is short and exact."""
    noise = np.random.default_rng(20180430).normal(size=(2, 3, 16, 16))
    return torch.from_numpy(np.round(noise * 16) / 16)


def expectation(network, x):
    """Logits, MSP and ODIN (std 1, no normalisation) in f64."""
    network = network.double()
    x = x[:, : next(network.parameters()).shape[1]].clone().requires_grad_()
    logits = network(x)
    prediction = logits.argmax(1)
    F.cross_entropy(logits / TEMPERATURE, prediction, reduction="sum").backward()
    sign = torch.where(x.grad >= 0, 1.0, -1.0)
    with torch.no_grad():
        perturbed = network(x - MAGNITUDE * sign)
    network.float()
    return {
        "channels": x.shape[1],
        "logits": logits.tolist(),
        "prediction": prediction.tolist(),
        "msp": logits.softmax(1).amax(1).tolist(),
        "odin": (perturbed / TEMPERATURE).softmax(1).amax(1).tolist(),
    }


# --- Containers that PyTorch writes -----------------------------------------------------------


def zipped(obj):
    out = io.BytesIO()
    torch.save(obj, out)
    return out.getvalue()


def legacy(obj):
    out = io.BytesIO()
    torch.save(obj, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def gzipped_tar(name, content):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        folder = tarfile.TarInfo("checkpoints")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        add_file(archive, f"checkpoints/._{name}", b"resource fork")
        add_file(archive, f"checkpoints/{name}", content)
    return gzip.compress(tar.getvalue(), mtime=0)


def add_file(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


# --- Containers of 2016 and 2017, by hand -----------------------------------------------------


class Global:
    """Something that the pickle names and does not contain."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """An object made by a REDUCE (or NEWOBJ) and an optional BUILD."""

    def __init__(self, function, args, state=None, new=False):
        self.function, self.args, self.state, self.new = function, args, state, new


class Persistent:
    """Something that is stored outside of the pickle, under this id."""

    def __init__(self, pid):
        self.pid = pid


class Long(int):
    """A Python 2 long."""


class Pickler2(pickle._Pickler):
    """Writes what Python 2 wrote in protocol 2: byte strings, longs, and the objects above."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, out, module_id=None):
        super().__init__(out, 2)
        self.module_id, self.seen = module_id, set()

    def persistent_id(self, obj):
        if isinstance(obj, Persistent):
            return obj.pid
        if self.module_id and isinstance(obj, Global) and obj.module.startswith(("models", "torch.nn.modules")):
            if obj not in self.seen:
                self.seen.add(obj)
                return self.module_id(obj)
        return None

    def save_str(self, obj):
        raw = obj.encode("latin1")
        short = len(raw) < 256
        self.write(b"U" + bytes([len(raw)]) + raw if short else b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(obj)

    def save_long(self, obj):
        encoded = pickle.encode_long(int(obj))
        self.write(b"\x8a" + bytes([len(encoded)]) + encoded)

    def save_global_name(self, obj):
        self.write(f"c{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_call(self, obj):
        self.save(obj.function)
        self.save(obj.args)
        self.write(b"\x81" if obj.new else b"R")
        self.memoize(obj)
        if obj.state is not None:
            self.save(obj.state)
            self.write(b"b")

    dispatch[str] = save_str
    dispatch[Long] = save_long
    dispatch[Global] = save_global_name
    dispatch[Call] = save_call


def pickled2(obj, module_id=None):
    out = io.BytesIO()
    Pickler2(out, module_id).dump(obj)
    return out.getvalue()


GLOBALS = {}


def name_of(module, name):
    """One object per name, so that the pickler's memo sees it twice."""
    return GLOBALS.setdefault((module, name), Global(module, name))


def ordered_dict2(entries):
    """As Python 2 reduces it: the class applied to a list of lists."""
    entries = [[key, value] for key, value in entries]
    return Call(name_of("collections", "OrderedDict"), (entries,))


class Storages2017:
    """Storages on several GPUs; every other one is a part of a larger storage."""

    def __init__(self):
        self.written = OrderedDict()

    def of(self, tensor):
        kind = {torch.float32: "FloatStorage", torch.int64: "LongStorage"}[tensor.dtype]
        data = tensor.detach().contiguous().flatten()
        number = len(self.written)
        key = str(94000000000000 + 64 * number)
        view = None
        if number % 2:
            view = (f"{key}1", 3, data.numel())
            data = torch.cat([torch.full((3,), 9, dtype=data.dtype), data, data[:2]])
        self.written[key] = data
        location = f"cuda:{number % 3}"
        return Persistent(("storage", name_of("torch.cuda", kind), key, location, data.numel(), view))


def tensor2017(tensor, storages):
    size = tuple(Long(n) for n in tensor.shape)
    stride = tuple(Long(n) for n in tensor.contiguous().stride())
    return Call(name_of("torch._utils", "_rebuild_tensor"), (storages.of(tensor), 0, size, stride))


def parameter2017(tensor, storages, oldest):
    data, parameter = tensor2017(tensor, storages), name_of("torch.nn.parameter", "Parameter")
    if oldest:
        return Call(parameter, (), (data, None, ordered_dict2([]), True, False), new=True)
    return Call(parameter, (data,), (True, False, ordered_dict2([])))


def module2017(module, storages, backend):
    """An nn.Module as PyTorch 0.2 pickled it."""
    parameters = []
    for i, (name, p) in enumerate(module.named_parameters(recurse=False)):
        parameters.append((name, parameter2017(p, storages, oldest=i % 2 == 1)))
    if isinstance(module, nn.Conv2d) and module.bias is None:
        parameters.append(("bias", None))
    buffers = [
        (name, tensor2017(b, storages))
        for name, b in module.named_buffers(recurse=False)
        if name != "num_batches_tracked"
    ]
    own = type(module).__module__ != "__main__"
    place = "torch.nn.modules." + type(module).__module__.rsplit(".", 1)[1] if own else "models.networks"
    state = {
        "_backend": backend,
        "_parameters": ordered_dict2(parameters),
        "_buffers": ordered_dict2(buffers),
        "_backward_hooks": ordered_dict2([]),
        "_forward_hooks": ordered_dict2([]),
        "_modules": ordered_dict2((n, module2017(m, storages, backend)) for n, m in module.named_children()),
        "training": False,
    }
    return Call(name_of(place, type(module).__name__), (), state, new=True)


def module_id2017(cls):
    return ("module", cls, cls.module.replace(".", "/") + ".py", f"class {cls.name}(nn.Module):\n    pass\n")


def legacy2017(network):
    """`torch.save(net)` of PyTorch 0.2 under Python 2: the form of the authors' own files."""
    storages = Storages2017()
    backend = Call(name_of("torch.nn.backends.thnn", "_get_thnn_function_backend"), ())
    module = pickled2(module2017(network, storages, backend), module_id2017)
    sizes = {"short": 2, "int": 4, "long": 4}
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    out = pickled2(Long(0x1950A86A20F9469CFC6C)) + pickled2(1001) + pickled2(facts) + module
    out += pickled2(list(storages.written))
    for data in storages.written.values():
        out += struct.pack("<q", data.numel()) + data.numpy().tobytes()
    return out


def tar2016(network, whole_module):
    """What `torch.save` wrote before 0.1.10."""
    storages, tensors, parts = OrderedDict(), OrderedDict(), []

    def tensor2016(tensor):
        kind = {torch.float32: "Float", torch.int64: "Long"}[tensor.dtype]
        data = tensor.detach().contiguous().flatten()
        key, offset, view = 1000 + 2 * len(tensors), 0, None
        storage = key + 1
        if len(tensors) % 2:
            data, offset = torch.cat([torch.full((2,), 9, dtype=data.dtype), data]), 2
            if len(tensors) % 4 == 3:
                parts.append((storage + 500000, storage, 1, data.numel() - 1))
                offset, view = 1, storage + 500000
        storages[storage] = (kind, data)
        tensors[key] = (view or storage, kind, tensor.shape, tensor.contiguous().stride(), offset)
        return Persistent(key)

    def module2016(module):
        entries = [(n, tensor2016(b)) for n, b in module.named_buffers(recurse=False) if n != "num_batches_tracked"]
        data = lambda p: Call(  # noqa: E731
            name_of("torch.nn.parameter", "Parameter"), (), (tensor2016(p), None, {}, True, False), new=True
        )
        own = type(module).__module__ != "__main__"
        place = "torch.nn.modules." + type(module).__module__.rsplit(".", 1)[1] if own else "models.networks"
        state = {
            "_parameters": ordered_dict2((n, data(p)) for n, p in module.named_parameters(recurse=False)),
            "_buffers": ordered_dict2(entries),
            "_modules": ordered_dict2((n, module2016(m)) for n, m in module.named_children()),
            "training": False,
        }
        return Call(name_of(place, type(module).__name__), (), state, new=True)

    if whole_module:
        obj = module2016(network)
    else:
        obj = ordered_dict2((n, tensor2016(t)) for n, t in network.state_dict().items())
    content = pickled2(obj, lambda cls: module_id2017(cls)[1:])

    storages_part = pickled2(len(storages))
    for key, (kind, data) in storages.items():
        storages_part += pickled2((key, "cpu", name_of("torch", f"{kind}Storage")))
        storages_part += struct.pack("<q", data.numel()) + data.numpy().tobytes()
    storages_part += pickled2(parts)
    tensors_part = pickled2(len(tensors))
    for key, (storage, kind, size, stride, offset) in tensors.items():
        tensors_part += pickled2((key, storage, name_of("torch", f"{kind}Tensor")))
        # The upper half of the first word was never set.
        tensors_part += struct.pack("<ii", len(size), 0x5A5A5A5A)
        tensors_part += struct.pack(f"<{2 * len(size) + 1}q", *size, *stride, offset)

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        facts = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        add_file(archive, "sys_info", pickled2(facts))
        add_file(archive, "pickle", content)
        add_file(archive, "tensors", tensors_part)
        add_file(archive, "storages", storages_part)
    return out.getvalue()


def check_with_torch(content, network, name):
    """`torch.load` finds the network's weights in a container written by hand."""
    old = types.ModuleType("models.networks")
    for cls in (DenseNet, DenseBlock, DenseLayer, Transition, WideResNet, WideBlock, ResNet, ResBlock):
        setattr(old, cls.__name__, cls)
    thnn = types.ModuleType("torch.nn.backends.thnn")
    thnn._get_thnn_function_backend = lambda: None
    sys.modules |= {"models": types.ModuleType("models"), "models.networks": old}
    sys.modules |= {"torch.nn.backends": types.ModuleType("torch.nn.backends"), thnn.__name__: thnn}
    with tempfile.NamedTemporaryFile() as file:
        # PyTorch reads tar containers from real files only.
        file.write(content)
        file.flush()
        loaded = torch.load(file.name, map_location="cpu", weights_only=False, encoding="latin1")
    if isinstance(loaded, nn.Module):
        named = dict(tensors_of(loaded))
    else:
        named = loaded
    for key, tensor in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(named[key], tensor), f"{name}: {key}"


def tensors_of(module, prefix=""):
    """`state_dict` of a module that lacks the attributes of later versions."""
    for own in (module._parameters, module._buffers):
        yield from ((prefix + name, t.detach()) for name, t in own.items() if t is not None)
    for name, child in module._modules.items():
        yield from tensors_of(child, f"{prefix}{name}.")


# --- The fixtures ------------------------------------------------------------------------------


def prefixed(state, prefix):
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def converted(state, dtype):
    return OrderedDict((n, t.to(dtype) if t.is_floating_point() else t) for n, t in state.items())


def safe(network, metadata=None):
    """The weights alone: the names of the batch counters would be a third of the file."""
    state = network.state_dict().items()
    return safetensors.torch.save({n: t.clone() for n, t in state if t.is_floating_point()}, metadata)


def densenet_bc():
    network = seeded(DenseNet(layers=1), 1)
    state = network.state_dict()
    hand_made = {
        "densenet_bc.tar.pth": tar2016(network, whole_module=False),
        "densenet_bc.tar_module.pth": tar2016(network, whole_module=True),
        "densenet_bc.module_2017.pth": legacy2017(network),
    }
    for name, content in hand_made.items():
        check_with_torch(content, network, name)
    parallel = nn.DataParallel(network)
    wrapped = {"epoch": 3, "net": parallel, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    best = {"epoch": 100, "arch": "densenet", "best_prec1": torch.tensor(95.1), "state_dict": state}
    nested = {"best_prec1": torch.tensor(95.1), "model": {"state_dict": prefixed(state, "module.module.")}}
    files = hand_made | {
        "densenet_bc.zip.pth": zipped(best),
        "densenet_bc.legacy.pth": legacy(state),
        "densenet_bc.module_zip.pth": zipped(network),
        "densenet_bc.module_legacy.pth": legacy(network),
        "densenet_bc.parallel_module.pth": legacy(wrapped),
        "densenet_bc.nested.th": legacy(nested),
        "densenet_bc.pth.tar.gz": gzipped_tar("densenet_bc.pth", hand_made["densenet_bc.module_2017.pth"]),
        "densenet_bc.f64.pth": legacy(converted(state, torch.float64)),
        "densenet_bc.safetensors": safe(network, {"epoch": "100", "arch": "densenet"}),
    }
    return network, files


def wide_resnet():
    network = seeded(WideResNet(), 2)
    hand_made = {
        "wide_resnet.tar.pth": tar2016(network, whole_module=False),
        "wide_resnet.module_2017.pth": legacy2017(network),
    }
    for name, content in hand_made.items():
        check_with_torch(content, network, name)
    files = hand_made | {
        "wide_resnet.pt": zipped({"model_state_dict": network.state_dict(), "epoch": 99}),
        "wide_resnet.safetensors": safe(network),
    }
    return network, files


def resnet_a():
    network = seeded(ResNet(None, (1, 1, 1)), 3)
    hand_made = {"resnet_a.module_2017.pth": legacy2017(network)}
    for name, content in hand_made.items():
        check_with_torch(content, network, name)
    state = prefixed(network.state_dict(), "module.")
    files = hand_made | {
        "resnet_a.legacy.th": legacy({"best_prec1": 91.7, "state_dict": state}),
        "resnet_a.safetensors": safe(network),
    }
    return network, files


def in_safetensors(name, network, seed):
    network = seeded(network, seed)
    return lambda: (network, {f"{name}.safetensors": safe(network)})


def in_half(name, dtype):
    network = rounded(seeded(DenseNet(layers=1), 1), dtype)
    return lambda: (network, {f"{name}.pth": zipped(converted(network.state_dict(), dtype))})


MODELS = {
    "densenet_bc": ("DenseNet-BC-10-2", densenet_bc),
    "wide_resnet": ("WRN-10-2", wide_resnet),
    "resnet_a": ("ResNet-8", resnet_a),
    "densenet_bc_f16": ("DenseNet-BC-10-2", in_half("densenet_bc_f16", torch.float16)),
    "densenet_bc_bf16": ("DenseNet-BC-10-2", in_half("densenet_bc_bf16", torch.bfloat16)),
}
for _name, _architecture, _network in [
    ("densenet_plain_grey", "DenseNet-10-2", DenseNet(2, 2, 1.0, False, channels=1)),
    ("densenet_kuangliu", "DenseNet-BC-13-2", KuangliuDenseNet()),
    ("densenet_torchvision", "DenseNet-BC-16-2", TorchvisionDenseNet(small=False)),
    ("densenet_torchvision_small", "DenseNet-BC-10-2", TorchvisionDenseNet(small=True, layers=1)),
    ("wide_resnet_k1", "WRN-10-1", WideResNet(layers=1, widen=1, base=2)),
    ("wide_resnet_layers", "WRN-16-2", LayerWideResNet()),
    ("resnet_b", "ResNet-8", ResNet("shortcut", (1, 1, 1))),
    ("resnet_downsample", "ResNet-10", ResNet("downsample", (1, 2, 1), head="fc")),
    ("resnet_kuangliu", "ResNet-10", ResNet("shortcut", (1, 1, 1, 1), 1)),
    ("resnet_torchvision", "ResNet-8", ResNet("downsample", (1, 1, 1), 2, "fc", True)),
    ("resnet_bottleneck", "ResNet-11", ResNet("downsample", (1, 1, 1), 2, "fc", True, 4)),
    ("resnext", "ResNeXt-11", ResNet("downsample", (1, 1, 1), 2, "fc", True, 4, 2)),
]:
    MODELS[_name] = (_architecture, in_safetensors(_name, _network, 10 + len(MODELS)))


def main(folder):
    tarfile.RECORDSIZE = tarfile.BLOCKSIZE  # Less padding.
    warnings.simplefilter("ignore", torch.serialization.SourceChangeWarning)
    # Legacy files of whole modules carry the source code of the classes; a short text will do.
    torch.serialization.get_source_lines_and_file = lambda cls: (["# source\n"], 1, "models.py")
    folder.mkdir(parents=True, exist_ok=True)
    x = images()
    expected = {
        "temperature": TEMPERATURE,
        "magnitude": MAGNITUDE,
        "input": {"shape": list(x.shape), "data": x.flatten().tolist()},
        "models": {},
    }
    for name, (architecture, make) in MODELS.items():
        network, files = make()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        entry = {"architecture": architecture, "files": sorted(files)}
        expected["models"][name] = entry | expectation(network, x)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    total = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{len(list(folder.iterdir()))} files, {total} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
