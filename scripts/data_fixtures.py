"""Writes the test files of crates/odin-data/tests/fixtures.

    python scripts/data_fixtures.py

Needs numpy, Pillow and SciPy (made with numpy 2.4, Pillow 13.0 and SciPy 1.17). The images are synthetic. Expected
pixels are what Pillow decodes (`convert("RGB")`, `convert("L")`) and resizes. CIFAR batches of the
python version are written instruction by instruction, the way Python 2's cPickle wrote them.
"""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent / "crates/odin-data/tests/fixtures"


def pattern(index, channels, height, width):
    """The image that the tests expect at `index` of a synthetic set."""
    c, y, x = np.ogrid[:channels, :height, :width]
    return ((index * 37 + c * 11 + y * 3 + x * 5) % 256).astype(np.uint8)


def patterns(first, count, channels, height, width):
    return np.stack([pattern(first + i, channels, height, width) for i in range(count)])


def write(name, data):
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def gz(data):
    return gzip.compress(data, 9, mtime=0)


def tar(members, kind=tarfile.GNU_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                archive.addfile(info)
            elif data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


# CIFAR -------------------------------------------------------------------------------------------


class CPickle2:
    """What Python 2's cPickle writes with protocol 2 for the types in a CIFAR batch."""

    def __init__(self):
        self.out = bytearray(b"\x80\x02")
        self.memo = 0

    def put(self):
        self.out += b"q" + bytes([self.memo]) if self.memo < 256 else b"r" + struct.pack("<I", self.memo)
        self.memo += 1

    def dump(self, value):
        self.save(value)
        return bytes(self.out + b".")

    def save(self, value):
        if value is None:
            self.out += b"N"
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            if 0 <= value < 256:
                self.out += b"K" + bytes([value])
            elif 0 <= value < 65536:
                self.out += b"M" + struct.pack("<H", value)
            else:
                self.out += b"J" + struct.pack("<i", value)
        elif isinstance(value, str):
            data = value.encode("latin1")
            self.out += b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))
            self.out += data
            self.put()
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            self.out += b"("
            for item in value:
                self.save(item)
            self.out += b"e"
        elif isinstance(value, dict):
            self.out += b"}"
            self.put()
            self.out += b"("
            for key, item in value.items():
                self.save(key)
                self.save(item)
            self.out += b"u"
        elif isinstance(value, tuple):
            if len(value) > 3:
                self.out += b"("
            for item in value:
                self.save(item)
            self.out += {1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(value), b"t")
            self.put()
        elif isinstance(value, np.ndarray):
            self.out += b"cnumpy.core.multiarray\n_reconstruct\n"
            self.put()
            self.out += b"cnumpy\nndarray\n"
            self.put()
            self.save((0,))
            self.save("b")
            self.out += b"\x87"
            self.put()
            self.out += b"R"
            self.put()
            self.out += b"("
            self.save(1)
            self.save(value.shape)
            self.out += b"cnumpy\ndtype\n"
            self.put()
            self.save("u1")
            self.save(0)
            self.save(1)
            self.out += b"\x87"
            self.put()
            self.out += b"R"
            self.put()
            self.save((3, "|", None, None, None, -1, -1, 0))
            self.out += b"b"
            column_major = not value.flags.c_contiguous
            self.save(column_major)
            self.save(value.tobytes("F" if column_major else "C").decode("latin1"))
            self.out += b"t"
            self.put()
            self.out += b"b"
        else:
            raise TypeError(type(value))


def cifar():
    """Two images a batch. Image i of the test split is pattern(i), of the training split
    pattern(100 + i); its label is 7 i modulo the number of classes."""
    names10 = "airplane automobile bird cat deer dog frog horse ship truck".split()
    names100 = [f"class{i:02}" for i in range(100)]
    batches10 = [("test_batch", 0)] + [(f"data_batch_{k}", 100 + 2 * (k - 1)) for k in range(1, 6)]
    py10, bin10 = [], []
    for file, first in batches10:
        data = patterns(first, 2, 3, 32, 32).reshape(2, 3072)
        labels = [(first % 100 + i) * 7 % 10 for i in range(2)]
        if file == "data_batch_5":
            data = np.asfortranarray(data)
        batch = {
            "batch_label": f"batch of {file}",
            "labels": labels,
            "data": data,
            "filenames": [f"image_{first + i}.png" for i in range(2)],
        }
        py10.append((f"cifar-10-batches-py/{file}", CPickle2().dump(batch)))
        rows = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, data))
        bin10.append((f"cifar-10-batches-bin/{file}.bin", rows))
    meta = {"num_cases_per_batch": 2, "label_names": names10, "num_vis": 3072}
    py10.append(("cifar-10-batches-py/batches.meta", CPickle2().dump(meta)))
    py10.append(("cifar-10-batches-py/readme.html", b"<html></html>"))
    bin10.append(("cifar-10-batches-bin/batches.meta.txt", "\n".join(names10).encode() + b"\n\n"))
    write("cifar-10-python.tar.gz", gz(tar(py10)))
    write("cifar-10-binary.tar.gz", gz(tar(bin10)))

    py100, bin100 = [], []
    for file, first in [("train", 100), ("test", 0)]:
        data = patterns(first, 3, 3, 32, 32).reshape(3, 3072)
        fine = [i * 7 % 100 for i in range(3)]
        coarse = [i % 20 for i in range(3)]
        batch = {
            "data": data,
            "batch_label": file,
            "fine_labels": fine,
            "coarse_labels": coarse,
            "filenames": [f"image_{first + i}.png" for i in range(3)],
        }
        py100.append((f"cifar-100-python/{file}", CPickle2().dump(batch)))
        rows = b"".join(bytes([c, f]) + row.tobytes() for c, f, row in zip(coarse, fine, data))
        bin100.append((f"cifar-100-binary/{file}.bin", rows))
    meta = {"fine_label_names": names100, "coarse_label_names": [f"group{i}" for i in range(20)]}
    py100.append(("cifar-100-python/meta", CPickle2().dump(meta)))
    bin100.append(("cifar-100-binary/fine_label_names.txt", "\n".join(names100).encode() + b"\n"))
    write("cifar-100-python.tar.gz", gz(tar(py100)))
    write("cifar-100-binary.tar.gz", gz(tar(bin100)))

    data = patterns(0, 2, 3, 32, 32).reshape(2, 3072)
    for protocol in range(6):
        for keys in ("str", "bytes"):
            batch = {"data": data, "labels": [0, 7], "loss": 0.5, "big": 1 << 40, "neg": -3}
            if keys == "bytes":
                batch = {k.encode(): v for k, v in batch.items()}
            saved = pickle.dumps(batch, protocol)
            if protocol == 0 and keys == "bytes":
                continue
            write(f"pickles/protocol{protocol}.{keys}.gz", gz(saved))


# Arrays ------------------------------------------------------------------------------------------


def arrays():
    """Three images of 4x5; labels 2, 0, 1."""
    colour = patterns(0, 3, 3, 4, 5)
    grey = patterns(0, 3, 1, 4, 5)
    nhwc = np.ascontiguousarray(colour.transpose(0, 2, 3, 1))
    labels = np.array([2, 0, 1])
    for name, array in {
        "u8_nchw": colour,
        "u8_nhwc": nhwc,
        "f32_nchw": colour.astype(np.float32) / np.float32(255),
        "f64_big_endian_nhwc": (nhwc.astype(np.float32) / np.float32(255)).astype(">f8"),
        "u8_grey": grey[:, 0],
        "u8_grey_nhwc": np.ascontiguousarray(grey.transpose(0, 2, 3, 1)),
        "fortran": np.asfortranarray(colour),
        "ambiguous": patterns(0, 2, 3, 4, 3),
        "out_of_range": colour.astype(np.float32),
        "two_channels": patterns(0, 3, 2, 4, 5),
        "int64": colour.astype(np.int64),
        "empty": colour[:0],
        "with_sibling": colour,
        "with_sibling_labels": labels.astype(">i2"),
    }.items():
        write(f"arrays/{name}.npy", npy(array))
    buffer = io.BytesIO()
    np.savez(buffer, images=nhwc, labels=labels.astype(np.uint8))
    write("arrays/stored.npz", buffer.getvalue())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=colour, y=labels[:, None])
    write("arrays/deflated.npz", buffer.getvalue())
    buffer = io.BytesIO()
    np.savez(buffer, a=colour, b=colour)
    write("arrays/two_arrays.npz", buffer.getvalue())

    def idx(array):
        return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    write("mnist/t10k-images-idx3-ubyte.gz", gz(idx(grey[:, 0])))
    write("mnist/t10k-labels-idx1-ubyte.gz", gz(idx(labels.astype(np.uint8))))
    write("mnist/train-images-idx3-ubyte", idx(patterns(100, 2, 1, 4, 5)[:, 0]))
    write("mnist/train-labels-idx1-ubyte", idx(np.array([1, 2], np.uint8)))


def svhn():
    """Image i is pattern(i, 3, 32, 32); the labels are 10 (the digit 0), 1, 9, 5, 10."""

    def mat(count, compress, **variables):
        images = np.ascontiguousarray(patterns(0, count, 3, 32, 32).transpose(2, 3, 1, 0))
        labels = np.array([10, 1, 9, 5, 10], np.uint8)[:count, None]
        buffer = io.BytesIO()
        variables = {"note": "synthetic", "X": images, "y": labels} | variables
        scipy.io.savemat(buffer, variables, do_compression=compress)
        # Without the date.
        return b"MATLAB 5.0 MAT-file, synthetic".ljust(116) + buffer.getvalue()[116:]

    write("svhn/test_32x32.mat", mat(5, True))
    write("svhn/plain.mat", mat(2, False))
    write("svhn/bad_label.mat", mat(2, True, y=np.array([[3], [11]], np.uint8)))
    write("svhn/fewer_labels.mat", mat(2, True, y=np.array([[3]], np.uint8)))
    write("svhn/doubles.mat", mat(2, True, X=np.full((32, 32, 3, 2), 0.5)))
    write("svhn/other.mat", mat(2, True, X=np.zeros((2, 2), np.uint8)))


# Images ------------------------------------------------------------------------------------------


def photo(height, width):
    """Smooth, with an edge: neither flat nor noise."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = [
        127 + 100 * np.sin(x / 5 + y / 9),
        40 + 6 * y + 20 * np.cos(x / 3),
        np.where((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2, 220, 30 + 2 * x),
    ]
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))


def save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def marked(data, jfif=True, adobe=None, names=None):
    """A JPEG with other markers of its colours: with or without JFIF, an Adobe marker of this
    transform, components of these names."""
    out, at = [data[:2]], 2
    while at < len(data):
        start = data.index(b"\xff", at)
        out.append(data[at:start])
        kind = data[start + 1]
        if kind in (0, 0xFF, *range(0xD0, 0xDA)):
            out.append(data[start : start + 2])
            at = start + 2
            continue
        end = start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
        segment, at = bytearray(data[start:end]), end
        first, step = {0xC0: (10, 3), 0xC2: (10, 3), 0xDA: (5, 2)}.get(kind, (0, 0))
        if first and names:
            for place in range(first, first + step * segment[first - 1], step):
                segment[place] = names[segment[place] - 1]
        if kind in (0xE0, 0xEE) and not (jfif and kind == 0xE0):
            continue
        if kind in (0xC0, 0xC2) and adobe is not None:
            out.append(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([adobe]))
        out.append(bytes(segment))
    return b"".join(out)


def coloured():
    """JPEGs whose markers contradict each other, or say nothing."""
    plain = save(photo(18, 21), "JPEG", quality=90, subsampling=0)
    small = save(photo(18, 21), "JPEG", quality=90, subsampling=2)
    progressive = save(photo(18, 21), "JPEG", quality=85, progressive=True)
    cmyk = save(photo(18, 21).convert("CMYK"), "JPEG", quality=90)
    rgb = save(photo(18, 21), "JPEG", quality=90, keep_rgb=True)
    return {
        "keep_rgb.jpg": rgb,
        "jfif_adobe0.jpg": marked(plain, adobe=0),
        "jfif_adobe0_420.jpg": marked(small, adobe=0),
        "jfif_adobe2.jpg": marked(plain, adobe=2),
        "jfif_adobe7.jpg": marked(plain, adobe=7),
        "jfif_named_rgb.jpg": marked(plain, names=b"RGB"),
        "jfif_named_rgb.jpeg": marked(progressive, names=b"RGB", adobe=0),
        "adobe0.jpg": marked(plain, jfif=False, adobe=0),
        "adobe1.jpg": marked(plain, jfif=False, adobe=1),
        "adobe1_named_rgb.jpg": marked(plain, jfif=False, adobe=1, names=b"RGB"),
        "named_rgb.jpg": marked(plain, jfif=False, names=b"RGB"),
        "unmarked.jpg": marked(plain, jfif=False),
        "cmyk_unmarked.jpg": marked(cmyk),
        "ycck.jpg": marked(cmyk, adobe=2),
        "ycck_adobe1.jpg": marked(cmyk, adobe=1),
    }


def images():
    """Every kind with the pixels that Pillow converts it to: NAME.EXT, NAME.rgb.npy, NAME.l.npy."""
    rgb = photo(18, 21)
    alpha = Image.fromarray((np.mgrid[:18, :21][1] * 12).astype(np.uint8))
    grey = rgb.convert("L")
    palette = rgb.quantize(16)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    deep = np.asarray(grey).astype(np.uint16) * 257 - 77
    deep[deep > 65400] = 65535
    first, second = rgb.quantize(8), Image.new("P", rgb.size, 3)
    see_through = palette.copy()
    kinds = {
        "rgb.png": save(rgb, "PNG"),
        "rgba.png": save(rgba, "PNG"),
        "grey.png": save(grey, "PNG"),
        "grey_alpha.png": save(grey_alpha, "PNG"),
        "grey16.png": save(Image.fromarray(deep), "PNG"),
        "bilevel.png": save(grey.convert("1"), "PNG"),
        "palette.png": save(palette, "PNG"),
        "palette_alpha.png": save(see_through, "PNG", transparency=3),
        "interlaced.png": interlaced(np.asarray(rgb)),
        "rgb16.png": rgb16(np.asarray(rgb)),
        "rgb.bmp": save(rgb, "BMP"),
        "grey.bmp": save(grey, "BMP"),
        "palette.bmp": save(palette, "BMP"),
        "bilevel.bmp": save(grey.convert("1"), "BMP"),
        "palette.gif": save(palette, "GIF"),
        "animated.gif": save(first, "GIF", save_all=True, append_images=[second], duration=100),
        "transparent.gif": save(see_through, "GIF", transparency=3),
        "partial.gif": gif((7, 6), (2, 1, 4, 3), background=3),
        "partial_transparent.gif": gif((7, 6), (2, 1, 4, 3), transparent=2),
        "partial_own_palette.gif": gif((7, 6), (2, 1, 4, 3), local=b"\1\2\3\4\5\6\7\x08\x09\xc8\xc9\xca"),
        "larger_than_canvas.gif": gif((3, 2), (1, 1, 4, 3)),
        "past_palette.gif": gif((7, 6), (2, 1, 4, 3), depth=3, transparent=200),
        "lossless.webp": save(rgb, "WEBP", lossless=True),
        "lossless_alpha.webp": save(rgba, "WEBP", lossless=True, exact=True),
        "lossy.webp": save(rgb, "WEBP", quality=90),
        "lossy_alpha.webp": save(rgba, "WEBP", quality=90, exact=True),
        "444.jpg": save(rgb, "JPEG", quality=90, subsampling=0),
        "422.jpg": save(rgb, "JPEG", quality=90, subsampling=1),
        "420.jpg": save(rgb, "JPEG", quality=90, subsampling=2),
        "progressive.jpeg": save(rgb, "JPEG", quality=85, progressive=True),
        "restarts.jpg": save(rgb, "JPEG", quality=85, restart_marker_blocks=2),
        "grey.jpg": save(grey, "JPEG", quality=90),
        "oriented.jpg": save(rgb, "JPEG", quality=90, exif=orientation(6)),
        "cmyk.jpg": save(rgb.convert("CMYK"), "JPEG", quality=90),
    } | coloured()
    for name, data in kinds.items():
        write(f"images/{name}", data)
        image = Image.open(io.BytesIO(data))
        if image.mode.startswith("I;16"):
            # Pillow clips here, so that almost every image turns white; we keep the high byte.
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        stem = name.replace(".", "_")
        write(f"images/expected/{stem}.rgb.npy", npy(np.asarray(image.convert("RGB"))[None]))
        gray = np.asarray(image.convert("RGB").convert("L"))
        write(f"images/expected/{stem}.l.npy", npy(gray[None]))


def png(width, height, depth, colour, interlace, data):
    def chunk(kind, body):
        import zlib

        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    import zlib

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def gif(canvas, frame, background=0, transparent=None, local=b"", depth=2):
    """One frame (left, top, width, height) of the indices 0, 1, 2, …, which Pillow reads but does
    not write where it is not the canvas."""
    palette = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    data = b"GIF89a" + struct.pack("<HH", *canvas) + bytes([0x81, background, 0]) + palette
    if transparent is not None:
        data += b"\x21\xf9\x04" + bytes([1, 0, 0, transparent, 0])
    data += b"," + struct.pack("<4H", *frame) + (b"\x81" + local if local else b"\0")
    # A clear code before every two indices keeps all codes at depth + 1 bits.
    clear, codes = 1 << depth, []
    for i in range(frame[2] * frame[3]):
        codes += [clear] * (i % 2 == 0) + [i % clear]
    codes.append(clear + 1)
    bits = sum(code << (depth + 1) * i for i, code in enumerate(codes))
    packed = bits.to_bytes(((depth + 1) * len(codes) + 7) // 8, "little")
    return data + bytes([depth, len(packed)]) + packed + b"\0;"


def interlaced(pixels):
    """Adam7, which Pillow reads but does not write."""
    height, width, _ = pixels.shape
    data = b""
    for y0, x0, dy, dx in [
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ]:
        for row in pixels[y0::dy, x0::dx]:
            data += b"\0" + row.tobytes()
    return png(width, height, 8, 2, 1, data)


def rgb16(pixels):
    height, width, _ = pixels.shape
    wide = (pixels.astype(np.uint16) * 256 + 201).astype(">u2")
    return png(width, height, 16, 2, 0, b"".join(b"\0" + row.tobytes() for row in wide))


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def resizes():
    image = photo(23, 37)
    write("resize/in.png", save(image, "PNG"))
    unit = np.asarray(image)[..., 0].astype(np.float32) / np.float32(255) * np.float32(0.997)
    write("resize/in.npy", npy(unit[None]))
    filters = {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
    for name, kind in filters.items():
        for height, width in [(8, 8), (32, 32), (23, 50), (40, 11), (1, 1), (9, 60)]:
            # Pillow 12 and older shrink or stretch the rows first, 13 sometimes the columns.
            resized = image.resize((width, image.height), kind).resize((width, height), kind)
            write(f"resize/{name}-{height}x{width}.png", save(resized, "PNG"))
        unit_image = Image.fromarray(unit)
        resized = unit_image.resize((20, unit_image.height), kind).resize((20, 30), kind)
        resized = np.asarray(resized).clip(0, 1)
        write(f"resize/{name}-30x20.npy", npy(resized[None]))


# Folders and archives ----------------------------------------------------------------------------


def archives():
    """Image i is pattern(i, 3, 4, 4) as PNG; names.txt holds the names in Python's order."""
    names = [
        "a/1.png", "a/10.png", "a/2.png", "a-b/0.png", "A/z.PNG", "a.png/x.png",
        "ä/é.png", "日本/𝒳.png", "日本/ｘ.png", "c d/e f.png", "deep/er/still/0.png",
        "long/" + "n" * 70 + "/" + "m" * 60 + ".png",
    ]
    names.sort()
    write("archives/names.txt", "\n".join(names).encode())
    data = {
        name: save(Image.fromarray(pattern(i, 3, 4, 4).transpose(1, 2, 0)), "PNG")
        for i, name in enumerate(names)
    }
    members = [("Set", None), ("Set/notes.txt", b"hello"), ("Set/a/1.png", b"replaced below")]
    members += [(f"Set/{name}", data[name]) for name in reversed(names)]
    members += [("Set/a/link.png", "../../../../etc/passwd"), ("Set/.hidden.png", b"no image")]
    write("archives/gnu.tar.gz", gz(tar(members, tarfile.GNU_FORMAT)))
    write("archives/pax.tgz", gz(tar([(f"./{n}", d) for n, d in members], tarfile.PAX_FORMAT)))
    short = [(n, d) for n, d in members if n.isascii()]
    write("archives/ustar.tar.gz", gz(tar(short, tarfile.USTAR_FORMAT)))
    outside = [("../../outside.png", data[names[0]]), ("/etc/absolute.png", data[names[0]])]
    write("archives/outside.tar.gz", gz(tar(outside)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            if isinstance(content, bytes) and name != "Set/a/1.png" or name == "Set/a/1.png" and content == data["a/1.png"]:
                info = zipfile.ZipInfo(name, (2018, 4, 30, 0, 0, 0))
                info.compress_type = zipfile.ZIP_STORED if name.endswith("2.png") else zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
    write("archives/set.zip", buffer.getvalue())


def scores():
    """Scores as OpenOOD's evaluator saves them, and one vector in every type of numbers."""

    def npz(name, save=np.savez, **arrays):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        write(f"scores/{name}.npz", buffer.getvalue())

    conf = np.array([0.5, -1.25, 3, 0.0625, 2])
    pred, label = np.array([1, 0, 2, 2, 1]), np.array([1, 0, 2, 0, 1])
    whole = np.array([3, -1, 0, 2, 7])
    npz("in", pred=pred, conf=conf.astype(np.float32), label=label)
    npz("out", np.savez_compressed, pred=pred, conf=conf - 2, label=np.full(5, -1))
    types = {"f2": conf, "f4": conf, "f8": conf, "i1": whole, "i2": whole, "i4": whole, "i8": whole}
    types |= {name: abs(whole) for name in ("u1", "u2", "u4", "u8")}
    orders = {"little": "<", "big": ">"}
    npz("types", **{f"{name}_{order}": array.astype(orders[order] + name) for name, array in types.items() for order in orders})
    npz("one_float", label=label, scores=conf.astype(np.float16), logits=np.ones((5, 2)))
    npz("two_floats", a=conf, b=conf)
    npz("whole", conf=whole, other=conf)
    npz("nan", conf=np.array([0.5, np.nan]))
    npz("unread", text=np.array(["a"]), flags=np.array([True]), matrix=np.ones((2, 2)))
    for name, array in {"vector": conf.astype(">f8"), "column": conf.astype(np.float16)[:, None], "matrix": np.ones((2, 2))}.items():
        write(f"scores/{name}.npy", npy(array))


if __name__ == "__main__":
    cifar()
    arrays()
    svhn()
    images()
    resizes()
    archives()
    scores()
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    print(len(files), "files,", sum(path.stat().st_size for path in files), "bytes")
