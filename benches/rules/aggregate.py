#!/usr/bin/env python3
"""Means and standard deviations over seeds, and differences of rules by network.

aggregate.py OUT.csv FILE...: the files are those of analyse.py.
"""

import csv
import sys
from collections import Counter, defaultdict
from statistics import mean, stdev

NOISE = {"Uniform", "Gaussian"}
COMPARED = ["synthetic, auroc, T=1000, eps<=0.002", "choose 0 / 0.0014 at T=1000 by synthetic, auroc",
            "guard of 0.0014, synthetic, auroc, T=1000", "fixed: T=1000, eps=0", "mean-score, T=1000 (today)",
            "mean-score, T=1000, eps<=0.002", "synthetic (today)", "none: msp", "energy"]


def main():
    cells = defaultdict(list)
    for path in sys.argv[2:]:
        with open(path) as file:
            for row in csv.DictReader(file):
                cells[row["network"], row["out_set"], row["rule"]].append(row)
    with open(sys.argv[1], "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        keys = ["fpr95", "auroc"] + [f"{m}_minus_{b}" for b in ["msp", "fixed", "oracle"] for m in ["fpr95", "auroc"]]
        writer.writerow(["network", "out_set", "rule", "chosen", "n_validation", "n_in", "n_out", "seeds", *keys, "fpr95_sd", "auroc_sd"])
        for (network, out, rule), rows in cells.items():
            chosen = Counter(f"{r['temperature']}:{r['magnitude']}" for r in rows)
            of = lambda key: [float(r[key]) for r in rows]
            writer.writerow([network, out, rule, " ".join(f"{c}x{n}" for c, n in chosen.most_common()),
                             rows[0]["n_validation"], rows[0]["n_in"], rows[0]["n_out"], len(rows),
                             *(f"{mean(of(k)):.4f}" for k in keys),
                             f"{stdev(of('fpr95')):.4f}", f"{stdev(of('auroc')):.4f}"])
    networks = list(dict.fromkeys(n for n, _, _ in cells))
    print("| rule | " + " | ".join(networks) + " |\n|---" * 1 + "|---" * len(networks) + "|")
    for rule in COMPARED:
        values = []
        for network in networks:
            outs = [o for n, o, r in cells if n == network and r == rule and o not in NOISE]
            each = [100 * mean(float(r["fpr95_minus_fixed"]) for r in cells[network, o, rule]) for o in outs]
            values.append(f"{mean(each):+.1f} (worst {max(each):+.1f})")
        print(f"| {rule} | " + " | ".join(values) + " |")


if __name__ == "__main__":
    main()
