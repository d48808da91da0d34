"""What is wrong with a request is said with the right status, as JSON, and does no harm."""

import gzip
import json

import numpy as np
import pytest
from bodies import (
    INFER,
    JSON,
    base64_of,
    bmp_claiming,
    bytes_tensor,
    form,
    form_headers,
    gif_claiming,
    gzip_bomb,
    images_json,
    infer,
    jpeg_claiming,
    png_claiming,
    png_flat,
    valid,
    webp_claiming,
)
from support import pngs

PNG = {"Content-Type": "image/png"}
ONE = pngs()[0]
MANY = [ONE] * 129
DEEP = b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def nested(field):
    """An inference request with 100,000 arrays within each other in a field."""
    parts = {"data": b"[1]", "parameters": b"{}", "shape": b"[1]"}
    parts[field] = b"[" * 100_000 + b"]" * 100_000
    if field == "parameters":
        parts[field] = b'{"a":' + parts[field] + b"}"
    inside = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in parts.items())
    return b'{"inputs":[{"name":"pixels_uint8","datatype":"UINT8",' + inside + b"}]}"


def of_json(path, value, status, says="", headers=JSON):
    return path, headers, json.dumps(value).encode(), status, says


def of_infer(status, says="", headers=None, **request):
    own, body = infer(**request)
    return INFER, {**own, **(headers or {})}, body, status, says


def uint8(shape, data, **more):
    return {"name": "pixels_uint8", "datatype": "UINT8", "shape": shape, "data": data, **more}


PIXELS = np.zeros((2, 8, 8, 1), np.uint8)
FLOATS = np.zeros((2, 1, 8, 8), np.float32)
CASES = {
    # Routes and methods.
    "no such route": ("/nothing", {}, b"x", 404, "no such route"),
    "no such detector": ("/v1/score?detector=other", PNG, ONE, 404, "no such detector"),
    "no such model": ("/v2/models/other/infer", JSON, b"{}", 404, "no such detector"),
    "no such version": ("/v2/models/detector/versions/1/infer", JSON, b"{}", 404, "no such detector"),
    "a method that is not there": ("/info", {}, b"x", 405, "method"),
    "a path that is no UTF-8": ("/v2/models/%ff/infer", JSON, b"{}", 400, ""),
    "a query twice": ("/v1/score?detector=detector&detector=detector", PNG, ONE, 400, ""),
    "a query that is no UTF-8": ("/v1/score?detector=%ff", PNG, ONE, 404, ""),
    # Kinds of bodies.
    "text": ("/v1/score", {"Content-Type": "text/plain"}, ONE, 415, "content type"),
    # What `curl --data-binary` says unless told otherwise.
    "an image that is called the form of a page": ("/v1/score", {"Content-Type": "application/x-www-form-urlencoded"}, ONE, 200, ""),
    "a form of a page": ("/v1/score", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b&c=d", 400, "image"),
    "a content type that is none": ("/v1/score", {"Content-Type": "\xff"}, b"x", 415, ""),
    "text to infer": (INFER, {"Content-Type": "text/plain"}, b"{}", 415, "content type"),
    "an encoding that is not known": ("/v1/score", {**PNG, "Content-Encoding": "br"}, ONE, 415, "encoding"),
    "two encodings": ("/v1/score", {**PNG, "Content-Encoding": "gzip, gzip"}, ONE, 415, "encoding"),
    "gzip that is none": ("/v1/score", {**PNG, "Content-Encoding": "gzip"}, ONE, 400, "decompress"),
    "gzip that is cut off": ("/v1/score", {**PNG, "Content-Encoding": "gzip"}, gzip.compress(ONE)[:-9], 400, "decompress"),
    "deflate that is none": ("/v1/score", {**PNG, "Content-Encoding": "deflate"}, ONE, 400, "decompress"),
    "a bomb of gzip": ("/v1/score", {**PNG, "Content-Encoding": "gzip"}, gzip_bomb(512), 413, "bytes"),
    "a bomb of gzip to infer": (INFER, {**JSON, "Content-Encoding": "gzip"}, gzip_bomb(512), 413, "bytes"),
    "too many bytes": ("/v1/score", PNG, b"\0" * ((32 << 20) + 1), 413, "bytes"),
    # Images.
    "nothing": ("/v1/score", PNG, b"", 400, ""),
    "no image": ("/v1/score", PNG, b"no image", 400, ""),
    "half an image": ("/v1/score", PNG, ONE[:40], 400, ""),
    "another size": ("/v1/score", PNG, png_flat(9), 400, "8"),
    "a PNG that claims much": ("/v1/score", PNG, png_claiming(60_000, 60_000), 400, "pixels"),
    "a PNG that claims more": ("/v1/score", PNG, png_claiming(2**31 - 1, 2**31 - 1), 400, ""),
    "a PNG of no size": ("/v1/score", PNG, png_claiming(0, 0), 400, ""),
    "a PNG of much": ("/v1/score", PNG, png_flat(12_000), 400, "pixels"),
    "a JPEG that claims much": ("/v1/score", PNG, jpeg_claiming(60_000, 60_000), 400, "pixels"),
    "a GIF that claims much": ("/v1/score", PNG, gif_claiming(60_000, 60_000), 400, "pixels"),
    "a WebP that claims much": ("/v1/score", PNG, webp_claiming(16_384, 16_384), 400, "pixels"),
    "a BMP that claims much": ("/v1/score", PNG, bmp_claiming(60_000, 60_000), 400, "pixels"),
    "a BMP of negative width": ("/v1/score", PNG, bmp_claiming(-8, 8), 400, ""),
    "a BMP of least height": ("/v1/score", PNG, bmp_claiming(8, -(2**31)), 400, ""),
    "explore no image": ("/v1/explore", PNG, b"no image", 400, ""),
    "explore a PNG that claims much": ("/v1/explore", PNG, png_claiming(60_000, 60_000), 400, "pixels"),
    "explore at no temperature": ("/v1/explore?temperature=0", PNG, ONE, 400, "temperature"),
    "explore at NaN": ("/v1/explore?temperature=nan", PNG, ONE, 400, "temperature"),
    "explore at infinity": ("/v1/explore?magnitude=inf", PNG, ONE, 400, "magnitude"),
    "explore at a word": ("/v1/explore?temperature=hot", PNG, ONE, 400, ""),
    # Forms.
    "a form without boundary": ("/v1/score", {"Content-Type": "multipart/form-data"}, form([("a", ONE)]), 400, "boundary"),
    "a form of another boundary": ("/v1/score", form_headers("y"), form([("a", ONE)]), 400, "form"),
    "a form cut off": ("/v1/score", form_headers(), form([("a", ONE)])[:-20], 400, "form"),
    "a form without end": ("/v1/score", form_headers(), form([("a", ONE)], end=False), 400, "form"),
    "a form of nothing": ("/v1/score", form_headers(), b"", 400, "form"),
    "a form with a field that is no file": ("/v1/score", form_headers(), form([("a.png", ONE), (None, b"text")]), 400, "field 1"),
    "a form without files": ("/v1/score", form_headers(), b"--x--\r\n", 400, "no image"),
    "a form of too many": ("/v1/score", form_headers(), form([("a", ONE)] * 129), 413, "128"),
    "a form of a million fields": ("/v1/score", form_headers(), b"--x\r\n\r\n\r\n" * 1_000_000 + b"--x--", {400, 413}, ""),
    "a form within a form": ("/v1/score", form_headers(), form([("a", form([("b", ONE)], "y"))]), 200, "error"),
    "a form of a long head": ("/v1/score", form_headers(), b"--x\r\nA: " + b"a" * 1_000_000, 400, "form"),
    "a boundary of 10,000": ("/v1/score", form_headers("b" * 10_000), form([("a", ONE)], "b" * 10_000), {200, 400}, ""),
    # JSON.
    "JSON that is none": ("/v1/score", JSON, b"{", 400, ""),
    "JSON of nothing": ("/v1/score", JSON, b"", 400, ""),
    "JSON that is no UTF-8": ("/v1/score", JSON, b'{"images":["\xff"]}', 400, ""),
    "JSON 100,000 deep": ("/v1/score", JSON, DEEP, 400, ""),
    "JSON without images": of_json("/v1/score", {}, 400, "images"),
    "JSON of no image": of_json("/v1/score", {"images": []}, 400, "no image"),
    "JSON of numbers": of_json("/v1/score", {"images": [1, 2]}, 400),
    "JSON that is no Base64": of_json("/v1/score", {"images": ["***"]}, 400, "Base64"),
    "JSON of more than images": of_json("/v1/score", {"images": base64_of([ONE]), "more": 1}, 400, "more"),
    "JSON of too many": ("/v1/score", JSON, images_json(MANY), 413, "128"),
    "JSON of no image among two": ("/v1/score", JSON, images_json([ONE, b"no"]), 200, "error"),
    # The protocol: what is around the tensors.
    "infer nothing": (INFER, JSON, b"", 400, ""),
    "infer an array": of_json(INFER, [], 400),
    "infer no inputs": of_json(INFER, {"inputs": []}, 400, "0 inputs"),
    "infer two inputs": of_json(INFER, {"inputs": [uint8([1, 8, 8, 1], [0] * 64)] * 2}, 400, "2 inputs"),
    "infer another input": of_infer(400, "images", name="other", data=["QQ=="]),
    "infer another datatype": of_infer(400, "BYTES", datatype="FP32", data=[1.0]),
    "infer a datatype that is none": of_infer(400, "datatype", datatype="FP128", data=[1.0]),
    "infer another output": of_infer(400, "no output", data=base64_of([ONE]), outputs=[{"name": "other"}]),
    "infer an identifier that is a number": of_json(INFER, {"id": 7, "inputs": []}, 400),
    "infer a flag that is none": of_json(INFER, {"parameters": {"binary_data_output": 1}, "inputs": [uint8([1, 8, 8, 1], [0] * 64)]}, 400, "not true or false"),
    "infer without data": of_infer(400, "data"),
    "infer data twice": of_infer(400, "", data=[], binary=b"x"),
    # Shapes and values.
    "a negative shape": of_infer(400, "", shape=[-1], data=base64_of([ONE])),
    "a shape of reals": of_infer(400, "", shape=[1.5], data=base64_of([ONE])),
    "a huge shape": of_infer(400, "", shape=[2**63], data=base64_of([ONE])),
    "a shape that is too huge": of_infer(400, "", shape=[2**64], data=base64_of([ONE])),
    "no shape": of_infer(400, "", shape=[], data=base64_of([ONE])),
    "another count": of_infer(400, "", shape=[2], data=base64_of([ONE])),
    "no images": of_infer(400, "", shape=[0], data=[]),
    "numbers for images": of_infer(400, "", data=[1]),
    "no Base64 for images": of_infer(400, "Base64", data=["*"]),
    "too many images": of_infer(413, "128", shape=[129], data=base64_of(MANY)),
    "too many images in binary form": of_infer(413, "128", shape=[129], binary=bytes_tensor(MANY)),
    "no image among two": of_infer(400, "image 1", shape=[2], data=base64_of([ONE, b"no"])),
    "huge pixels": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[2**32, 2**32, 8, 8], data=[0]),
    "pixels of overflow": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[2**62, 2, 2, 1], data=[0]),
    "no pixels": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[0, 8, 8, 1], data=[]),
    "pixels without extent": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[1, 0, 8, 1], data=[]),
    "pixels of another size": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[1, 4, 16, 1], data=[0] * 64),
    "pixels of three axes": of_infer(400, "", name="pixels_uint8", datatype="UINT8", shape=[8, 8, 1], data=[0] * 64),
    "pixels of 256": of_infer(400, "255", name="pixels_uint8", datatype="UINT8", shape=[1, 8, 8, 1], data=[256] * 64),
    "pixels of -1": of_infer(400, "255", name="pixels_uint8", datatype="UINT8", shape=[1, 8, 8, 1], data=[-1] * 64),
    "pixels of words": of_infer(400, "numbers", name="pixels_uint8", datatype="UINT8", shape=[1, 8, 8, 1], data=["a"] * 64),
    "pixels of null": of_infer(400, "numbers", name="pixels_float32", datatype="FP32", shape=[1, 1, 8, 8], data=[None] * 64),
    "pixels of objects": of_infer(400, "numbers", name="pixels_float32", datatype="FP32", shape=[1, 1, 8, 8], data=[{}] * 64),
    "pixels of a number": of_infer(400, "", name="pixels_float32", datatype="FP32", shape=[1, 1, 8, 8], data=1),
    "too few pixels": of_infer(400, "", name="pixels_float32", datatype="FP32", shape=[1, 1, 8, 8], data=[0.5] * 63),
    "pixels of NaN": of_infer(400, "", name="pixels_float32", datatype="FP32", shape=FLOATS.shape, binary=(FLOATS * np.nan).tobytes()),
    "pixels of infinity": of_infer(400, "", name="pixels_float32", datatype="FP32", shape=FLOATS.shape, binary=(FLOATS + np.inf).tobytes()),
    "pixels of 1e39": of_infer(400, "", name="pixels_float32", datatype="FP32", shape=[1, 1, 8, 8], data=[1e39] * 64),
    "too many pixels": of_infer(413, "128", name="pixels_uint8", datatype="UINT8", shape=[129, 8, 8, 1], binary=bytes(129 * 64)),
    "data 100,000 deep": (INFER, JSON, nested("data"), 400, ""),
    "parameters 100,000 deep": (INFER, JSON, nested("parameters"), 400, ""),
    "a shape 100,000 deep": (INFER, JSON, nested("shape"), 400, ""),
    # Lies about lengths.
    "more binary data than there is": of_infer(400, "binary_data_size", binary=bytes_tensor([ONE]), lie=10**6),
    "less binary data than there is": of_infer(400, "", binary=bytes_tensor([ONE]), lie=10),
    "negative binary data": of_infer(400, "-1", binary=bytes_tensor([ONE]), lie=-1),
    "huge binary data": of_infer(400, "binary_data_size", binary=bytes_tensor([ONE]), lie=2**64 - 1),
    "binary data of a word": of_infer(400, '"8"', binary=bytes_tensor([ONE]), lie="8"),
    "an element longer than the rest": of_infer(400, "length", binary=b"\xff\xff\xff\xff" + ONE),
    "elements of nothing": of_infer(413, "128", shape=[10**6], binary=bytes(4 * 10**6)),
    "a longer head": of_infer(400, "", headers={"Inference-Header-Content-Length": "100000"}, binary=bytes_tensor([ONE])),
    "a shorter head": of_infer(400, "", headers={"Inference-Header-Content-Length": "5"}, binary=bytes_tensor([ONE])),
    "a negative head": of_infer(400, "Inference-Header", headers={"Inference-Header-Content-Length": "-1"}, binary=bytes_tensor([ONE])),
    "a huge head": of_infer(400, "Inference-Header", headers={"Inference-Header-Content-Length": str(2**65)}, binary=bytes_tensor([ONE])),
    "a head of a word": of_infer(400, "Inference-Header", headers={"Inference-Header-Content-Length": "all"}, binary=bytes_tensor([ONE])),
    "shared memory in": of_json(INFER, {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 8}}]}, 400, "shared memory"),
    "shared memory out": of_infer(400, "shared memory", data=base64_of([ONE]), outputs=[{"name": "odin", "parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 8}}]),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals_have_their_status_and_reason(service, case):
    path, headers, body, status, says = CASES[case]
    answer = service.ask(path, body, headers)
    wanted = status if isinstance(status, set) else {status}
    assert answer.status in wanted, answer
    if answer.status != 200:
        assert says in answer.error, answer.error
    else:
        assert says in answer.body.decode()


@pytest.mark.parametrize("place", range(len(valid())))
def test_valid_requests_are_answered(service, place):
    """What faults are mutated from is right itself."""
    path, headers, body = valid()[place]
    assert service.ask(path, body, headers).status == 200


def test_refusals_leave_no_memory_behind(service):
    """All cases twice over: the second time, memory grows by less than 16 MiB."""

    def all_of_them():
        for path, headers, body, *_ in CASES.values():
            service.ask(path, body, headers)

    all_of_them()
    before = service.rss()
    all_of_them()
    after = service.rss()
    print(f"RSS {before:.0f} MiB, then {after:.0f} MiB, peak {service.peak():.0f} MiB")
    assert after < before + 16
