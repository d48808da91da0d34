"""Images in all forms: those that hold the same pixels have the same scores, others a clear error."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support import DEMO, convolutional, multilayer, needed

import odin_ood
from odin_ood import OdinError, OdinOSError, OdinValueError

needed("PIL")
needed("onnx")
from PIL import Image

N = 6
RANDOM = np.random.default_rng(5)
GREY = np.load(DEMO / "near.npy")[:N]
RGB = RANDOM.integers(0, 256, (N, 3, 8, 8), dtype=np.uint8)
VECTORS = RANDOM.normal(size=(N, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def networks() -> dict[str, odin_ood.Detector]:
    opened = {
        "grey": odin_ood.Detector.from_checkpoint(DEMO / "model.safetensors", threads=1),
        "rgb": odin_ood.Detector.from_onnx(convolutional(3, 8), threads=1, magnitude=0.05, temperature=2),
        "vectors": odin_ood.Detector.from_onnx(multilayer(5), threads=1, temperature=2),
    }
    return opened


@pytest.fixture(scope="module")
def expected(networks) -> dict[str, odin_ood.Scores]:
    """Those of plain arrays."""
    plain = {"grey": GREY, "rgb": RGB, "vectors": VECTORS}
    return {kind: network.score(plain[kind]) for kind, network in networks.items()}


class DLPack:
    """A tensor of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.ndim, self.dtype = array, array.ndim, str(array.dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __len__(self) -> int:
        return len(self.array)


class DataSet:
    """One image and its label at each place, as PyTorch's data sets have them."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        return self.images[i], i % 3


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def floats(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def every_other(array: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(array, 2, axis=0), 2, axis=-1)[::2, ..., ::2]


def loader(images: np.ndarray) -> Any:
    return ((images[i : i + 4], np.arange(len(images[i : i + 4]))) for i in range(0, N, 4))


ARRAYS = {
    "as it is": lambda a: a,
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "strided": every_other,
    "backwards": lambda a: a[::-1].copy()[::-1],
    "list": list,
    "tuple": tuple,
    "generator": lambda a: (image for image in a),
    "list of batches": lambda a: [a[:4], a[4:]],
    "batches": lambda a: iter([a[:4], a[4:]]),
    "batches of one": lambda a: (a[i : i + 1] for i in range(N)),
    "an empty batch": lambda a: iter([a[:4], a[:0], a[4:]]),
    "loader": loader,
    "pairs": lambda a: [(image, 1) for image in a],
    "pairs of arrays": lambda a: [(image, np.array(1)) for image in a],
    "data set": DataSet,
    "DLPack": DLPack,
    "list of DLPack": lambda a: [DLPack(image) for image in a],
    "loader of DLPack": lambda a: ((DLPack(a[i : i + 3]), DLPack(np.arange(3))) for i in (0, 3)),
    "subclass": lambda a: a.view(np.recarray) if a.dtype.names else a.view(np.memmap),
    "without a mask": lambda a: np.ma.masked_array(a, mask=False),
}
NUMBERS = {
    "float32": floats,
    "float64": lambda a: a / 255,
    "float32 of the other byte order": lambda a: floats(a).astype(floats(a).dtype.newbyteorder()),
    "float64 of the other byte order": lambda a: (a / 255).astype(np.dtype("f8").newbyteorder()),
    "strided floats": lambda a: every_other(floats(a)),
    "lists of floats": lambda a: list(a / 255),
}
AXES = {
    "NCHW": lambda a: a,
    "NHWC": lambda a: a.transpose(0, 2, 3, 1),
    "NHWC in C order": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)),
    "list of HWC": lambda a: list(a.transpose(0, 2, 3, 1)),
}
ONLY_GREY = {"NHW": lambda a: a[:, 0], "list of HW": lambda a: list(a[:, 0])}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pixels(images: np.ndarray) -> list[np.ndarray]:
    """As files have them: (H, W) or (H, W, 3)."""
    return [image[0] if len(image) == 1 else image.transpose(1, 2, 0) for image in images]


PICTURES = {
    "PIL": lambda a: [Image.fromarray(p) for p in pixels(a)],
    "PIL, RGBA": lambda a: [Image.fromarray(p).convert("RGBA") for p in pixels(a)],
    "generator of PIL": lambda a: (Image.fromarray(p) for p in pixels(a)),
    "pairs of PIL": lambda a: [(Image.fromarray(p), 0) for p in pixels(a)],
    "encoded": lambda a: [png(p) for p in pixels(a)],
    "generator of encoded": lambda a: (png(p) for p in pixels(a)),
    "batches of encoded": lambda a: iter([[png(p) for p in pixels(a[:4])], [png(p) for p in pixels(a[4:])]]),
}
GREY_PICTURES = {
    "PIL, P": lambda a: [Image.fromarray(p).convert("P") for p in pixels(a)],
    "PIL, RGB": lambda a: [Image.fromarray(p).convert("RGB") for p in pixels(a)],
    "PIL, I;16": lambda a: [Image.fromarray(p.astype(np.uint16) * 257) for p in pixels(a)],
    "PIL, LA": lambda a: [Image.fromarray(p).convert("LA") for p in pixels(a)],
}
SAME = {
    "grey": (GREY, ARRAYS | NUMBERS | AXES | ONLY_GREY | PICTURES | GREY_PICTURES),
    "rgb": (RGB, ARRAYS | NUMBERS | AXES | PICTURES),
    "vectors": (VECTORS, ARRAYS | {"float64": lambda a: a.astype(np.float64)}),
}


@pytest.mark.parametrize("kind, form", [(kind, form) for kind, (_, forms) in SAME.items() for form in forms])
def test_the_same_pixels_have_the_same_scores(kind, form, networks, expected) -> None:
    images, forms = SAME[kind]
    scores = networks[kind].score(forms[form](images))
    assert np.array_equal(scores.odin, expected[kind].odin)
    assert np.array_equal(scores.msp, expected[kind].msp)
    assert len(set(scores.file)) == N


LABELLED = {
    "labels": lambda a: (a, {"labels": [0, 1, 2, 0, 1, 2]}),
    "an array of labels": lambda a: (a, {"labels": np.array([0, 1, 2, 0, 1, 2], np.uint8)}),
    "labels of a list": lambda a: (list(a), {"labels": (0, 1, 2, 0, 1, 2)}),
    "labels of pictures": lambda a: ([Image.fromarray(i[0]) for i in a], {"labels": [0, 1, 2, 0, 1, 2]}),
    "pairs": lambda a: ([(image, i % 3) for i, image in enumerate(a)], {}),
    "data set": lambda a: (DataSet(a), {}),
    "batches": lambda a: (iter([(a[:3], [0, 1, 2]), (a[3:], np.array([0, 1, 2]))]), {}),
    "batches of two": lambda a: (iter([[a[i : i + 3], np.array([0, 1, 2])] for i in (0, 3)]), {}),
}


@pytest.mark.parametrize("form", LABELLED)
def test_labels(form, networks) -> None:
    images, options = LABELLED[form](GREY)
    assert networks["grey"].score(images, **options).label.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(pixels(GREY)):
        (folder / f"{i}.png").write_bytes(png(image))
    np.save(folder.parent / "grey.npy", GREY)
    return folder


PLACES = {
    "folder": lambda folder: folder,
    "folder as text": str,
    "list": lambda folder: [folder / f"{i}.png" for i in range(N)],
    "list of text": lambda folder: [str(folder / f"{i}.png") for i in range(N)],
    "generator": lambda folder: (folder / f"{i}.png" for i in range(N)),
    "opened": lambda folder: [Image.open(folder / f"{i}.png") for i in range(N)],
    "array": lambda folder: folder.parent / "grey.npy",
    "mapped": lambda folder: np.load(folder.parent / "grey.npy", mmap_mode="r"),
}


@pytest.mark.parametrize("form", PLACES)
def test_files(form, networks, expected, files) -> None:
    scores = networks["grey"].score(PLACES[form](files))
    assert np.array_equal(scores.odin, expected["grey"].odin)


ONE = {
    "array": lambda image: image,
    "HW": lambda image: image[0],
    "PIL": lambda image: Image.fromarray(image[0]),
    "encoded": lambda image: png(image[0]),
    "bytearray": lambda image: bytearray(png(image[0])),
    "memoryview": lambda image: memoryview(png(image[0])),
}


@pytest.mark.parametrize("form", ONE)
def test_one_image(form, networks, expected) -> None:
    assert networks["grey"].score(ONE[form](GREY[0])).odin.tolist() == [expected["grey"].odin[0]]


def test_a_shape_that_is_ambiguous_asks_for_the_layout(networks) -> None:
    """Where what the network takes does not decide."""
    images = RANDOM.integers(0, 256, (4, 3, 8, 3), dtype=np.uint8)
    for form in (images, list(images), images[0], iter([images])):
        with pytest.raises(OdinValueError, match="layout"):
            networks["rgb"].score(form)
    network = odin_ood.Detector.from_onnx(convolutional(3, 3), threads=1)
    images = RANDOM.integers(0, 256, (4, 3, 3, 3), dtype=np.uint8)
    for form in (list, np.copy):
        front = network.score(form(images), layout="NCHW").odin
        last = network.score(form(images.transpose(0, 2, 3, 1)), layout="NHWC").odin
        assert np.array_equal(last, front)
        with pytest.raises(OdinValueError, match="layout"):
            network.score(form(images))


F = floats(GREY)
FAULTS: dict[str, Any] = {
    "above 1": F * 300,
    "negative": -F,
    "normalised": (F - 0.5) / 0.2,
    "NaN": np.full_like(F, np.nan),
    "infinite": np.full_like(F, np.inf),
    "int64": GREY.astype(np.int64),
    "int8": GREY.astype(np.int8),
    "bool": GREY > 3,
    "complex": F.astype(np.complex64),
    "long double": F.astype(np.longdouble),
    "text": np.array(["a", "b"]),
    "dates": GREY.astype("M8[s]"),
    "records": np.zeros(3, dtype=[("a", "f4")]),
    "objects": GREY.astype(object),
    "masked": np.ma.masked_array(F, mask=F > 0.5),
    "no image": GREY[:0],
    "no float image": F[:0],
    "no pixel": np.zeros((2, 0, 0, 1), np.uint8),
    "0 axes": np.array(3, np.uint8),
    "1 axis": np.zeros(4, np.uint8),
    "5 axes": np.zeros((2, 1, 8, 8, 1), np.uint8),
    "another size": np.zeros((2, 9, 9, 1), np.uint8),
    "5 channels": np.zeros((2, 8, 8, 5), np.uint8),
    "None": None,
    "a number": 3,
    "a NumPy number": np.float32(3),
    "an object": object(),
    "a class": np.ndarray,
    "a range": range(3),
    "no list": [],
    "no generator": iter([]),
    "no dictionary": {},
    "list of None": [None],
    "list of numbers": [1, 2, 3],
    "nested lists": GREY.tolist(),
    "lists of numbers": [[1, 2], [3, 4]],
    "list of arrays of 0 axes": [np.array(1.0), np.array(2.0)],
    "list of sizes": [GREY[0], np.zeros((3, 3), np.uint8)],
    "files and images": ["a.png", GREY[0]],
    "ragged pair": iter([([[1, 2], [3]], np.array([1]))]),
    "memory of many axes": memoryview(GREY),
    "no bytes": b"",
    "bytes of no image": b"abc",
    "list of bytes of no image": [b"abc"],
    "PIL, I": Image.fromarray(GREY[0, 0].astype(np.int32)),
    "PIL, F": Image.fromarray(F[0, 0]),
    "too few labels": iter([(GREY, [1, 2])]),
    "negative label": iter([(GREY[0], -1)]),
    "negative labels": iter([(GREY[:1], [-1])]),
    "huge label": iter([(GREY[0], 2**70)]),
    "huge labels": iter([(GREY[:1], np.array([2**64 - 1], np.uint64))]),
    "fractional label": iter([(GREY[0], np.array(0.5))]),
    "fractional labels": iter([(GREY, np.full(N, 0.5))]),
    "tensor of another device": SimpleNamespace(__dlpack__=lambda **_: 1, ndim=4),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault, networks) -> None:
    with pytest.raises(OdinValueError) as raised:
        networks["grey"].score(FAULTS[fault])
    assert len(str(raised.value)) > 10


MISSING = {
    "path": "/there/is/none",
    "list": ["/there/is/none.png"],
    "generator": iter(["/there/is/none.png"]),
    "empty path": "",
    "NUL": "a\0b",
}


@pytest.mark.parametrize("fault", MISSING)
def test_missing_files(fault, networks) -> None:
    with pytest.raises(OdinOSError, match="open"):
        networks["grey"].score(MISSING[fault])


ARGUMENTS = {
    "errors": {"errors": "ignore"},
    "layout": {"layout": "CHWN"},
    "labels of other numbers": {"labels": [0]},
    "labels that are text": {"labels": ["a"] * N},
    "ragged labels": {"labels": [[0], [1, 2]]},
    "negative labels": {"labels": [-1] * N},
}


@pytest.mark.parametrize("fault", ARGUMENTS)
@pytest.mark.parametrize("form", [lambda a: a, list])
def test_arguments(fault, form, networks) -> None:
    with pytest.raises(OdinValueError):
        networks["grey"].score(form(GREY), **ARGUMENTS[fault])


TYPES = st.one_of(
    st.sampled_from([np.dtype(t) for t in ("u1", "<f4", ">f4", "<f8", ">f8", "f2")]),
    arrays.scalar_dtypes(),
    st.just(np.dtype(object)),
)


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    """Any type, up to five axes of which many fit a network, with strides of either sign."""
    sides = st.sampled_from([0, 1, 2, 3, 5, 8, 8, 8])
    shape = draw(
        st.one_of(
            st.lists(sides, max_size=5).map(tuple),
            st.sampled_from([(2, 1, 8, 8), (2, 8, 8, 1), (2, 3, 8, 8), (2, 8, 8, 3), (2, 8, 8), (2, 5)]),
        )
    )
    dtype = draw(TYPES)
    if dtype == object:
        return np.full(shape, draw(st.sampled_from([None, 1, "a", b"b", 0.5])), dtype=object)
    elements = None
    if dtype.kind == "f":
        elements = st.one_of(st.floats(0, 1, width=16), arrays.from_dtype(dtype))
    array = draw(arrays.arrays(dtype, shape, elements=elements, fill=st.nothing() if array_is_small(shape) else None))
    for axis in range(array.ndim):
        step = draw(st.sampled_from([1, 1, 1, -1]))
        array = np.flip(array, axis) if step < 0 else array
    return draw(st.sampled_from([array, np.asfortranarray(array), array.T, np.broadcast_to(array, (2, *shape))]))


def array_is_small(shape: tuple[int, ...]) -> bool:
    return int(np.prod(shape)) < 20


def score_or_error(network: odin_ood.Detector, images: Any, **options: Any) -> None:
    """Either each image has finite scores, or an error of this package tells why not."""
    try:
        scores = network.score(images, **options)
    except OdinError as error:
        assert str(error)
        return
    for i, error in enumerate(scores.errors):
        assert np.isfinite(scores.odin[i]) == (error is None), error


QUICK = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(
    array=any_array(),
    kind=st.sampled_from(["grey", "rgb", "vectors"]),
    form=st.sampled_from([lambda a: a, list, iter, lambda a: iter([a]), lambda a: [a, a], DLPack]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "errors": st.sampled_from(["raise", "keep"]),
            "layout": st.sampled_from(["NCHW", "NHWC", None]),
        },
    ),
)
def test_any_array(networks, array, kind, form, options) -> None:
    try:
        images = form(array)
    except TypeError:
        return  # An array of no axis is no sequence.
    score_or_error(networks[kind], images, **options)


THINGS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4).filter(lambda text: not Path(text.replace("\0", "")).exists()),
        st.binary(max_size=9),
        st.sampled_from([GREY, GREY[0], GREY[0, 0], F, RGB[0], VECTORS[0], np.uint8(3)]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=5,
)


@QUICK
@given(thing=THINGS, kind=st.sampled_from(["grey", "rgb", "vectors"]), keep=st.booleans())
def test_anything(networks, thing, kind, keep) -> None:
    score_or_error(networks[kind], thing, errors="keep" if keep else "raise")


@QUICK
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, 120), st.integers(0, 255)).map(
            lambda change: bytes(change[1] if i == change[0] else b for i, b in enumerate(png(GREY[0, 0])))
        ),
        st.integers(0, 200).map(lambda end: png(GREY[0, 0])[:end]),
    )
)
def test_any_bytes(networks, data) -> None:
    score_or_error(networks["grey"], data)
    score_or_error(networks["grey"], [data, png(GREY[0, 0])], errors="keep")


@QUICK
@given(data=st.binary(max_size=300))
def test_any_model(data) -> None:
    with pytest.raises(OdinError):
        odin_ood.Detector.from_onnx(data)


def test_what_a_set_notes_is_a_warning(detector, near, tmp_path) -> None:
    """At the line of the caller, once."""
    from test_stream import png

    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(near[0][0]))
    (tmp_path / "readme.txt").write_text("no image")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            detector.score(tmp_path)
        detector.fit(tmp_path, scores=["nci"])
    told = [(str(w.message), w.category, w.filename) for w in caught]
    assert told == [("1 file that is no image was left out", odin_ood.OdinWarning, __file__)] * 2
