"""PyTorch modules as ONNX files in memory."""

from __future__ import annotations

import copy
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from .errors import OdinValueError

__all__ = ["onnx_of"]


def onnx_of(module: Any, example_input: Any) -> bytes:
    """The ONNX file of a module in evaluation mode, for batches of any size.

    Args:
        module: A ``torch.nn.Module``, on any device, of any floating-point type, in any mode; it is
            left as it was. One that was compiled, or that is spread over devices, is unwrapped.
        example_input: A batch of one or more images, ``(N, C, H, W)``; only its shape matters.

    Raises:
        OdinValueError: PyTorch or what its exporter needs is not installed, an argument is of another
            type, or the module cannot be exported.
    """
    try:
        import torch
    except ImportError as error:
        raise OdinValueError("from_torch needs PyTorch: pip install torch onnxscript") from error

    module = _unwrapped(module)
    if not isinstance(module, torch.nn.Module):
        raise OdinValueError(f"{type(module).__name__} is no torch.nn.Module")
    if not isinstance(example_input, torch.Tensor) or example_input.ndim < 2 or not len(example_input):
        raise OdinValueError("example_input is a batch: a tensor whose first axis is the images")
    module, device = _in_float32(torch, module)
    # A batch of one is taken for a constant by the exporter.
    example = torch.cat([example_input[:1].detach()] * 2).to(device, torch.float32)
    with _evaluating(module):
        return _exported(torch, module, example)


def _unwrapped(module: Any) -> Any:
    """The module inside of ``torch.compile`` and ``DataParallel``."""
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif type(module).__name__ in ("DataParallel", "DistributedDataParallel"):
            module = module.module
        else:
            return module


def _in_float32(torch: Any, module: Any) -> tuple[Any, Any]:
    """The module, or a copy of it where it is of another type, and its device."""
    values = [*module.parameters(), *module.buffers()]
    device = values[0].device if values else torch.device("cpu")
    if any(value.is_floating_point() and value.dtype != torch.float32 for value in values):
        module = copy.deepcopy(module).float()
    return module, device


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode; each part, which may be in a mode of its own, is then in its own again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _exported(torch: Any, module: Any, example: Any) -> bytes:
    """By the exporter of today where its packages are there, else or on failure by TorchScript."""
    exporters: list[Callable[[Any, Any, Any], bytes]] = [_by_torchscript]
    has_packages = all(find_spec(name) is not None for name in ("onnx", "onnxscript"))
    if has_packages:
        exporters.insert(0, _by_dynamo)
    failures = []
    for exporter in exporters:
        try:
            with warnings.catch_warnings():
                # They are about the exporters themselves, and nothing that a caller could act on.
                warnings.simplefilter("ignore")
                return exporter(torch, module, example)
        except Exception as error:  # PyTorch's exporters raise what they like.
            failures.append(_reason(error))
    advice = "" if has_packages else "; PyTorch's exporter needs more: pip install onnxscript"
    raise OdinValueError(f"PyTorch cannot export the module to ONNX ({'; '.join(failures)}){advice}")


def _by_dynamo(torch: Any, module: Any, example: Any) -> bytes:
    program = torch.onnx.export(
        module,
        (example,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    serialized: bytes = program.model_proto.SerializeToString()
    return serialized


def _by_torchscript(torch: Any, module: Any, example: Any) -> bytes:
    file = io.BytesIO()
    torch.onnx.export(
        module,
        (example,),
        file,
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        dynamo=False,
    )
    return file.getvalue()


def _reason(error: BaseException) -> str:
    """The first line of what an error began with; PyTorch puts advice in colours around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    plain = re.sub("\x1b\\[[0-9;]*m", "", str(error))
    line = next((line.strip() for line in plain.splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {line}"
