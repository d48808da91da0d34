"""Writes the scores expected of AdaSCALE and of the feature map (ReAct, ASH, SCALE, RankFeat before pooling):

    python scripts/activation_fixtures.py

- crates/odin-scores/tests/activation_fixtures.json: what small networks say of images, and the scores of that;
- crates/odin/tests/activation_scores.json: the scores of the demonstration network, from its images on.

Needs numpy, torch, safetensors and pytorch-ood (made with numpy 2.4, torch 2.15 and pytorch-ood 0.4). Networks run in
f64, gradients are those of PyTorch's automatic differentiation, scores are the formulas of the papers in NumPy; those
of the feature map are compared with pytorch-ood's.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from pytorch_ood import detector as pood
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
SCORES = ROOT / "crates/odin-scores/tests/activation_fixtures.json"
DEMO = ROOT / "demo"
DEMO_SCORES = ROOT / "crates/odin/tests/activation_scores.json"

# As the command line spells them.
DEFAULTS = {
    "adascale": dict(pmin=0.8, pmax=0.85, k1=0.01, k2=0.05, o=0.05, epsilon=0.5) | {"lambda": 10.0},
    "react-map": dict(quantile=0.9),
    "ash-map": dict(pruned=0.9),
    "scale-map": dict(pruned=0.85),
}
OTHERS = {
    "adascale": dict(pmin=0.3, pmax=0.95, k1=0.2, k2=0.4, o=0.13, epsilon=0.25) | {"lambda": 2.5},
    "react-map": dict(quantile=0.75),
    "ash-map": dict(pruned=0.65),
    "scale-map": dict(pruned=0.65),
}


def as_f32(values):
    """As the library gets them, for computing in f64."""
    return np.asarray(values, np.float32).astype(np.float64)


def energy(logits):
    largest = logits.max(axis=1, keepdims=True)
    return (largest + np.log(np.exp(logits - largest).sum(axis=1, keepdims=True)))[:, 0]


def whole(count, share):
    """How many of `count` a share is, rounded down, one at least."""
    return max(1, int(count * share + 1e-9))


def shifted(features_of, head, images, parameters):
    """The features of images of which the entries of the least gradient of the predicted logit have moved up it; and
    how near another choice of entries is, relative to the gradients."""
    x = images.clone().requires_grad_()
    logits = head(features_of(x))
    predicted = logits.max(dim=1).values
    (gradient,) = torch.autograd.grad(predicted.sum(), x)
    size = gradient.abs().flatten(1)
    count = whole(size.shape[1], parameters["o"])
    order = size.sort(dim=1)
    mask = torch.zeros_like(size).scatter_(1, order.indices[:, :count], 1.0).view_as(x)
    margin = ((order.values[:, count] - order.values[:, count - 1]) / order.values[:, count]).min()
    moved = images + parameters["epsilon"] * mask * gradient.sign()
    return features_of(moved).detach(), float(margin)


def activation_shift(features, shifted_features, parameters):
    """Q' = lambda Q + C_o."""
    order = np.argsort(-features, axis=1, kind="stable")

    def largest(values, share):
        return np.take_along_axis(values, order[:, : whole(features.shape[1], share)], axis=1).sum(axis=1)

    q = largest(np.abs(shifted_features - features), parameters["k1"])
    correction = largest(np.maximum(shifted_features, 0), parameters["k2"])
    return parameters["lambda"] * q + correction


def adascale(train, test, parameters):
    known = activation_shift(train["features"], train["shifted_features"], parameters)
    new = activation_shift(test["features"], test["shifted_features"], parameters)
    below = (known[None, :] <= new[:, None]).mean(axis=1)
    percentiles = parameters["pmin"] + (1 - below) * (parameters["pmax"] - parameters["pmin"])
    ratios = []
    for features, percentile in zip(np.maximum(test["features"], 0), percentiles):
        kept = max(1, len(features) - int(np.round(len(features) * percentile)))
        ratios.append(features.sum() / np.sort(features)[-kept:].sum())
    ratio = np.array(ratios)[:, None]
    scaled = (np.exp(ratio) * test["features"]) @ test["weight"].T + test["bias"]
    scores = {"adascale-a": energy(scaled), "adascale-l": energy(ratio**2 * test["logits"])}
    margin = np.abs(known[None, :] - new[:, None]) / known
    return scores, float(margin.min())


def coarse(values):
    """The nearest numbers of 12 binary digits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 4096) / 4096, exponent)


def of_maps(train, test, parameters):
    """The scores of the feature map, by NumPy."""

    def logits(maps):
        return maps.mean(axis=2) @ test["weight"].T + test["bias"]

    def largest(maps, pruned):
        flat = maps.reshape(len(maps), -1)
        kept = max(1, flat.shape[1] - int(np.round(flat.shape[1] * pruned)))
        mask = np.zeros_like(flat)
        np.put_along_axis(mask, np.argsort(-flat, axis=1, kind="stable")[:, :kept], 1.0, axis=1)
        return (flat * mask).reshape(maps.shape)

    def factor(part):
        return np.exp(maps.sum(axis=(1, 2)) / part.sum(axis=(1, 2)))[:, None, None]

    maps = test["feature_maps"]
    u, s, vt = np.linalg.svd(maps, full_matrices=False)
    leading = s[:, :1, None] * u[:, :, :1] * vt[:, :1, :]
    pruned = largest(maps, parameters["ash-map"]["pruned"])
    part = largest(maps, parameters["scale-map"]["pruned"])
    scores = {
        "ash-map": energy(logits(factor(pruned) * pruned)),
        "scale-map": energy(logits(factor(part) * maps)),
        "rank-feat": energy(logits(maps - leading)),
    }
    quantile = parameters["react-map"]["quantile"]
    threshold = np.quantile(coarse(train["feature_maps"]), quantile)
    exact = np.quantile(train["feature_maps"], quantile)
    assert abs(threshold - exact) <= abs(exact) / 4096
    scores["react-map"] = energy(logits(np.minimum(maps, threshold)))
    agree(test, parameters, threshold, scores)
    return scores


def agree(test, parameters, threshold, scores):
    """With pytorch-ood, in f32."""
    maps = torch.tensor(test["feature_maps"], dtype=torch.float32)[:, :, None, :]
    weight, bias = (torch.tensor(test[name], dtype=torch.float32) for name in ("weight", "bias"))

    def head(x):
        return x.mean(dim=(2, 3)) @ weight.T + bias

    others = {
        "react-map": pood.ReAct(None, head, threshold=float(threshold)),
        "ash-map": pood.ASH(None, head, percentile=parameters["ash-map"]["pruned"]),
        "scale-map": pood.SCALE(None, head, percentile=parameters["scale-map"]["pruned"]),
        "rank-feat": pood.RankFeat(None, head),
    }
    for name, other in others.items():
        other = -other.predict_feature_maps(maps).detach().numpy()
        np.testing.assert_allclose(other, scores[name], rtol=1e-4, atol=1e-4, err_msg=name)


class SmallNetwork(torch.nn.Module):
    """A convolution, an activation that makes the feature map, a linear layer."""

    def __init__(self, features, classes, stride, activation):
        super().__init__()
        self.first = torch.nn.Conv2d(2, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, features, 3, stride=stride, padding=1)
        self.fc = torch.nn.Linear(features, classes)
        self.activation = activation

    def map(self, x):
        return self.activation(self.second(torch.tanh(self.first(x))))

    def features(self, x):
        return self.map(x).mean(dim=(2, 3))


def said(network, images, parameters):
    """What a network says of images, as the library gets it."""
    with torch.no_grad():
        maps = network.map(images)
        features = maps.mean(dim=(2, 3))
        logits = network.fc(features)
    moved, margin = shifted(network.features, network.fc, images, parameters)
    values = {
        "features": features,
        "logits": logits,
        "feature_maps": maps.flatten(2),
        "shifted_features": moved,
        "weight": network.fc.weight.detach(),
        "bias": network.fc.bias.detach(),
    }
    return {name: as_f32(value.numpy()) for name, value in values.items()}, margin


def expected(train, test, parameters):
    scores, margin = adascale(train, test, parameters["adascale"])
    return scores | of_maps(train, test, parameters), margin


def spelled(parameters):
    """As the command line takes them."""
    texts = []
    for name in ("adascale-a", "adascale-l", "react-map", "ash-map", "scale-map", "rank-feat"):
        values = parameters.get("adascale" if name.startswith("adascale") else name, {})
        texts.append(":".join([name] + [f"{key}={value}" for key, value in values.items()]))
    return texts


def numbers(values):
    return [float(str(v)) for v in np.asarray(values, np.float32).ravel()]


def score_case(name, seed, parameters, **shape):
    torch.manual_seed(seed)
    network = SmallNetwork(**shape).double()
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.float().double() * 1.5)
    train = torch.randn(16, 2, 4, 6).double()
    near, far = torch.randn(3, 2, 4, 6).double(), 2.5 * torch.randn(3, 2, 4, 6).double()
    train, _ = said(network, train, parameters["adascale"])
    test, _ = said(network, torch.cat([near, far]), parameters["adascale"])
    scores, margin = expected(train, test, parameters)
    assert margin > 1e-6, (name, margin)
    case = {"name": name, "parameters": spelled(parameters)}
    case |= {key: numbers(test[key]) for key in ("weight", "bias")}
    keys = ("features", "logits", "feature_maps", "shifted_features")
    case |= {f"training_{key}": numbers(train[key]) for key in keys}
    case |= {key: numbers(test[key]) for key in keys}
    return case | {"scores": {name: score.tolist() for name, score in scores.items()}}


def demo():
    """The demonstration network: fitted to its validation images, asked of images of both kinds."""
    sys.path.insert(0, str(DEMO))
    from densenet import DenseNetBC

    state = load_file(DEMO / "model.safetensors")
    depth = 4 + 6 * sum(key.startswith("block1") and key.endswith("conv1.weight") for key in state)
    growth = state["block1.layer.0.conv2.weight"].shape[0]
    channels, classes = state["conv1.weight"].shape[1], state["fc.weight"].shape[0]
    network = DenseNetBC(depth, growth, channels, classes)
    network.load_state_dict(state)
    network = network.double().eval()

    def feature_map(x):
        x = network.trans1(network.block1(network.conv1(x)))
        x = network.block3(network.trans2(network.block2(x)))
        return torch.relu(network.bn1(x))

    network.map, network.features = feature_map, lambda x: feature_map(x).mean(dim=(2, 3))
    model = json.loads((DEMO / "expected.json").read_text())["model"]

    def images(name, count=None):
        pixels = np.load(DEMO / name)[:count].astype(np.float64) / 255
        return (torch.tensor(pixels) - model["mean"]) / model["std"]

    training = images("validation.npy", 60)
    test = torch.cat([images("in.npy", 12), images("near.npy", 12)])
    result = []
    for parameters in (DEFAULTS, OTHERS):
        (train, _), (new, margin) = (said(network, x, parameters["adascale"]) for x in (training, test))
        scores, shift_margin = expected(train, new, parameters)
        print(f"demo: margins {margin:.1e} of gradients, {shift_margin:.1e} of shifts")
        case = {"parameters": spelled(parameters)}
        result.append(case | {"scores": {name: score.tolist() for name, score in scores.items()}})
    return result


def write(path, cases):
    path.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
    print(f"{path}: {path.stat().st_size} bytes")


write(
    SCORES,
    [
        score_case("defaults", 1, DEFAULTS, features=16, classes=4, stride=2, activation=torch.relu),
        score_case("other parameters", 2, OTHERS, features=16, classes=4, stride=2, activation=torch.relu),
        score_case(
            "more positions than features, signed",
            3,
            OTHERS,
            features=5,
            classes=3,
            stride=1,
            activation=torch.nn.functional.silu,
        ),
    ],
)
write(DEMO_SCORES, demo())
