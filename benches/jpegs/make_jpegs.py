"""Makes a folder of JPEGs that are as large and as costly to decode as photographs.

    python make_jpegs.py DIR [--count 10000] [--size 500x375] [--quality 90] [--seed 0]

Needs Pillow and numpy. Nothing is downloaded and no photograph is used: an image is a window of one
of a few canvases of 1/f noise (whose spectrum is that of natural images), a second window for
lighting, and flat shapes with sharp edges, in colours that hang together as those of photographs do.
The files are the same for the same arguments, Pillow and numpy. Ten class folders, 4:2:0, Huffman
tables of the standard, as cameras and web sites write them.
"""

import argparse
import pathlib

import numpy
from PIL import Image, ImageDraw

CLASSES = 10
CANVASES = 8
SIDE = 1024


def noise(rng, side, exponent):
    """Noise whose amplitude falls with the frequency f as f^-exponent, of deviation 1."""
    frequency = numpy.hypot(
        numpy.fft.fftfreq(side)[:, None], numpy.fft.rfftfreq(side)[None, :]
    )
    frequency[0, 0] = 1
    spectrum = numpy.fft.rfft2(rng.standard_normal((side, side))) / frequency**exponent
    spectrum[0, 0] = 0
    plane = numpy.fft.irfft2(spectrum, s=(side, side))
    return (plane / plane.std()).astype(numpy.float32)


def canvas(rng):
    """Brightness with two weaker, smoother planes of colour."""
    brightness = noise(rng, SIDE, 1.3)
    warm, green = noise(rng, SIDE, 1.5), noise(rng, SIDE, 1.5)
    planes = [brightness + 0.35 * warm, brightness + 0.2 * green, brightness - 0.35 * warm]
    return numpy.stack(planes, axis=-1)


def window(rng, of, height, width):
    y, x = rng.integers(of.shape[0] - height), rng.integers(of.shape[1] - width)
    part = of[y : y + height, x : x + width]
    return part[:, ::-1] if rng.integers(2) else part


def picture(rng, canvases, height, width):
    detail = window(rng, canvases[rng.integers(len(canvases))], height, width)
    contrast, mean = rng.uniform(25, 55), rng.uniform(80, 170, size=3)
    pixels = mean.astype(numpy.float32) + numpy.float32(contrast) * detail
    image = Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 7)):
        x, y = rng.integers(width), rng.integers(height)
        w, h = rng.integers(20, width // 3), rng.integers(20, height // 3)
        colour = tuple(int(c) for c in rng.integers(0, 256, size=3))
        shape = draw.ellipse if rng.integers(2) else draw.rectangle
        shape((int(x), int(y), int(x + w), int(y + h)), fill=colour)
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", default="500x375", help="width x height")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    if max(width, height) >= SIDE:
        parser.error(f"--size: sides must be below {SIDE}")
    rng = numpy.random.default_rng(args.seed)
    canvases = [canvas(rng) for _ in range(CANVASES)]
    for c in range(CLASSES):
        (args.folder / f"class{c}").mkdir(parents=True, exist_ok=True)
    total = 0
    for i in range(args.count):
        # An image does not depend on how many there are.
        image = picture(
            numpy.random.default_rng([args.seed, i]), canvases, height, width
        )
        path = args.folder / f"class{i % CLASSES}" / f"{i:05}.jpg"
        image.save(path, quality=args.quality, subsampling="4:2:0")
        total += path.stat().st_size
    print(f"{args.count} images, {total / max(args.count, 1) / 1000:.1f} kB on average")


if __name__ == "__main__":
    main()
