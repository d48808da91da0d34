"""The inputs of jobs on a Ray cluster: files of images and Parquet files, local or by URI."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow
import pyarrow.fs
import pyarrow.parquet
import ray

from .errors import OdinOSError, OdinValueError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Path: TypeAlias = str | os.PathLike[str]

_IMAGES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".gif")
_FETCHED_AT_ONCE = 16
_FILES_A_TASK = 64


def located(place: Path) -> tuple[str, FileSystem, str]:
    """The absolute path or URI of a place, its file system, and the path in that."""
    uri = os.fspath(place)
    if "://" in uri:
        return (uri, *pyarrow.fs.FileSystem.from_uri(uri))
    return os.path.abspath(uri), pyarrow.fs.LocalFileSystem(), os.path.abspath(uri)


def opened(file: str) -> pyarrow.parquet.ParquetFile:
    _, system, path = located(file)
    try:
        return pyarrow.parquet.ParquetFile(path, filesystem=system)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise OdinOSError(f"{file} cannot be read as Parquet ({error})") from error


def row_groups(files: list[str]) -> list[tuple[str, int, int]]:
    """The row groups of files: file, number, rows."""
    groups = []
    for file in files:
        with opened(file) as table:
            sizes = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
        groups += [(file, i, size) for i, size in enumerate(sizes) if size]
    return groups


def spread(task: Callable[..., list[Any]], items: list[str], *arguments: Any) -> list[Any]:
    """What a task gives for all items, in their order; many are spread over the cluster."""
    chunks = [items[i : i + _FILES_A_TASK] for i in range(0, len(items), _FILES_A_TASK)]
    if len(chunks) <= 1:
        return [entry for chunk in chunks for entry in task(chunk, *arguments)]
    # They wait for files: no CPU is kept from the actors.
    remote = ray.remote(num_cpus=0)(task)
    found = ray.get([remote.remote(chunk, *arguments) for chunk in chunks])
    return [entry for chunk in found for entry in chunk]


def cpus() -> int:
    """Of the cluster, which is started or joined where there is none yet."""
    if not ray.is_initialized():
        ray.init()
    untyped: Any = ray
    return int(untyped.cluster_resources().get("CPU", 1))


def listed(paths: Sequence[Path]) -> tuple[list[str], bool]:
    """The files at all paths, each once, and whether they are images."""
    files = list(dict.fromkeys(file for path in paths for file in files_at(os.fspath(path))))
    tables = [file for file in files if file.endswith(".parquet")]
    where = ", ".join(map(str, paths[:3]))
    if not files:
        raise OdinValueError(f"{where}: there is no image file and no Parquet file")
    if tables and len(tables) < len(files):
        raise OdinValueError(f"{where}: there are image files and Parquet files; name either")
    for file in files:
        if any("\ud800" <= character <= "\udfff" for character in file):
            raise OdinValueError(f"{file!r} is no UTF-8 and cannot be written as text; rename it")
    return files, not tables


def files_at(path: str) -> Iterator[str]:
    """The files at a path, in the order of their names."""
    if "://" in path:
        system, inner = pyarrow.fs.FileSystem.from_uri(path)
        scheme = path[: path.index("://") + 3]
        info = system.get_file_info(inner)
        if info.type == pyarrow.fs.FileType.Directory:
            below = system.get_file_info(pyarrow.fs.FileSelector(inner, recursive=True))
            yield from (scheme + name for name in sorted(i.path for i in below) if is_input(name))
        elif info.type == pyarrow.fs.FileType.NotFound:
            raise OdinOSError(f"{path} is not there")
        else:
            yield path
        return
    found = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        raise OdinOSError(f"{path} is not there")
    for each in found:
        if os.path.isdir(each):
            inside = (os.path.join(at, name) for at, _, names in os.walk(each) for name in names)
            yield from sorted(os.path.abspath(name) for name in inside if is_input(name))
        else:
            yield os.path.abspath(each)


def is_input(path: str) -> bool:
    name = os.path.basename(path).lower()
    return name.endswith((*_IMAGES, ".parquet")) and not name.startswith((".", "_"))


def fetched(images: Any) -> Any:
    """The same with the content of each file in place of its URI, or the error that came instead."""
    if not any(isinstance(image, str) and "://" in image for image in images):
        return images
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
        return list(pool.map(content, images))


def content(image: Any) -> Any:
    if not isinstance(image, str) or "://" not in image:
        return image
    try:
        system, path = pyarrow.fs.FileSystem.from_uri(image)
        with system.open_input_file(path) as file:
            return file.read()
    except (pyarrow.ArrowException, OSError) as error:
        return OdinOSError(f"cannot open {image}: {error}")
