"""Scores and metrics by PyTorch and scikit-learn, independent of the Rust code.

Liang, Li, Srikant, "Enhancing the Reliability of Out-of-distribution Image
Detection in Neural Networks", ICLR 2018 (arXiv 1706.02690).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor, nn


@dataclass(frozen=True)
class Scores:
    """One entry per image; `logits` are those of the clean input, [N, classes]."""

    logits: np.ndarray
    prediction: np.ndarray
    msp: np.ndarray
    odin: np.ndarray


def max_softmax(logits: Tensor, temperature: float) -> Tensor:
    return F.softmax(logits / temperature, dim=1).amax(dim=1)


def input_gradient_sign(model: nn.Module, x: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Clean logits, and the sign of the gradient of -log S_y(x; T) where y is
    the predicted class. A zero gradient counts as +1."""
    x = x.detach().requires_grad_()
    logits = model(x)
    loss = F.cross_entropy(logits / temperature, logits.argmax(dim=1), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    sign = torch.where(gradient >= 0, 1.0, -1.0).to(x.dtype)
    return logits.detach(), sign


def odin_scores(
    model: nn.Module,
    pixels: Tensor,
    mean: float,
    std: float,
    temperature: float,
    magnitudes: list[float],
) -> list[Scores]:
    """Scores of `pixels` ([N, 1, H, W] in [0, 1]) for each magnitude.

    Runs in the dtype of `pixels`, which must be the model's; softmax in f64.
    """
    x = (pixels - mean) / std
    logits, sign = input_gradient_sign(model, x, temperature)
    prediction = logits.argmax(dim=1).numpy()
    msp = max_softmax(logits.double(), 1.0).numpy()
    results = []
    for magnitude in magnitudes:
        with torch.no_grad():
            perturbed = model(x - (magnitude / std) * sign)
        odin = max_softmax(perturbed.double(), temperature).numpy()
        results.append(Scores(logits.numpy(), prediction, msp, odin))
    return results


def exact_metrics(in_scores: np.ndarray, out_scores: np.ndarray) -> dict[str, float]:
    """Fractions; the in-distribution is the positive class, ties are ties."""
    positive = np.concatenate([np.ones(len(in_scores)), np.zeros(len(out_scores))])
    scores = np.concatenate([in_scores, out_scores])
    fpr, tpr, _ = roc_curve(positive, scores, drop_intermediate=False)
    return {
        "fpr_at_95_tpr": float(fpr[tpr >= 0.95].min()),
        "detection_error": float((0.5 * (1 - tpr) + 0.5 * fpr).min()),
        "auroc": float(roc_auc_score(positive, scores)),
        "aupr_in": float(average_precision_score(positive, scores)),
        "aupr_out": float(average_precision_score(1 - positive, -scores)),
    }
