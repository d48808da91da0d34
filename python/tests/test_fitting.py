"""Summaries of training images, merged, against one fit to all of them."""

from __future__ import annotations

import functools
import itertools
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import odin_ood

OF_SUMS = ("kl-matching", "mahalanobis", "relative-mahalanobis", "dice", "fdbd", "nci")
EXACT = ("temperature-scaling", "knn", "nn-guide", "weiper-kld", "vim", "react", "vra",
         "adascale-a", "adascale-l", "react-map")
"""Fitted from what is kept of each image, which has an order of its own, or from counts."""
TOLERANCE = {"mahalanobis": 2e-6, "relative-mahalanobis": 2e-6}
"""Relative to the larger of the two distances: their roots are kept in single precision. The others
differ in the last bits of sums in double precision."""
IMAGES = 240


@pytest.fixture(scope="module")
def labels(detector: odin_ood.Detector, known: np.ndarray) -> np.ndarray:
    """Of each image; some are not the class that the network predicts."""
    labels = detector.score(known[:IMAGES]).prediction.copy()
    labels[::11] = (labels[::11] + 1) % 6
    return labels


def orders(count: int) -> list[tuple[int, ...]]:
    every = list(itertools.permutations(range(count)))
    return every[:: max(1, len(every) // 5)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("labelled", [False, True])
def test_merged_parts_fit_as_all_images(
    count: int, labelled: bool, detector: Any, known: np.ndarray, near: np.ndarray, labels: np.ndarray
) -> None:
    names = [n for n in (*EXACT, *OF_SUMS) if labelled or n != "temperature-scaling"]
    of = labels if labelled else None
    alone = detector.fit(known[:IMAGES], of, scores=names, knn_k=9).score(near[:100])
    parts = [
        detector.summarize(known[i:IMAGES:count], None if of is None else of[i::count], scores=names)
        for i in range(count)
    ]
    assert all(part.has_labels is labelled for part in parts)
    for order in orders(count):
        sent = [odin_ood.FitSummary.from_bytes(parts[i].to_bytes()) for i in order]
        merged = functools.reduce(operator.add, sent)
        assert merged.images == IMAGES
        scored = detector.fit_summary(merged, scores=names, knn_k=9).score(near[:100])
        for name in names:
            if name in EXACT:
                assert (scored[name] == alone[name]).all(), name
            else:
                scale = alone["mahalanobis"] if name in TOLERANCE else np.maximum(np.abs(alone[name]), 1)
                allowed = TOLERANCE.get(name, 1e-12) * np.abs(scale)
                assert (np.abs(scored[name] - alone[name]) <= allowed).all(), name


def test_one_summary_is_the_fit(detector: Any, known: np.ndarray, near: np.ndarray) -> None:
    """Of an array, of a path and of batches, whose statistics are those of all scores together."""
    names = [*EXACT[1:], *OF_SUMS]
    alone = detector.fit(known[:90], scores=names).score(near[:20])
    of_array = detector.summarize(known[:90], scores=names)
    scored = detector.fit_summary(of_array).score(near[:20])
    assert all((scored[name] == alone[name]).all() for name in names)
    of_batches = detector.summarize((known[i : i + 30] for i in (0, 30, 60)), scores=names[:3])
    assert of_batches.images == 90
    assert of_batches.to_bytes() == detector.summarize(known[:90], scores=names[:3]).to_bytes()


def test_parameters_that_images_are_gone_through_with(detector: Any, known: np.ndarray, near: np.ndarray) -> None:
    """How AdaSCALE shifts images is said when they are summarised, and again when scores are fitted."""
    names, parameters = ["adascale-a"], {"adascale_epsilon": 0.25, "adascale_lambda": 5.0}
    alone = detector.fit(known[:60], scores=names, **parameters).score(near[:20])
    parts = [detector.summarize(known[i : i + 30], scores=names, **parameters) for i in (0, 30)]
    merged = parts[0] + parts[1]
    scored = detector.fit_summary(merged, scores=names, **parameters).score(near[:20])
    assert (scored["adascale-a"] == alone["adascale-a"]).all()
    with pytest.raises(odin_ood.OdinValueError, match="was made with"):
        detector.fit_summary(merged, scores=names)
    with pytest.raises(odin_ood.OdinValueError, match="adascale_epsilon"):
        detector.summarize(known[:30], scores=names, adascale_epsilon="far")


def test_all_scores_unless_named(detector: Any, known: np.ndarray) -> None:
    summary = detector.summarize(known[:60])
    assert set(EXACT + OF_SUMS) < set(summary.scores)
    with pytest.warns(UserWarning, match="temperature-scaling is left out"):
        fitted = detector.fit_summary(summary)
    assert set(OF_SUMS) < set(fitted.score_names)
    assert pickle.loads(pickle.dumps(fitted)).score_names == fitted.score_names


def test_pickled(detector: Any, known: np.ndarray) -> None:
    summary = detector.summarize(known[:20], scores=["vim", "knn"])
    again = pickle.loads(pickle.dumps(summary))
    assert again.to_bytes() == summary.to_bytes()
    assert repr(again) == "<FitSummary of 20 images without labels for knn, vim>"


def test_files_with_labels(detector: Any, known: np.ndarray, labels: np.ndarray, tmp_path: Any) -> None:
    from test_stream import png

    files = []
    for i, image in enumerate(known[:12]):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(png(image[0]))
    names = ["mahalanobis", "kl-matching"]
    of_array = detector.summarize(known[:12], labels[:12], scores=names).to_bytes()
    assert detector.summarize(files, labels[:12], scores=names).to_bytes() == of_array
    encoded = [file.read_bytes() for file in files]
    assert detector.summarize(encoded, labels[:12], scores=names).to_bytes() == of_array
    with pytest.raises(odin_ood.OdinValueError, match="images 12, labels 11"):
        detector.summarize(files, labels[:11], scores=names)


def test_what_does_not_belong_together_is_refused(
    detector: Any, known: np.ndarray, labels: np.ndarray
) -> None:
    here = detector.summarize(known[:20], scores=["vim", "nci"])
    other = odin_ood.Detector.from_checkpoint(
        detector._recipe.model.path, mean=[0.5], std=[0.25], threads=1
    )
    cases = [
        (detector.summarize(known[:20], scores=["vim"]), "made for different scores"),
        (other.summarize(known[:20], scores=["vim", "nci"]), "different networks"),
        (detector.summarize(known[:20], labels[:20], scores=["vim", "nci"]), "labels in one and none"),
    ]
    for summary, message in cases:
        with pytest.raises(odin_ood.OdinValueError, match=message):
            here.merge(summary)
    with pytest.raises(odin_ood.OdinValueError, match="of another network"):
        other.fit_summary(here)
    with pytest.raises(odin_ood.OdinValueError, match="was not made for the score mahalanobis"):
        detector.fit_summary(here, scores=["mahalanobis"])
    with pytest.raises(odin_ood.OdinValueError, match="begins with ODIN-TS"):
        odin_ood.FitSummary.from_bytes(b"no summary")
    with pytest.raises(odin_ood.OdinValueError, match="damaged"):
        odin_ood.FitSummary.from_bytes(here.to_bytes()[:-1])
    with pytest.raises(TypeError, match=r"use Detector\.summarize"):
        odin_ood.FitSummary()
