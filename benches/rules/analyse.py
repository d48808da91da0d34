#!/usr/bin/env python3
"""Compares rules that choose temperature and magnitude without out-of-distribution images.

Reads what `odin-rules` wrote: analyse.py SCORES OUT.csv NAME...
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

SEEDS = range(10)
MADE = ["shuffle", "blend", "uniform", "jigsaw"]
OTHERS = ["msp", "energy", "max-logit", "gen", "entropy"]
RESAMPLES = 100


def fpr95(inside, outside):
    """Share of out-scores that reach the largest threshold which 95 % of the in-scores reach.

    The last axis is that of images; the others broadcast over settings.
    """
    n = inside.shape[-1]
    kept = int(np.ceil(0.95 * n - 1e-9))
    threshold = np.partition(inside, n - kept, axis=-1)[..., n - kept]
    return np.mean(outside >= threshold[..., None], axis=-1)


def auroc(inside, outside):
    rows = np.atleast_2d(inside), np.atleast_2d(outside)
    values = []
    for a, b in zip(*rows):
        b = np.sort(b)
        below = np.searchsorted(b, a, "left")
        until = np.searchsorted(b, a, "right")
        values.append(np.mean(below + until) / (2 * len(b)))
    return np.array(values)


def small(kind, inside, outside):
    """A metric that is small where the sets are told apart."""
    return fpr95(inside, outside) if kind == "fpr95" else 1 - auroc(inside, outside)


class Network:
    def __init__(self, folder):
        load = lambda name: np.load(folder / f"{name}.npy")
        self.name = folder.name
        self.settings = load("settings")
        self.labels = load("labels")[0]
        self.pairs = load("pairs").astype(int)
        self.inside, self.inside_others = load("in"), load("in.others")
        found = sorted(p.stem for p in folder.glob("out-*.npy") if not p.stem.endswith(".others"))
        self.out = {n[4:]: load(n) for n in found}
        self.out_others = {n[4:]: load(f"{n}.others") for n in found}
        self.made = {n: load(f"made-{n}") for n in MADE}
        self.made_others = {n: load(f"made-{n}.others") for n in MADE}

    def at(self, temperature, magnitude):
        return int(np.argmin(np.abs(self.settings - [temperature, magnitude]) @ [1.0, 1e6]))

    def split(self, seed):
        """The halves of every class: to choose by, and to test on."""
        random = np.random.default_rng(seed)
        first = []
        for label in np.unique(self.labels):
            members = random.permutation(np.flatnonzero(self.labels == label))
            # Odd classes give the odd image to either part in turn.
            first.extend(members[: (len(members) + int(label) % 2) // 2])
        chosen = np.isin(np.arange(len(self.labels)), first)
        return np.flatnonzero(chosen), np.flatnonzero(~chosen)


class Part:
    """What a rule may see: scores of the validation part and of sets made from it."""

    def __init__(self, network, chosen, seed):
        self.network, self.settings = network, network.settings
        self.inside = network.inside[:, chosen]
        self.inside_others = network.inside_others[:, chosen]
        both = np.flatnonzero(np.isin(network.pairs, chosen).all(axis=1))
        self.made, self.made_others = {}, {}
        for name in MADE:
            images = {"blend": both, "uniform": slice(len(chosen))}.get(name, chosen)
            self.made[name] = network.made[name][:, images]
            self.made_others[name] = network.made_others[name][:, images]
        self.seed = seed
        self.cache = {}

    def among(self, temperature=None, magnitude=None):
        t, e = self.settings.T
        keep = np.ones(len(t), bool)
        if temperature is not None:
            keep &= t == temperature
        if magnitude is not None:
            keep &= e <= magnitude + 1e-12
        return np.flatnonzero(keep)

    def metric(self, kind, names):
        """Of every setting; smaller is better. Sets of equal weight: as if pooled, of equal size."""
        return np.mean([self.metric_of(kind, name) for name in names], axis=0)

    def metric_of(self, kind, name):
        key = kind, name
        if key not in self.cache:
            self.cache[key] = small(kind, self.inside, self.made[name])
        return self.cache[key]

    def least(self, values, among):
        """Of the least values the smallest magnitude, then the smallest temperature."""
        t, e = self.settings.T
        order = np.lexsort((t[among], e[among], np.round(values[among], 12)))
        return among[order[0]]

    def logit_gain(self):
        """max z - mean z to first order in 1/T, at T = 1000: mean over images."""
        t = self.settings[:, 0][:, None]
        # The number of classes times the score, minus one, times T.
        classes = self.classes()
        return t * (classes * self.inside - 1)

    def classes(self):
        return 6 if self.network.name == "demo" else 10

    def resampled(self, kind, names, settings):
        """The metric of some settings in bootstrap samples of images, the same for all settings."""
        random = np.random.default_rng([self.seed, 7])
        draw = lambda scores, n: scores[:, random.integers(n, size=n)]
        rows = []
        for _ in range(RESAMPLES):
            inside = draw(self.inside[settings], self.inside.shape[1])
            each = [draw(self.made[n][settings], self.made[n].shape[1]) for n in names]
            rows.append(np.mean([small(kind, inside, outside) for outside in each], axis=0))
        return np.array(rows)


TODAY = ["shuffle", "blend", "uniform"]


def fixed(temperature, magnitude):
    return lambda part: part.network.at(temperature, magnitude)


def mean_score(temperature=None, magnitude=None):
    def rule(part):
        return part.least(-part.inside.mean(axis=1), part.among(temperature, magnitude))
    return rule


def pooled(kind, names, temperature=None, magnitude=None):
    def rule(part):
        return part.least(part.metric(kind, names), part.among(temperature, magnitude))
    return rule


def worst(kind, names, temperature=None, magnitude=None):
    def rule(part):
        values = np.max([part.metric(kind, [n]) for n in names], axis=0)
        return part.least(values, part.among(temperature, magnitude))
    return rule


def guarded(kind, names, start, temperature=None, magnitude=None):
    """The best, if it beats `start` in 97.5 % of the bootstrap samples; otherwise `start`."""
    def rule(part):
        default = part.network.at(*start)
        best = pooled(kind, names, temperature, magnitude)(part)
        samples = part.resampled(kind, names, [default, best])
        sure = np.quantile(samples[:, 0] - samples[:, 1], 0.025) > 0
        return best if sure else default
    return rule


def one_error(kind, names, temperature=1000, magnitude=None):
    """The smallest magnitude that is within one standard error of the best."""
    def rule(part):
        among = part.among(temperature, magnitude)
        values = part.metric(kind, names)
        best = part.least(values, among)
        samples = part.resampled(kind, names, list(among))
        error = samples[:, list(among).index(best)].std()
        good = [i for i in among if values[i] <= values[best] + error]
        return min(good, key=lambda i: tuple(part.settings[i][::-1]))
    return rule


def growth(share, temperature=1000):
    """The ε at which the mean of max z - mean z of in-distribution images has grown by a share."""
    def rule(part):
        among = part.among(temperature)
        means = part.logit_gain().mean(axis=1)[among]
        means = means / means[0] - 1
        return among[int(np.argmin(np.abs(means - share)))]
    return rule


def compact(quantile, temperature=1000):
    """The ε at which a low quantile of max z - mean z is largest beside the median."""
    def rule(part):
        among = part.among(temperature)
        values = part.logit_gain()[among]
        ratio = np.quantile(values, quantile, axis=1) / np.median(values, axis=1)
        return among[int(np.argmax(ratio))]
    return rule


def score_by(kind, names, candidates):
    """One of a few scores."""
    def rule(part):
        def value(candidate):
            if not isinstance(candidate, str):
                return part.metric(kind, names)[part.network.at(*candidate)]
            i = OTHERS.index(candidate)
            each = [small(kind, part.inside_others[i], part.made_others[n][i]) for n in names]
            return np.mean(each)
        best = min(candidates, key=value)
        return best if isinstance(best, str) else part.network.at(*best)
    return rule


FIXED, PLAIN, MSP = (1000, 0.0014), (1000, 0.0), (1, 0.0)

RULES = {
    "none: msp": fixed(*MSP),
    "fixed: T=1000, eps=0.0014": fixed(*FIXED),
    "fixed: T=1000, eps=0": fixed(*PLAIN),
    "fixed: T=10, eps=0": fixed(10, 0),
    "fixed: T=1000, eps=0.0004": fixed(1000, 0.0004),
    "fixed: T=1000, eps=0.0008": fixed(1000, 0.0008),
    "fixed: T=1000, eps=0.0012": fixed(1000, 0.0012),
    "fixed: T=1000, eps=0.002": fixed(1000, 0.002),
    "fixed: T=10, eps=0.0014": fixed(10, 0.0014),
    "fixed: T=10, eps=0.0008": fixed(10, 0.0008),
    "energy": lambda part: "energy",
    "gen": lambda part: "gen",
    "mean-score, T=1000 (today)": mean_score(1000),
    "mean-score, whole grid": mean_score(),
    "mean-score, T=1000, eps<=0.002": mean_score(1000, 0.002),
    "synthetic (today)": pooled("fpr95", TODAY),
    "synthetic, T=1000": pooled("fpr95", TODAY, 1000),
    "synthetic, T=1000, auroc": pooled("auroc", TODAY, 1000),
    "synthetic, auroc": pooled("auroc", TODAY),
    "synthetic, minimax of three, T=1000": worst("fpr95", TODAY, 1000),
    "synthetic, minimax of three, auroc, T=1000": worst("auroc", TODAY, 1000),
    "all four, pooled": pooled("fpr95", MADE),
    "all four, pooled, T=1000": pooled("fpr95", MADE, 1000),
    "all four, pooled, auroc": pooled("auroc", MADE),
    "all four, pooled, auroc, T=1000": pooled("auroc", MADE, 1000),
    "all four, minimax, auroc, T=1000": worst("auroc", MADE, 1000),
    "guard of 0.0014, synthetic": guarded("fpr95", TODAY, FIXED),
    "guard of 0, synthetic, auroc, T=1000": guarded("auroc", TODAY, PLAIN, 1000),
    "guard of msp, synthetic": guarded("fpr95", TODAY, MSP),
    "one error, synthetic, auroc, T=1000": one_error("auroc", TODAY),
    "growth 5 %": growth(0.05),
    "growth 10 %": growth(0.10),
    "growth 20 %": growth(0.20),
    "compact 5 %": compact(0.05),
    "synthetic, auroc, T=1000, eps<=0.002": pooled("auroc", TODAY, 1000, 0.002),
    "shuffle+blend, auroc, T=1000, eps<=0.002": pooled("auroc", ["shuffle", "blend"], 1000, 0.002),
    "blend+jigsaw, auroc, T=1000": pooled("auroc", ["blend", "jigsaw"], 1000),
    "guard of 0.0014, synthetic, auroc, T=1000": guarded("auroc", TODAY, FIXED, 1000),
    "guard of 0.0014, all four, auroc, T=1000": guarded("auroc", MADE, FIXED, 1000),
    "choose 0 / 0.0014 at T=1000 by synthetic": score_by("fpr95", TODAY, [FIXED, PLAIN]),
    "choose 0 / 0.0014 at T=1000 by synthetic, auroc": score_by("auroc", TODAY, [FIXED, PLAIN]),
    "choose 0 / 0.0014 at T=1000 by blend, auroc": score_by("auroc", ["blend"], [FIXED, PLAIN]),
    "choose 0 / 0.0014 at T=1000 by all four, auroc": score_by("auroc", MADE, [FIXED, PLAIN]),
    "choose msp / plain / 0.0014 by synthetic": score_by("fpr95", TODAY, [MSP, PLAIN, FIXED]),
    "choose msp / plain by synthetic": score_by("fpr95", TODAY, [MSP, PLAIN]),
    "choose msp / plain by blend, auroc": score_by("auroc", ["blend"], [MSP, PLAIN]),
    "choose msp / plain by all four, auroc": score_by("auroc", MADE, [MSP, PLAIN]),
    "choose msp / energy / 0.0014 by synthetic": score_by("fpr95", TODAY, ["msp", "energy", FIXED]),
}
for one in MADE:
    RULES[f"{one} alone, auroc, T=1000"] = pooled("auroc", [one], 1000)


def measure(network, rows):
    for seed in SEEDS:
        chosen, tests = network.split(seed)
        part = Part(network, chosen, seed)
        choices = {name: rule(part) for name, rule in RULES.items()}
        for out in network.out:
            inside, outside = network.inside[:, tests], network.out[out]
            rates, areas = fpr95(inside, outside), auroc(inside, outside)
            others = {}
            for i, other in enumerate(OTHERS):
                a, b = network.inside_others[i][tests], network.out_others[out][i]
                others[other] = float(fpr95(a, b)), float(auroc(a, b)[0])
            best = part.least(rates, part.among())
            for rule, choice in {**choices, "oracle": best}.items():
                if isinstance(choice, str):
                    t, e, (rate, area) = choice, "", others[choice]
                else:
                    (t, e), rate, area = network.settings[choice], rates[choice], areas[choice]
                rows.append({
                    "network": network.name, "out_set": out, "seed": seed, "rule": rule,
                    "temperature": t, "magnitude": e, "n_validation": len(chosen),
                    "n_in": len(tests), "n_out": outside.shape[1],
                    "fpr95": rate, "auroc": area,
                })


def main():
    scores, target, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    rows = []
    for name in names:
        measure(Network(scores / name), rows)
        print(name, "done", file=sys.stderr)
    base = {(r["network"], r["out_set"], r["seed"], r["rule"]): r for r in rows}
    for row in rows:
        key = row["network"], row["out_set"], row["seed"]
        for short, rule in [("msp", "none: msp"), ("fixed", "fixed: T=1000, eps=0.0014"), ("oracle", "oracle")]:
            other = base[(*key, rule)]
            row[f"fpr95_minus_{short}"] = row["fpr95"] - other["fpr95"]
            row[f"auroc_minus_{short}"] = row["auroc"] - other["auroc"]
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


if __name__ == "__main__":
    main()
