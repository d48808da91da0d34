"""The Open Inference Protocol by the client of NVIDIA Triton, over HTTP and gRPC, and the plain API: whatever the
route, form, batch and concurrency, answers are those of `odin score`, bit for bit."""

import asyncio
import base64
import gzip
import json
import signal
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.grpc.service_pb2 as pb
import tritonclient.http as over_http
from bodies import INFER, JSON, base64_of, bytes_tensor, form, form_headers, images_json, infer
from support import DETECTOR, RESIZING, Service, arrays, expected, pngs
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import InferenceServerException

OUTPUTS = ["prediction", "class", "odin", "energy", "vim", "percentile", "p_value", "is_in_distribution"]
COUNT = 48


def columns(detector=DETECTOR, start=0, count=COUNT):
    """What each output must be, by `odin score`."""
    rows = expected(detector)[start : start + count]
    columns = {}
    for name in OUTPUTS:
        if name == "class":
            # Without names of classes: the number.
            columns[name] = [(row["class"] or row["prediction"]).encode() for row in rows]
        elif name == "prediction":
            columns[name] = [int(row[name]) for row in rows]
        elif name == "is_in_distribution":
            columns[name] = [row[name] == "true" for row in rows]
        elif name in rows[0]:
            columns[name] = [float(row[name]) for row in rows]
    return columns


def check(result, names=None, start=0, count=COUNT):
    """All outputs of a result of the client; equal, not close."""
    wanted = columns(start=start, count=count)
    for name in names or OUTPUTS:
        got = result.as_numpy(name)
        assert got is not None, name
        assert got.shape == (count,), (name, got.shape)
        got = [value.encode() if isinstance(value, str) else value for value in got.tolist()]
        assert got == wanted[name], name
    for name in set(OUTPUTS) - set(names or OUTPUTS):
        assert result.as_numpy(name) is None, name


def tensors(kind, start=0, count=COUNT):
    """Name, datatype and values of an input."""
    pixels = arrays()[start : start + count]
    if kind == "BYTES":
        return "images", np.array(pngs()[start : start + count], dtype=object)
    if kind == "UINT8":
        return "pixels_uint8", np.ascontiguousarray(pixels[:, :, :, None])
    return "pixels_float32", (pixels[:, None] / np.float32(255)).astype(np.float32)


def http_input(kind, binary, **which):
    name, values = tensors(kind, **which)
    tensor = over_http.InferInput(name, list(values.shape), kind)
    if kind == "BYTES" and not binary:
        values = np.array([base64.b64encode(value).decode() for value in values], dtype=object)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def http_outputs(binary, names=OUTPUTS):
    return [over_http.InferRequestedOutput(name, binary_data=binary) for name in names]


def grpc_input(kind, **which):
    name, values = tensors(kind, **which)
    tensor = over_grpc.InferInput(name, list(values.shape), kind)
    tensor.set_data_from_numpy(values)
    return tensor


@pytest.fixture(scope="module")
def http(service):
    with over_http.InferenceServerClient(service.address, concurrency=8) as client:
        yield client


@pytest.fixture(scope="module")
def rpc(service):
    with over_grpc.InferenceServerClient(service.address) as client:
        yield client


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request):
    return request.getfixturevalue({"http": "http", "grpc": "rpc"}[request.param])


@pytest.fixture(scope="module")
def stub(service):
    with grpc.insecure_channel(service.address) as channel:
        yield GRPCInferenceServiceStub(channel)


def plain(message):
    """Metadata as JSON, whichever client gave it."""
    from google.protobuf.json_format import MessageToDict

    return message if isinstance(message, dict) else MessageToDict(message, preserving_proto_field_name=True)


# Metadata, health, and what there is not.


def test_metadata_and_readiness(client, service):
    version = service.ask("/info").json["detectors"][0]["version"]
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("detector") and client.is_model_ready("detector", version)
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("detector", "000000000000")
    server = plain(client.get_server_metadata())
    assert server["name"] == "odin" and server["version"] == service.ask("/info").json["version"]
    for asked in [[], [version]]:
        model = plain(client.get_model_metadata("detector", *asked))
        assert model["name"] == "detector" and model["versions"] == [version] and model["platform"]
        kinds = [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in model["inputs"]]
        assert kinds == [
            ("images", "BYTES", [-1]),
            ("pixels_uint8", "UINT8", [-1, 8, 8, 1]),
            ("pixels_float32", "FP32", [-1, 1, 8, 8]),
        ]
        assert [t["name"] for t in model["outputs"]] == OUTPUTS
        assert all([int(n) for n in t["shape"]] == [-1] for t in model["outputs"])


ABSENT = {
    "metadata of another": lambda c: c.get_model_metadata("other"),
    "metadata of another version": lambda c: c.get_model_metadata("detector", "000000000000"),
    "configuration": lambda c: c.get_model_config("detector"),
    "statistics": lambda c: c.get_inference_statistics("detector"),
    "all statistics": lambda c: c.get_inference_statistics(),
    "index": lambda c: c.get_model_repository_index(),
    "load": lambda c: c.load_model("detector"),
    "unload": lambda c: c.unload_model("detector"),
    "trace": lambda c: c.get_trace_settings(),
    "log": lambda c: c.get_log_settings(),
    "shared memory": lambda c: c.get_system_shared_memory_status(),
}


@pytest.mark.parametrize("what", ABSENT)
def test_what_is_absent_is_the_clients_own_exception(client, what):
    with pytest.raises(InferenceServerException) as caught:
        ABSENT[what](client)
    missing = {"404"} if client.__module__.startswith("tritonclient.http") else {"StatusCode.NOT_FOUND", "StatusCode.UNIMPLEMENTED"}
    assert caught.value.status() in missing, (caught.value.status(), caught.value.message())
    assert caught.value.message()


# Scores.


@pytest.mark.parametrize("compressed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("outputs", ["all", "all as JSON", "named", "named as JSON"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("kind", ["BYTES", "UINT8", "FP32"])
def test_http(http, kind, binary, outputs, compressed):
    names = OUTPUTS if "all" in outputs else ["vim", "odin", "class"]
    wanted = None if outputs == "all" else http_outputs("JSON" not in outputs, names)
    result = http.infer(
        "detector",
        [http_input(kind, binary)],
        outputs=wanted,
        request_id="seven",
        request_compression_algorithm=compressed,
        response_compression_algorithm=compressed,
    )
    check(result, names)
    response = result.get_response()
    assert response["model_name"] == "detector" and response["id"] == "seven"
    assert ("data" in response["outputs"][0]) == ("JSON" in outputs)


@pytest.mark.parametrize("compressed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("names", [None, ["vim", "odin", "class"]], ids=["all", "named"])
@pytest.mark.parametrize("kind", ["BYTES", "UINT8", "FP32"])
def test_grpc(rpc, kind, names, compressed):
    outputs = names and [over_grpc.InferRequestedOutput(name) for name in names]
    result = rpc.infer("detector", [grpc_input(kind)], outputs=outputs, request_id="seven", compression_algorithm=compressed)
    check(result, names)
    response = result.get_response()
    assert response.model_name == "detector" and response.id == "seven" and response.model_version


CONTENTS = {
    "BYTES": lambda values: pb.InferTensorContents(bytes_contents=values.tolist()),
    "UINT8": lambda values: pb.InferTensorContents(uint_contents=values.ravel().tolist()),
    "FP32": lambda values: pb.InferTensorContents(fp32_contents=values.ravel().tolist()),
}


def message(kind, typed=False, model="detector", **more):
    """A request of gRPC, with its values typed or raw."""
    name, values = tensors(kind)
    tensor = pb.ModelInferRequest.InferInputTensor(name=name, datatype=kind, shape=values.shape)
    if typed:
        tensor.contents.MergeFrom(CONTENTS[kind](values))
        return pb.ModelInferRequest(model_name=model, inputs=[tensor], **more)
    raw = bytes_tensor(values.tolist()) if kind == "BYTES" else values.tobytes()
    return pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[raw], **more)


class Typed:
    """A result of which the client of Triton reads only raw tensors."""

    FIELDS = {"INT64": "int64_contents", "FP64": "fp64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}

    def __init__(self, response):
        assert not response.raw_output_contents
        self.outputs = {output.name: output for output in response.outputs}

    def as_numpy(self, name):
        output = self.outputs[name]
        kind = object if output.datatype == "BYTES" else None
        return np.array(getattr(output.contents, self.FIELDS[output.datatype]), kind).reshape(output.shape)


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "raw"])
@pytest.mark.parametrize("kind", ["BYTES", "UINT8", "FP32"])
def test_grpc_values_typed_and_raw(stub, kind, typed):
    """Outputs come as inputs do."""
    response = stub.ModelInfer(message(kind, typed))
    check(Typed(response) if typed else over_grpc.InferResult(response))


@pytest.mark.parametrize("kind", ["BYTES", "UINT8", "FP32"])
def test_versions(http, rpc, service, kind):
    version = service.ask("/info").json["detectors"][0]["version"]
    check(http.infer("detector", [http_input(kind, True)], model_version=version))
    check(rpc.infer("detector", [grpc_input(kind)], model_version=version))
    for client, tensor in [(http, http_input(kind, True)), (rpc, grpc_input(kind))]:
        for model, asked in [("detector", "000000000000"), ("other", ""), ("other", version)]:
            with pytest.raises(InferenceServerException) as caught:
                client.infer(model, [tensor], model_version=asked)
            assert caught.value.status() in {"404", "StatusCode.NOT_FOUND"}


def plain_scores(results):
    return [result["scores"]["odin"] for result in results]


PLAIN = {
    "form": lambda images: (form([(f"{i}.png", image) for i, image in enumerate(images)]), form_headers()),
    "JSON": lambda images: (images_json(images), JSON),
    "JSON in gzip": lambda images: (gzip.compress(images_json(images)), {**JSON, "Content-Encoding": "gzip"}),
    "JSON in deflate": lambda images: (zlib.compress(images_json(images)), {**JSON, "Content-Encoding": "deflate"}),
}


@pytest.mark.parametrize("way", PLAIN)
def test_plain(service, way):
    body, headers = PLAIN[way](pngs()[:COUNT])
    results = service.ask("/v1/score", body, headers).json["results"]
    wanted = columns()
    for name in ["odin", "energy", "vim"]:
        assert [result["scores"][name] for result in results] == wanted[name]
    for name in ["prediction", "percentile", "p_value", "is_in_distribution"]:
        assert [result[name] for result in results] == wanted[name]
    assert all(result["decides_by"] == "odin" and result["score"] == result["scores"]["odin"] for result in results)
    if way == "form":
        assert [result["name"] for result in results] == [f"{i}.png" for i in range(COUNT)]


@pytest.mark.parametrize("options", [[], ["--batch-size", "1"], ["--batch-size", "7", "--batch-wait", "5"], ["--threads", "2"], ["--threads", "3"]], ids=" ".join)
def test_all_at_once(options):
    """Clients of every kind at the same time, whatever the batches: the same bits."""
    with Service(DETECTOR, RESIZING, options=options) as service:
        wanted = columns(count=100)
        second = columns(RESIZING, count=100)
        rpc = over_grpc.InferenceServerClient(service.address)

        def ask(number):
            start, count = number * 7 % 60, 1 + number % 24
            kind = ["BYTES", "UINT8", "FP32"][number % 3]
            way = number % 5
            odin = wanted["odin"][start : start + count]
            if way == 0:
                # This client is for one thread.
                with over_http.InferenceServerClient(service.address) as http:
                    result = http.infer("detector", [http_input(kind, number % 2 == 0, start=start, count=count)])
                return result.as_numpy("odin").tolist() == odin
            if way == 1:
                result = rpc.infer("detector", [grpc_input(kind, start=start, count=count)])
                return result.as_numpy("odin").tolist() == odin
            if way == 2:
                answer = service.score(pngs()[start], "?detector=detector")
                return plain_scores(answer.json["results"]) == odin[:1]
            if way == 3:
                body = images_json(pngs()[start : start + count])
                answer = service.ask("/v1/score?detector=resizing", body, JSON)
                return plain_scores(answer.json["results"]) == second["odin"][start : start + count]
            headers, body = infer(shape=[count], data=base64_of(pngs()[start : start + count]), outputs=[{"name": "odin"}])
            return service.ask(INFER, body, headers).json["outputs"][0]["data"] == odin

        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(ask, range(20)))
        rpc.close()


def test_the_asynchronous_clients(service):
    import tritonclient.grpc.aio as grpc_aio
    import tritonclient.http.aio as http_aio

    async def all_of_them():
        async with http_aio.InferenceServerClient(service.address) as http:
            results = await asyncio.gather(*[http.infer("detector", [http_input(k, True)]) for k in ["BYTES", "UINT8", "FP32"] * 3])
        async with grpc_aio.InferenceServerClient(service.address) as rpc:
            results += await asyncio.gather(*[rpc.infer("detector", [grpc_input(k)]) for k in ["BYTES", "UINT8", "FP32"] * 3])
        return results

    for result in asyncio.run(all_of_them()):
        check(result)


# gRPC beyond the client.


def test_health_of_grpc(service):
    from grpc_health.v1 import health_pb2 as health
    from grpc_health.v1 import health_pb2_grpc

    with grpc.insecure_channel(service.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ["", "inference.GRPCInferenceService"]:
            assert stub.Check(health.HealthCheckRequest(service=name)).status == health.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health.HealthCheckRequest(service="other"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watching = stub.Watch(health.HealthCheckRequest(service=""))
        assert next(watching).status == health.HealthCheckResponse.SERVING
        watching.cancel()


def test_reflection_of_grpc(service):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(service.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
        found = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
        methods = {method.name for method in found.methods}
        standard = {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"}
        assert standard <= methods, methods


def refused(case, **more):
    base = dict(model_name="detector", inputs=[tensor_of()], raw_input_contents=[bytes_tensor(pngs()[:1])])
    return pb.ModelInferRequest(**{**base, **case, **more})


def tensor_of(name="images", datatype="BYTES", shape=(1,), **contents):
    tensor = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    return tensor


INVALID = grpc.StatusCode.INVALID_ARGUMENT
TOO_MANY = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED}
PIXELS = dict(name="pixels_uint8", datatype="UINT8", shape=(1, 8, 8, 1))
REFUSED = {
    "another model": (dict(model_name="other"), grpc.StatusCode.NOT_FOUND),
    "no model": (dict(model_name=""), {grpc.StatusCode.NOT_FOUND, INVALID}),
    "no inputs": (dict(inputs=[], raw_input_contents=[]), INVALID),
    "two inputs": (dict(inputs=[tensor_of()] * 2, raw_input_contents=[bytes_tensor(pngs()[:1])] * 2), INVALID),
    "more raw contents than inputs": (dict(raw_input_contents=[b""] * 2), INVALID),
    "no contents": (dict(raw_input_contents=[]), INVALID),
    "contents twice": (dict(inputs=[tensor_of(bytes_contents=pngs()[:1])]), INVALID),
    "contents of another type": (dict(inputs=[tensor_of(fp32_contents=[1.0])], raw_input_contents=[]), INVALID),
    "contents of two types": (dict(inputs=[tensor_of(bytes_contents=pngs()[:1], fp32_contents=[1.0])], raw_input_contents=[]), {INVALID, None}),
    "another input": (dict(inputs=[tensor_of("other")]), INVALID),
    "another datatype": (dict(inputs=[tensor_of(datatype="FP32")]), INVALID),
    "no datatype": (dict(inputs=[tensor_of(datatype="FP128")]), INVALID),
    "another output": (dict(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="other")]), INVALID),
    "a negative shape": (dict(inputs=[tensor_of(shape=[-1])]), INVALID),
    "a huge shape": (dict(inputs=[tensor_of(shape=[2**62, 4])]), INVALID),
    "another count": (dict(inputs=[tensor_of(shape=[2])]), INVALID),
    "no image": (dict(raw_input_contents=[bytes_tensor([b"no image"])]), INVALID),
    "an element longer than the rest": (dict(raw_input_contents=[b"\xff\xff\xff\xff"]), INVALID),
    "too many images": (dict(inputs=[tensor_of(shape=[129])], raw_input_contents=[bytes_tensor(pngs()[:1] * 129)]), TOO_MANY),
    "too many elements": (dict(inputs=[tensor_of(shape=[10**6])], raw_input_contents=[bytes(4 * 10**6)]), TOO_MANY),
    "pixels of 256": (dict(inputs=[tensor_of(**PIXELS, uint_contents=[256] * 64)], raw_input_contents=[]), INVALID),
    "pixels of another size": (dict(inputs=[tensor_of("pixels_uint8", "UINT8", [1, 9, 9, 1])], raw_input_contents=[bytes(81)]), INVALID),
    "too few pixels": (dict(inputs=[tensor_of(**PIXELS)], raw_input_contents=[bytes(63)]), INVALID),
    "pixels of NaN": (dict(inputs=[tensor_of("pixels_float32", "FP32", [1, 1, 8, 8], fp32_contents=[float("nan")] * 64)], raw_input_contents=[]), INVALID),
    "too large": (dict(raw_input_contents=[bytes(33 << 20)]), TOO_MANY),
}


@pytest.mark.parametrize("case", REFUSED)
def test_grpc_refusals(stub, case):
    change, wanted = REFUSED[case]
    wanted = wanted if isinstance(wanted, set) else {wanted}
    try:
        stub.ModelInfer(refused(change))
        got = None
    except grpc.RpcError as error:
        got = error.code()
        assert error.details()
    assert got in wanted, got


def test_grpc_with_a_token():
    from support import FOLDER

    (FOLDER / "token-grpc").write_text("s3cret-token")
    with Service(options=["--token-file", FOLDER / "token-grpc"]) as service:
        with over_grpc.InferenceServerClient(service.address) as client:
            for headers in [{}, {"authorization": "Bearer other"}]:
                with pytest.raises(InferenceServerException) as caught:
                    client.infer("detector", [grpc_input("BYTES")], headers=headers)
                assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
            check(client.infer("detector", [grpc_input("BYTES")], headers={"authorization": "Bearer s3cret-token"}))
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(service.address) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_deadlines_and_full_queues():
    with Service(options=["--max-queue", "8", "--max-images", "8"]) as service:
        with over_grpc.InferenceServerClient(service.address) as client:

            def ask(_):
                try:
                    client.infer("detector", [grpc_input("BYTES", count=8)])
                    return None
                except InferenceServerException as error:
                    return error.status()

            with ThreadPoolExecutor(8) as pool:
                got = set(pool.map(ask, range(24)))
            assert got == {None, "StatusCode.RESOURCE_EXHAUSTED"}, got
            # A fast machine may answer within the first.
            for timeout in (0.0005, 0.0002, 0.0001, 0.00001):
                try:
                    client.infer("detector", [grpc_input("BYTES", count=8)], client_timeout=timeout)
                except InferenceServerException as error:
                    assert error.status() == "StatusCode.DEADLINE_EXCEEDED"
                    break
            else:
                pytest.fail("every deadline was met")
            # Nobody waits for these any more: there is room again once the batch at hand is done.
            until = time.monotonic() + 5
            while service.metric("odin_queue_images") > 0 and time.monotonic() < until:
                time.sleep(0.01)
            check(client.infer("detector", [grpc_input("BYTES", count=8)]), count=8)


def test_json_of_the_protocol(service):
    """What the specification says of JSON, without a client."""
    headers, body = infer("pixels_uint8", "UINT8", [2, 8, 8, 1], data=arrays()[:2].tolist(), id="a", outputs=[{"name": "odin"}])
    answer = service.ask(INFER, body, headers)
    said = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert set(said) == {"model_name", "model_version", "id", "outputs"}
    assert said["outputs"] == [{"name": "odin", "datatype": "FP64", "shape": [2], "data": columns(count=2)["odin"]}]
    # A length of the head without anything binary is right, too.
    whole = {**headers, "Inference-Header-Content-Length": str(len(body))}
    assert service.ask(INFER, body, whole).json["outputs"] == said["outputs"]
    headers, body = infer("pixels_uint8", "UINT8", [2, 8, 8, 1], data=arrays()[:2].tolist())
    said = service.ask(INFER, body, headers).json
    assert "id" not in said and [output["name"] for output in said["outputs"]] == OUTPUTS
    assert json.loads(json.dumps(said)) == said


def varint(number):
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number, data):
    """A field of protobuf with a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


MODEL = field(1, b"detector")
MIB = 4
HALF = (MIB << 20) // 2
GRPC_BOMBS = {
    "inputs": MODEL + field(5, b"") * HALF,
    "outputs": MODEL + field(6, b"") * HALF,
    "raw contents": MODEL + field(7, b"") * HALF,
    "elements": MODEL + field(5, field(1, b"images") + field(2, b"BYTES") + field(5, field(8, b"") * HALF)),
    "a shape": MODEL + field(5, field(1, b"images") + field(2, b"BYTES") + field(3, bytes(MIB << 20))),
}


def test_messages_of_grpc_take_little_more_memory_than_their_bytes():
    """Messages of 4 MiB, of which gzip makes a few kB, of as many elements as there can be: refused with less than 20
    times their size."""
    over = {}
    for name, data in GRPC_BOMBS.items():
        with Service() as service, grpc.insecure_channel(service.address) as channel:
            service.score(pngs()[0])
            base = service.rss()
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", lambda data: data, lambda data: data)
            with pytest.raises(grpc.RpcError) as caught:
                call(data, compression=grpc.Compression.Gzip, timeout=60)
            assert caught.value.code() in TOO_MANY
            more = service.peak() - base
            print(f"{name}: {more:.0f} MiB more")
            if more > 20 * MIB:
                over[name] = more
    assert not over, over


BAD_MESSAGES = {
    "rubbish": b"\xff" * 1000,
    "groups within each other": b"\x0b" * 100_000,
    "a field that is longer than the message": b"\x0a\xff\xff\xff\xff\x0f",
    "a bomb of gzip": bytes(128 << 20),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_messages_that_are_none(service, case):
    with grpc.insecure_channel(service.address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", lambda data: data, lambda data: data)
        with pytest.raises(grpc.RpcError) as caught:
            call(BAD_MESSAGES[case], compression=grpc.Compression.Gzip, timeout=60)
        # The library of gRPC says INTERNAL of what is no message.
        assert caught.value.code() in TOO_MANY | {grpc.StatusCode.INTERNAL}
    assert service.is_ready()


@pytest.mark.parametrize("method", ["ModelStreamInfer", "RepositoryIndex", "None"])
def test_methods_of_grpc_that_are_not_there(service, method):
    with grpc.insecure_channel(service.address) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", lambda data: data, lambda data: data)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_at_the_end():
    """SIGTERM while calls are in flight and a channel is idle: calls are answered, who watches is told, it ends."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with Service() as service, grpc.insecure_channel(service.address) as idle:
        watching = health_pb2_grpc.HealthStub(idle).Watch(health_pb2.HealthCheckRequest())
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        with over_grpc.InferenceServerClient(service.address) as client, ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(client.infer, "detector", [grpc_input("BYTES", count=100)]) for _ in range(4)]
            until = time.monotonic() + 10
            while service.metric("odin_queue_images") == 0 and time.monotonic() < until:
                time.sleep(0.005)
            service.signal(signal.SIGTERM)
            for one in asked:
                check(one.result(), count=100)
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        code, took = service.stop()
        assert code == 0 and took < 5, (code, took)
