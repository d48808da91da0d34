"""schemathesis makes requests from /openapi.json, right and wrong ones, and finds no answer that the document does not
allow."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import FOLDER, Service


# Bytes that are an image, and names that are there, cannot be told in a schema: what is refused may fit it.
CHECKS = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]


@pytest.mark.parametrize("token", [None, "s3cret-token"], ids=["open", "guarded"])
def test_schemathesis_finds_nothing(token, long):
    options = []
    if token:
        (FOLDER / "token-openapi").write_text(token)
        options = ["--token-file", FOLDER / "token-openapi"]
    with Service(options=options) as service:
        program = Path(sys.executable).parent / "schemathesis"
        # Every value that is just within and just without, once; where there is a token, a few of all.
        phases = "examples,coverage,fuzzing" if long or not token else "examples,fuzzing"
        examples = 1000 if long else 5 if token else 10
        command = [program, "run", service.url + "/openapi.json", *CHECKS, "--phases", phases, "--max-examples", str(examples)]
        command += ["--seed", "7", "--no-color", "--generation-database", "none"]
        if token:
            command += ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        print(done.stdout[-600:])


def test_the_document_names_every_route(service):
    """And no other: what the document lists is there, for its methods alone."""
    document = service.ask("/openapi.json").json
    paths = document["paths"]
    for path, operations in paths.items():
        real = path.replace("{name}", "detector").replace("{version}", service.ask("/info").json["detectors"][0]["version"])
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"]:
            status = service.ask(real, b"" if method != "GET" else None, method=method).status
            assert (status != 405) == (method.lower() in operations), (method, path, status)
    assert {"/v1/score", "/v1/explore", "/info", "/metrics", "/v2", "/v2/models/{name}/infer"} <= set(paths)


def test_open_routes_are_open_in_the_document():
    (FOLDER / "token-openapi").write_text("s3cret-token")
    with Service(options=["--token-file", FOLDER / "token-openapi"]) as service:
        document = service.ask("/openapi.json", headers={"Authorization": "Bearer s3cret-token"}).json
        for path, operations in document["paths"].items():
            for operation in operations.values():
                needed = operation.get("security", document.get("security"))
                assert bool(needed) == (not path.startswith("/v2/health/")), path
