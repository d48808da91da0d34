"""The estimator against scikit-learn's own checks, and on images, which those do not know."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from support import MODEL, multilayer, needed

import odin_ood

needed("sklearn")
needed("onnx")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from odin_ood.sklearn import OdinDetector


def vectors(**parameters: object) -> OdinDetector:
    return OdinDetector(multilayer, threads=1, **parameters)


@parametrize_with_checks([vectors()])
def test_estimator_checks(estimator: OdinDetector, check) -> None:
    """No check fails; that of the Array API asks for SCIPY_ARRAY_API=1 in the environment."""
    check(estimator)


FORMS = {
    "uint8": lambda images: images,
    "NHWC": lambda images: images.transpose(0, 2, 3, 1),
    "float32": lambda images: images.astype(np.float32) / 255,
    "without channels": lambda images: images[:, 0],
}


@pytest.mark.parametrize("form", FORMS)
def test_images_are_scored_as_a_detector_scores_them(form, known, near, calibrated) -> None:
    as_form = FORMS[form]
    estimator = OdinDetector(MODEL, threads=2).fit(as_form(known[:200]))
    verdicts = calibrated.judge(near[:50])
    assert estimator.offset_ == calibrated.threshold
    assert estimator.n_features_in_ == 64
    assert np.array_equal(estimator.score_samples(as_form(near[:50])), verdicts.odin)
    expected = np.where(verdicts.is_in_distribution, 1, -1)
    assert np.array_equal(estimator.predict(as_form(near[:50])), expected)


MODELS = {
    "path": lambda: MODEL,
    "text": lambda: str(MODEL),
    "bytes": MODEL.read_bytes,
    "detector": lambda: odin_ood.Detector.from_checkpoint(MODEL, threads=2),
    "function": lambda: lambda features: {64: MODEL}[features],
}


@pytest.mark.parametrize("kind", MODELS)
def test_models(kind, known) -> None:
    estimator = OdinDetector(MODELS[kind](), temperature=10, magnitude=0, score_name="msp", tpr=0.5)
    fitted = clone(estimator).fit(known[:40])
    assert (fitted.detector_.temperature, fitted.detector_.magnitude) == (10, 0)
    assert fitted.detector_.deciding_score == "msp"
    assert (fitted.predict(known[:40]) == 1).mean() == 0.5


def test_fitted_scores_of_a_detector_can_decide(detector, known) -> None:
    fitted = detector.fit(known, scores=["knn"], knn_k=10)
    assert OdinDetector(fitted, score_name="knn").fit(known[:50]).detector_.deciding_score == "knn"


def test_pickled(known, near) -> None:
    estimator = OdinDetector(MODEL, threads=2).fit(known[:40])
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.decision_function(near[:9]), estimator.decision_function(near[:9]))


def test_pipelines_and_searches() -> None:
    random = np.random.default_rng(0)
    inside, outside = random.normal(size=(60, 4)), random.normal(size=(20, 4)) * 20
    pipeline = make_pipeline(StandardScaler(), vectors()).fit(inside)
    assert pipeline.predict(outside).shape == (20,)

    def kept(estimator: OdinDetector, X: np.ndarray, y: None = None) -> float:
        return float((estimator.predict(X) == 1).mean())

    search = GridSearchCV(vectors(), {"tpr": [0.5, 0.99]}, scoring=kept, cv=3).fit(inside)
    assert search.best_params_ == {"tpr": 0.99}
    flat = FunctionTransformer(lambda rows: rows.reshape(-1, 1, 8, 8))
    images = random.integers(0, 256, (30, 64), dtype=np.uint8)
    assert make_pipeline(flat, OdinDetector(MODEL, threads=1)).fit(images).predict(images).shape == (30,)


FAULTS = {
    "no model": (OdinDetector(), "there is no model"),
    "no such score": (vectors(score_name="knn"), "there is no score 'knn'"),
    "the share": (vectors(tpr=2.0), "2"),
    "the temperature": (vectors(temperature=-1), "temperature"),
    "another network": (OdinDetector(MODEL), "8x8"),
    "threads twice": (OdinDetector(odin_ood.Detector.from_checkpoint(MODEL, threads=2), threads=1), "threads"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault) -> None:
    estimator, message = FAULTS[fault]
    with pytest.raises(odin_ood.OdinValueError, match=message):
        estimator.fit(np.random.default_rng(0).random((20, 5)))
