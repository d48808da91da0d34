"""How large the installed packages are that a tool needs: `sizes.py odin-ood pytorch-ood`.

Sums the files that each package and everything it requires, extras apart, has installed into this
environment, by their records; packages that two tools share count for both.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement


def closure(name, seen=None):
    """The names of a package and of all that it requires here."""
    seen = {} if seen is None else seen
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return seen
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return seen
    seen[key] = found
    for text in found.requires or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        closure(requirement.name, seen)
        for extra in requirement.extras:
            extras_of(requirement.name, extra, seen)
    return seen


def extras_of(name, extra, seen):
    """What an extra of a package requires, as torch asks of its CUDA packages."""
    try:
        required = distribution(name).requires or []
    except PackageNotFoundError:
        return
    for text in required:
        requirement = Requirement(text)
        if requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
            closure(requirement.name, seen)


def size(found):
    """Bytes of a package's files, without compiled Python, which is made later."""
    paths = [found.locate_file(file) for file in found.files or [] if "__pycache__" not in str(file)]
    return sum(path.stat().st_size for path in paths if path.is_file())


def main():
    for name in sys.argv[1:]:
        sizes = {key: size(found) for key, found in closure(name).items()}
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
        print(f"{name}: {sum(sizes.values()) / 1e6:.0f} MB in {len(sizes)} packages")
        print("   " + ", ".join(f"{key} {value / 1e6:.0f}" for key, value in largest))


if __name__ == "__main__":
    main()
