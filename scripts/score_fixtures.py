"""Writes crates/odin-scores/tests/fixtures.json: features, logits, a last layer, and the scores expected of them.

    python scripts/score_fixtures.py

Needs numpy, scipy, scikit-learn, torch and pytorch-ood (made with numpy 2.4, scipy 1.17, scikit-learn 1.9, torch 2.15
and pytorch-ood 0.4). Data are synthetic and seeded. The expected scores are computed in f64:

- by SciPy: energy (logsumexp), entropy, KL (entropy of two distributions), the temperature (minimize_scalar),
  pseudoinverses of weights (pinv);
- by scikit-learn: Mahalanobis and its relative, also of normalised features (EmpiricalCovariance), ViM's covariance,
  KNN (NearestNeighbors);
- by PyTorch's automatic differentiation: GradNorm;
- by SciPy's eigh: the log densities of GMM;
- by NumPy from the formulas of the papers: the rest.

Then pytorch-ood, which computes in f32, is asked for the same scores, and must agree wherever it defines them alike;
`agree` says of each what differs by a constant, and `OTHERWISE` where it cannot be compared.
"""

import json
from pathlib import Path

import numpy as np
import torch
from pytorch_ood import detector as pood
from scipy.linalg import eigh, pinv
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

PATH = Path(__file__).resolve().parent.parent / "crates/odin-scores/tests/fixtures.json"
GAMMA, TOP, CLIP, ASH, SCALE, ALPHA = 0.1, 100, 90, 0.90, 0.85, 1e-4
K, GUIDE_K, LTS, VRA, DICE = 50, 10, 0.95, (0.6, 0.9), 0.90


def as_f32(values):
    """As the library gets them, for computing in f64."""
    return np.asarray(values, np.float32).astype(np.float64)


class Case:
    """A network's last layer, training images and test images; half of the latter are far from all classes."""

    def __init__(self, name, seed, classes, features, images, tests=10, labelled=True, missing=None, singular=False):
        rng = np.random.default_rng(seed)
        self.name, self.labelled = name, labelled
        centres = 2.0 * rng.random((classes, features))
        classes_seen = [c for c in range(classes) if c != missing]

        def images_of(labels, spread):
            mixing = np.eye(features) + 0.3 * np.sin(np.outer(np.arange(features), 1 + np.arange(features)))
            h = np.maximum(centres[labels] + spread * rng.standard_normal((len(labels), features)) @ mixing, 0)
            if singular:  # a dead feature, and one that repeats another
                h[:, 1], h[:, 4] = 0, h[:, 2]
            return as_f32(np.round(h, 3))

        self.labels = np.array([classes_seen[i % len(classes_seen)] for i in range(images)])
        self.train = images_of(self.labels, 0.4)
        near = images_of(rng.choice(classes_seen, tests // 2), 0.4)
        far = images_of(rng.choice(classes_seen, tests - tests // 2), 2.0)
        self.test = np.concatenate([near, far])
        self.weight = as_f32(np.round(centres - 0.8 * centres.mean(0), 3))
        self.bias = as_f32(np.round(0.2 * rng.standard_normal(classes), 3))
        self.train_logits, self.test_logits = (as_f32(h @ self.weight.T + self.bias) for h in (self.train, self.test))
        # Some labels are wrong, so that a temperature can be fitted.
        self.labels[::7] = np.roll(self.labels[::7], 1)

    def used_labels(self):
        return self.labels if self.labelled else self.train_logits.argmax(1)


    def every_class_is_right_once(self):
        right = self.used_labels()[self.used_labels() == self.train_logits.argmax(1)]
        return len(np.unique(right)) == len(self.weight)

    def default_k(self):
        return int(np.clip(np.bincount(self.used_labels())[np.unique(self.used_labels())].min() // 10, 1, K))


def energy(logits):
    return logsumexp(logits, axis=1)


def unit(h):
    return h / np.linalg.norm(h, axis=1, keepdims=True)


def of_logits(case):
    z = case.test_logits
    p = softmax(z, axis=1)
    top = -np.sort(-p, axis=1)[:, :TOP]
    return {
        "msp": p.max(1),
        "max-logit": z.max(1),
        "max-minus-mean": z.max(1) - z.mean(1),
        "energy": energy(z),
        "joint-energy": np.logaddexp(0, z).sum(1),
        "entropy": -entropy(p, axis=1),
        "gen": -((top * (1 - top)) ** GAMMA).sum(1),
    }


def kl_matching(case):
    p, predicted = softmax(case.train_logits, axis=1), case.train_logits.argmax(1)
    typical = [p[predicted == c].mean(0) for c in np.unique(predicted)]
    return np.array([-min(entropy(q, d) for d in typical) for q in softmax(case.test_logits, axis=1)])


def temperature(case):
    def nll(log_t):
        log_p = log_softmax(case.train_logits / np.exp(log_t), axis=1)
        return -log_p[np.arange(len(log_p)), case.labels].mean()

    best = minimize_scalar(nll, bounds=(-3, 3), method="bounded", options={"xatol": 1e-11})
    return float(np.exp(best.x))


def mahalanobis(case, of=lambda h: h):
    labels, train, test = case.used_labels(), of(case.train), of(case.test)
    means = {c: train[labels == c].mean(0) for c in np.unique(labels)}
    within = EmpiricalCovariance(assume_centered=True).fit(train - np.array([means[c] for c in labels]))
    total = EmpiricalCovariance().fit(train)
    squares = np.array([within.mahalanobis(test - mean) for mean in means.values()])
    return -squares.min(0), -(squares.min(0) - total.mahalanobis(test))


def gmm(case, less=1, jitter=None):
    labels, classes = case.used_labels(), np.unique(case.used_labels())
    groups = [case.train[labels == c] for c in classes]
    covariances = [(h - h.mean(0)).T @ (h - h.mean(0)) / max(len(h) - less, 1) for h in groups]
    least, identity = 2.0**-24, np.eye(case.train.shape[1])

    def invertible(covariance):
        values = eigh(covariance, eigvals_only=True)
        return values[0] > 0 and 1 / (1 / values).sum() > least * values.mean()

    first = int(np.ceil(np.log10(least * max(c.trace() / len(c) for c in covariances))))
    jitters = [0] + [10.0**power for power in range(first, first + 6)]
    jitter = jitter or next(j for j in jitters if all(invertible(c + j * identity) for c in covariances))

    def log_density(group, covariance):
        values, vectors = eigh(covariance + jitter * identity)
        squared = (((case.test - group.mean(0)) @ vectors) ** 2 / values).sum(1)
        return np.log(len(group) / len(labels)) - (squared + np.log(2 * np.pi * values).sum()) / 2

    return logsumexp([log_density(*both) for both in zip(groups, covariances)], axis=0)


def drawn(train, share, seed):
    if share == 1:
        return train
    order = np.argsort([feature_hash(h, seed) for h in train])
    return train[order][: int(np.ceil(share * len(train)))]


def nn_guide(case, k=GUIDE_K, share=1.0, seed=0):
    bank = drawn(case.train, share, seed)
    guides = unit(bank) * energy(bank @ case.weight.T + case.bias)[:, None]
    nearest = -np.sort(-(unit(case.test) @ guides.T), axis=1)[:, :k]
    return nearest.mean(1) * energy(case.test_logits)


def feature_hash(features, seed):
    state = seed
    for bits in features.astype(np.float32).view(np.uint32).tolist():
        state = (state ^ bits) * 0x9E3779B97F4A7C15 % 2**64
        state ^= state >> 32
    return state


def split_mix(seed, count):
    state = (seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def weiper_kld(
    case, repeats=100, distance=1.8, lambdas=(2.5, 0.1), seed=0, bins=100, widths=(4, 15), floors=(0.01, 0.025)
):
    uniform = ((split_mix(np.uint64(seed), 2 * repeats * case.weight.size) >> np.uint64(11)) + np.uint64(1)) / 2.0**53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * np.pi * uniform[1::2]
    noise = (radius * np.cos(angle)).reshape(repeats, *case.weight.shape)
    noise = noise / np.linalg.norm(noise, axis=2, keepdims=True)
    lengths = np.linalg.norm(case.weight, axis=1)[:, None]
    layers = as_f32(case.weight + distance * lengths * noise)

    def logits(h):
        return np.einsum("rcd,nd->nrc", layers, h) + case.bias

    def density(values, low, high):
        inside = [v[(low <= v) & (v <= high)] for v in values]
        places = [np.minimum((v - low) / (high - low) * bins, bins - 1).astype(int) for v in inside]
        return np.array([np.bincount(p, minlength=bins) for p in places]) / values.shape[1]

    def divergence(train, test, width, floor):
        low, high = train.min(), train.max()
        p = density(train, low, high).mean(0)
        padded = np.pad(density(test, low, high), ((0, 0), ((width - 1) // 2, width // 2)), mode="edge")
        q = np.array([np.convolve(d, np.ones(width) / width, mode="valid") for d in padded])
        p, q = (d / d.sum(-1, keepdims=True) for d in (p + floor, q + floor))
        return entropy(np.broadcast_to(p, q.shape), q, axis=1) + entropy(q, np.broadcast_to(p, q.shape), axis=1)

    flat = lambda z: z.reshape(len(z), -1)
    train, test = logits(case.train), logits(case.test)
    of_logits = divergence(flat(train), flat(test), widths[1], floors[1])
    of_features = divergence(case.train, case.test, widths[0], floors[0])
    largest = softmax(test, axis=2).max(2).mean(1)
    return lambdas[1] * largest - of_features - lambdas[0] * of_logits


def she(case):
    predicted = case.train_logits.argmax(1)
    patterns = np.zeros_like(case.weight)
    for c in range(len(patterns)):
        right = (predicted == c) & (case.used_labels() == c)
        if right.any():
            patterns[c] = case.train[right].mean(0)
    return (case.test * patterns[case.test_logits.argmax(1)]).sum(1)


def knn(case, k=None, share=1.0, seed=0):
    k = k or case.default_k()
    kept = drawn(case.train, share, seed)
    bank = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(unit(kept))
    return -bank.kneighbors(unit(case.test))[0][:, -1]


def vim(case):
    origin = -pinv(case.weight) @ case.bias
    covariance = EmpiricalCovariance(assume_centered=True).fit(case.train - origin).covariance_
    values, vectors = np.linalg.eigh(covariance)
    residual = vectors[:, np.argsort(-values)[len(values) // 2 :]]
    norm = lambda h: np.linalg.norm((h - origin) @ residual, axis=1)
    alpha = case.train_logits.max(1).mean() / norm(case.train).mean()
    return energy(case.test_logits) - alpha * norm(case.test)


def shaped(case):
    def logits(h):
        return h @ case.weight.T + case.bias

    def top(h, pruned):
        kept = max(1, h.shape[1] - int(np.round(h.shape[1] * pruned)))
        mask = np.zeros_like(h)
        np.put_along_axis(mask, np.argsort(-h, axis=1, kind="stable")[:, :kept], 1, axis=1)
        return h * mask

    h, z = case.test, case.test_logits
    pruned, largest = top(h, ASH), top(h, SCALE)
    rectified = np.maximum(h, 0)
    stretch = (rectified.sum(1) / top(rectified, LTS).sum(1)) ** 2
    lower, upper = np.quantile(case.train, VRA, axis=0)
    factor = lambda part: np.exp(h.sum(1) / part.sum(1))[:, None]
    return {
        "react": energy(logits(np.minimum(h, np.percentile(case.train, CLIP)))),
        "ash": energy(logits(factor(pruned) * pruned)),
        "scale": energy(logits(factor(largest) * h)),
        "lts": energy(stretch[:, None] * z),
        "vra": energy(logits(np.where(h < lower, 0, np.minimum(h, upper)))),
        "dice": dice(case),
    }


def dice(case, pruned=DICE):
    contributions = case.weight * case.train.mean(0)
    kept = np.where(contributions > np.quantile(contributions, pruned), case.weight, 0)
    return energy(case.test @ kept.T + case.bias)


def mcm(case, temperature=1.0):
    cosines = unit(case.test) @ unit(case.weight).T
    return softmax(cosines / temperature, axis=1).max(1)


def fdbd(case):
    scores = []
    for h, z in zip(case.test, case.test_logits):
        best = z.argmax()
        others = [c for c in range(len(z)) if c != best]
        distances = [(z[best] - z[c]) / np.linalg.norm(case.weight[best] - case.weight[c]) for c in others]
        scores.append(np.mean(distances) / np.linalg.norm(h - case.train.mean(0)))
    return np.array(scores)


def nci(case):
    centred = case.test - case.train.mean(0)
    weight = case.weight[case.test_logits.argmax(1)]
    proximity = (weight * centred).sum(1) / np.linalg.norm(centred, axis=1)
    return proximity + ALPHA * np.abs(case.test).sum(1)


def grad_norm(case):
    scores = []
    for h in torch.tensor(case.test):
        weight = torch.tensor(case.weight, requires_grad=True)
        log_p = torch.log_softmax(weight @ h + torch.tensor(case.bias), 0)
        uniform = torch.full_like(log_p, 1 / len(log_p))
        torch.nn.functional.kl_div(log_p, uniform, reduction="sum").backward()
        scores.append(weight.grad.abs().sum().item())
    return np.array(scores)


def expected(case):
    scores = of_logits(case)
    scores["kl-matching"] = kl_matching(case)
    if case.labelled:
        scores["temperature-scaling"] = softmax(case.test_logits / temperature(case), axis=1).max(1)
    scores["mahalanobis"], scores["relative-mahalanobis"] = mahalanobis(case)
    scores["mahalanobis-pp"], scores["relative-mahalanobis-pp"] = mahalanobis(case, of=unit)
    scores["gmm"] = gmm(case)
    scores |= {"knn": knn(case), "nn-guide": nn_guide(case), "she": she(case), "weiper-kld": weiper_kld(case)} | {"vim": vim(case)} | shaped(case)
    return scores | {"mcm": mcm(case), "fdbd": fdbd(case), "nci": nci(case), "grad-norm": grad_norm(case)}


# Its temperature is that of 50 steps of L-BFGS with a step of 0.01, far from the optimum; it has no max-minus-mean.
# Where VRA sets features to 0, it clips them. SHE it has only where every class is predicted rightly once: elsewhere.
# GMM divides covariances by the number of images and has a fixed jitter: so does `gmm` where it is told to.
OTHERWISE = {"temperature-scaling", "gmm", "max-minus-mean", "vra", "she", "weiper-kld", "joint-energy"}


def by_pytorch_ood(case):
    """Its outlier scores, negated, and multiplied where it leaves out a factor."""
    tensor = lambda values: torch.tensor(values, dtype=torch.float32)
    z, h, train = tensor(case.test_logits), tensor(case.test), tensor(case.train)
    labels, weight, bias = torch.tensor(case.used_labels()), tensor(case.weight), tensor(case.bias)
    head = torch.nn.Linear(*weight.T.shape)
    head.weight.data, head.bias.data = weight, bias
    maps = lambda features: features[:, :, None, None]
    of_maps = lambda features: head(features.flatten(1))
    identity = torch.nn.Identity()
    n = len(train)

    def fitted(detector, *rest):
        return detector.to("cpu").fit_features(train, *rest).predict_features(h)

    scores = {
        "msp": pood.MaxSoftmax.score(z),
        "max-logit": pood.MaxLogit.score(z),
        "energy": pood.EnergyBased.score(z),
        "entropy": pood.Entropy.score(z),
        "gen": pood.GEN.score(z, GAMMA, TOP) * min(TOP, z.shape[1]),
        "kl-matching": pood.KLMatching(None).to("cpu").fit_logits(tensor(case.train_logits)).predict_logits(z),
        "vim": fitted(pood.ViM(None, case.test.shape[1] // 2, weight, bias), labels),
        "react": pood.ReAct(None, of_maps).fit_feature_maps(maps(train), labels).predict_feature_maps(maps(h)),
        "ash": pood.ASH(None, of_maps, percentile=ASH).predict_feature_maps(maps(h)),
        "scale": pood.SCALE(None, of_maps, percentile=SCALE).predict_feature_maps(maps(h)),
        "lts": pood.LTS(None, head, p=1 - LTS).predict_features(h),
        "dice": fitted(pood.DICE(None, weight, bias, DICE), labels),
        "nn-guide": fitted(pood.NNGuide(None, head, k=min(GUIDE_K, n)), labels),
        "mcm": pood.MCM(None, head.weight.detach()).predict_features(h),
        "fdbd": fitted(pood.fDBD(identity, head)),
        "nci": fitted(pood.NCI(identity, head, alpha=ALPHA)),
        "grad-norm": pood.GradNorm(head, lambda name: name == "weight").to("cpu").predict(h),
    }
    scores["knn"] = fitted(pood.KNN(None, case.default_k()), labels)
    if case.every_class_is_right_once():  # it demands that
        scores["she"] = fitted(pood.SHE(None, head), labels)
    if case.name == "plain":  # elsewhere a class is missing, or its ridge of 1e-6 decides
        of_units = lambda detector: detector.to("cpu").fit_features(unit_train, labels).predict_features(unit_test)
        unit_train, unit_test = tensor(unit(case.train)), tensor(unit(case.test))
        scores["mahalanobis-pp"] = of_units(pood.Mahalanobis(None)) * 2 * n
        scores["relative-mahalanobis-pp"] = of_units(pood.RMD(None)) * n
        scores["mahalanobis"] = fitted(pood.Mahalanobis(None), labels) * 2 * n
        scores["relative-mahalanobis"] = fitted(pood.RMD(None), labels) * n
    return {name: -score.detach().numpy().astype(np.float64) for name, score in scores.items()}


def agree(case, scores):
    mixture = pood.GMM(None).to("cpu").fit_features(torch.tensor(case.train), torch.tensor(case.used_labels()))
    theirs = -mixture.predict_features(torch.tensor(case.test)).numpy()
    np.testing.assert_allclose(gmm(case, less=0, jitter=1e-6), theirs, rtol=1e-4, err_msg=case.name)
    others = by_pytorch_ood(case)
    for name, score in scores.items():
        if name in others:
            other = others[name]
            if name == "gen":  # it raises probabilities below 1e-7 to that
                other = np.where(softmax(case.test_logits, axis=1).min(1) < 1e-7, score, other)
            np.testing.assert_allclose(other, score, rtol=1e-3, atol=1e-4, err_msg=f"{case.name}: {name}")
    if case.name == "plain":
        assert set(others) | OTHERWISE == set(scores), set(scores) ^ set(others)


def with_parameters(case):
    return {
        "knn:k=7": knn(case, 7),
        "knn:k=2:share=0.4:seed=3": knn(case, 2, 0.4, 3),
        "nn-guide:k=3:share=0.3:seed=5": nn_guide(case, 3, 0.3, 5),
        "dice:pruned=0.5": dice(case, 0.5),
        "weiper-kld:repeats=3:distance=0.5:lambda1=1:lambda2=2:seed=9": weiper_kld(case, 3, 0.5, (1, 2), 9),
        "weiper-kld:repeats=3:bins=20:feature-width=3:logit-width=6:feature-floor=0.1:logit-floor=0.05": weiper_kld(
            case, 3, bins=20, widths=(3, 6), floors=(0.1, 0.05)
        ),
    }


def numbers(values):
    return [float(str(v)) for v in np.asarray(values, np.float32).ravel()]


CASES = [
    Case("plain", 1, classes=4, features=12, images=64),
    Case("singular, a class without images, fewer images than k", 2, 4, 12, 40, missing=3, singular=True),
    Case("fewer images than features", 3, classes=3, features=24, images=18),
    Case("more classes than features, no labels", 4, classes=9, features=6, images=72, labelled=False),
    Case("more classes than M", 5, classes=104, features=6, images=24, tests=4, labelled=False),
]

cases = []
for case in CASES:
    scores = expected(case)
    agree(case, scores)
    cases.append(
        {
            "name": case.name,
            "weight": numbers(case.weight),
            "bias": numbers(case.bias),
            "labels": case.labels.tolist() if case.labelled else None,
            "training_features": numbers(case.train),
            "training_logits": numbers(case.train_logits),
            "features": numbers(case.test),
            "logits": numbers(case.test_logits),
            "scores": {name: score.tolist() for name, score in (scores | with_parameters(case)).items()},
        }
    )
PATH.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
print(f"{PATH}: {PATH.stat().st_size} bytes")
