"""Bodies of requests: valid ones, and those that mean harm."""

import base64
import gzip
import io
import json
import struct
import zlib

import numpy as np
from support import arrays, encoded, pngs

INFER = "/v2/models/detector/infer"
JSON = {"Content-Type": "application/json"}


def form(files, boundary="x", end=True):
    """multipart/form-data of (name of the file or None, bytes)."""
    parts = []
    for name, data in files:
        file = "" if name is None else f'; filename="{name}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"{file}\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + (f"--{boundary}--\r\n".encode() if end else b"")


def form_headers(boundary="x"):
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def images_json(images):
    return json.dumps({"images": [base64.b64encode(image).decode() for image in images]}).encode()


def bytes_tensor(images):
    return b"".join(struct.pack("<I", len(image)) + image for image in images)


def infer(name="images", datatype="BYTES", shape=(1,), data=None, binary=None, outputs=None, lie=None, **more):
    """Headers and body of an inference request."""
    tensor = {"name": name, "datatype": datatype, "shape": list(shape)}
    if data is not None:
        tensor["data"] = data
    if binary is not None:
        tensor["parameters"] = {"binary_data_size": len(binary) if lie is None else lie}
    head = {"inputs": [tensor], **more}
    if outputs is not None:
        head["outputs"] = outputs
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/json"}
    if binary is not None:
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return headers, text + (binary or b"")


def base64_of(images):
    return [base64.b64encode(image).decode() for image in images]


def valid():
    """A request that is answered with 200 to each route that takes a body, in each form: (path, headers, body)."""
    one, some = pngs()[0], pngs()[:3]
    pixels = arrays()[:3, :, :, None]
    floats = (pixels.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    plain = [
        ("/v1/score", {"Content-Type": "image/png"}, one),
        ("/v1/score", {"Content-Type": "image/jpeg"}, encoded(arrays()[0], "JPEG")),
        ("/v1/score", {"Content-Type": "image/gif"}, encoded(arrays()[0], "GIF")),
        ("/v1/score", {"Content-Type": "image/webp"}, encoded(arrays()[0], "WEBP")),
        ("/v1/score", {"Content-Type": "image/bmp"}, encoded(arrays()[0], "BMP")),
        ("/v1/score", form_headers(), form([("a.png", one), ("", one), ("a.png", one)])),
        ("/v1/score", JSON, images_json(some)),
        ("/v1/score", JSON, json.dumps({"images": [{"name": "a", "data": base64_of([one])[0]}]}).encode()),
        ("/v1/score", {**JSON, "Content-Encoding": "gzip"}, gzip.compress(images_json(some))),
        ("/v1/explore?temperature=10&magnitude=0.1", {"Content-Type": "image/png"}, one),
    ]
    protocol = [
        infer(shape=[3], binary=bytes_tensor(some)),
        infer(shape=[3], data=base64_of(some), id="seven"),
        infer("pixels_uint8", "UINT8", pixels.shape, binary=pixels.tobytes()),
        infer("pixels_uint8", "UINT8", pixels.shape, data=pixels.tolist()),
        infer("pixels_float32", "FP32", floats.shape, binary=floats.tobytes(), outputs=[{"name": "odin"}]),
        infer("pixels_float32", "FP32", floats.shape, data=floats.ravel().tolist(), parameters={"binary_data_output": True}),
    ]
    return plain + [(INFER, *one) for one in protocol]


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height, depth=8, colour=0, data=b"", interlace=0):
    """A PNG whose head claims a size."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def png_flat(side, colour=0):
    """A PNG of side x side black pixels: a small file that decodes to a large image."""
    row = b"\0" * (1 + side * (3 if colour == 2 else 1))
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    return png_claiming(side, side, colour=colour, data=data)


def jpeg_claiming(width, height):
    jpeg = bytearray(encoded(arrays()[0], "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(jpeg)


def gif_claiming(width, height):
    gif = bytearray(encoded(arrays()[0], "GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    at = gif.index(b"\x2c\0\0\0\0\x08\0\x08\0")
    gif[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(gif)


def webp_claiming(width, height):
    """A lossless WebP (14 bits for each side)."""
    file = io.BytesIO()
    from PIL import Image

    Image.fromarray(arrays()[0]).save(file, "WEBP", lossless=True)
    webp = bytearray(file.getvalue())
    at = webp.index(b"VP8L") + 9
    bits = int.from_bytes(webp[at : at + 4], "little")
    bits = bits & ~((1 << 28) - 1) | (width - 1) | (height - 1) << 14
    webp[at : at + 4] = bits.to_bytes(4, "little")
    return bytes(webp)


def bmp_claiming(width, height):
    bmp = bytearray(encoded(arrays()[0], "BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    return bytes(bmp)


def gzip_bomb(megabytes):
    """So many MiB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(b"\0" * (1 << 20)) for _ in range(megabytes)]) + packer.flush()
