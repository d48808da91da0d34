#!/usr/bin/env python3
"""Summarises what analyse.py wrote, as Markdown: summary.py RULES.csv"""

import csv
import sys
from collections import Counter, defaultdict

NOISE = {"Uniform", "Gaussian"}
SHOWN = ["none: msp", "energy", "fixed: T=1000, eps=0", "fixed: T=1000, eps=0.0014",
         "mean-score, T=1000 (today)", "synthetic (today)", "synthetic, auroc, T=1000, eps<=0.002", "oracle"]


def main():
    cells = defaultdict(list)
    with open(sys.argv[1]) as file:
        for row in csv.DictReader(file):
            cells[row["rule"], row["network"], row["out_set"]].append(row)
    rules = list(dict.fromkeys(rule for rule, _, _ in cells))
    pairs = list(dict.fromkeys((n, o) for _, n, o in cells))
    real = [p for p in pairs if p[1] not in NOISE]
    noise = [p for p in pairs if p[1] in NOISE]

    def mean(rule, pair, key):
        rows = cells[(rule, *pair)]
        return 100 * sum(float(r[key]) for r in rows) / len(rows)

    def over(rule, among, key):
        return [mean(rule, p, key) for p in among]

    average = lambda values: sum(values) / len(values)
    print(f"{len(real)} real pairs, {len(noise)} with noise\n")
    print("| rule | FPR95 | AUROC | to MSP: mean | worst | to T = 1000, ε = 0.0014: mean | worst | to the oracle | noise: FPR95 | to MSP: worst |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for rule in sorted(rules, key=lambda r: average(over(r, real, "fpr95"))):
        msp, fixed = over(rule, real, "fpr95_minus_msp"), over(rule, real, "fpr95_minus_fixed")
        print(f"| {rule} | {average(over(rule, real, 'fpr95')):.1f} | {average(over(rule, real, 'auroc')):.1f} "
              f"| {average(msp):+.1f} | {max(msp):+.1f} | {average(fixed):+.1f} | {max(fixed):+.1f} "
              f"| {average(over(rule, real, 'fpr95_minus_oracle')):+.1f} "
              f"| {average(over(rule, noise, 'fpr95')):.1f} | {max(over(rule, noise, 'fpr95_minus_msp')):+.1f} |")
    print("\n| network | out-set | n in / out | " + " | ".join(SHOWN) + " |")
    print("|---|---|---" + "|---" * len(SHOWN) + "|")
    for pair in real + noise:
        row = cells[("oracle", *pair)][0]
        numbers = [f"{mean(r, pair, 'fpr95'):.1f} / {mean(r, pair, 'auroc'):.1f}" for r in SHOWN]
        print(f"| {pair[0]} | {pair[1]} | {row['n_in']} / {row['n_out']} | " + " | ".join(numbers) + " |")
    print("\nChosen (T, ε), times of ten:\n")
    networks = list(dict.fromkeys(n for n, _ in pairs))
    for rule in SHOWN[4:-1]:
        for network in networks:
            out = next(o for n, o in pairs if n == network)
            counts = Counter(f"({float(r['temperature']):g}, {float(r['magnitude']):g})" for r in cells[rule, network, out])
            print(f"- {rule}, {network}: " + ", ".join(f"{c} x{n}" for c, n in counts.most_common()))


if __name__ == "__main__":
    main()
