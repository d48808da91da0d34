"""Compiles crates/odin-serve/proto/open_inference.proto to the descriptor beside it.

    pip install grpcio-tools && python scripts/inference_descriptor.py
"""

from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).resolve().parents[1] / "crates" / "odin-serve" / "proto"
code = protoc.main(
    [
        "protoc",
        f"--proto_path={FOLDER}",
        f"--descriptor_set_out={FOLDER / 'descriptor.bin'}",
        str(FOLDER / "open_inference.proto"),
    ]
)
raise SystemExit(code)
