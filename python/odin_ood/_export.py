"""PyTorch modules as ONNX files in memory."""

from __future__ import annotations

import io
from typing import Any

from .errors import OdinValueError

__all__ = ["onnx_of"]


def onnx_of(module: Any, example_input: Any) -> bytes:
    """The ONNX file of a module in evaluation mode, for batches of any size."""
    import torch

    if not isinstance(module, torch.nn.Module):
        raise OdinValueError(f"{type(module).__name__} is no torch.nn.Module")
    if not isinstance(example_input, torch.Tensor) or example_input.ndim < 2:
        raise OdinValueError("example_input is a batch: a tensor whose first axis is the images")
    # A batch of one is taken for a constant by the exporter.
    example = torch.cat([example_input[:1]] * 2).detach()
    was_training = module.training
    module.eval()
    try:
        return _exported(torch, module, example)
    finally:
        module.train(was_training)


def _exported(torch: Any, module: Any, example: Any) -> bytes:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        file = io.BytesIO()
        axes = {"images": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(
            module,
            (example,),
            file,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes=axes,
            dynamo=False,
        )
        return file.getvalue()
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
