"""What whoever runs the service relies on: tokens, TLS, reloads, ends, limits, metrics."""

import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bodies import JSON, base64_of, form, form_headers, images_json, infer
from support import DEMO, DETECTOR, FOLDER, RESIZING, Service, arrays, encoded, expected, odin, pngs, read_all, request, statuses

ONE = pngs()[0]
PNG = {"Content-Type": "image/png"}
OPEN = ["/", "/page.css", "/page.js", "/favicon.svg", "/v2/health/live", "/v2/health/ready"]
CLOSED = ["/info", "/metrics", "/openapi.json", "/v2", "/v2/models/detector", "/v2/models/detector/ready", "/nothing", "//", "/v2/health/live/"]


@pytest.fixture(scope="module")
def guarded():
    (FOLDER / "token").write_text("s3cret-token\n")
    with Service(options=["--token-file", FOLDER / "token"]) as service:
        yield service


@pytest.mark.parametrize("path", OPEN)
def test_open_routes_need_no_token(guarded, path):
    assert guarded.ask(path).status == 200


@pytest.mark.parametrize("path", CLOSED)
def test_other_routes_need_the_token(guarded, path):
    answer = guarded.ask(path)
    assert answer.status == 401, answer
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "token" in answer.error


@pytest.mark.parametrize(
    "given, status",
    {
        "Bearer s3cret-token": 200,
        "bearer s3cret-token": 200,
        "Bearer  s3cret-token ": 200,
        "Bearer s3cret": 401,
        "Bearer s3cret-token2": 401,
        "Bearer": 401,
        "Bearer ": 401,
        "Basic s3cret-token": 401,
        "s3cret-token": 401,
        "Bearer \xff": 401,
        "Bearer " + "a" * 8000: 401,
    }.items(),
)
def test_only_the_token_opens(guarded, given, status):
    assert guarded.score(ONE, Authorization=given).status == status
    assert guarded.ask("/info", headers={"Authorization": given}).status == status
    assert "s3cret" not in guarded.log


def test_the_token_is_asked_for_before_the_body_is_read(guarded):
    """Whoever has none cannot fill the memory for bodies."""
    with guarded.connect(4) as connection:
        connection.sendall(request("/v1/score", b"", {**PNG, "Expect": "100-continue"}, length=1 << 20))
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")


def test_tls(long):
    certificate, key = FOLDER / "c.pem", FOLDER / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    with Service(options=["--tls-cert", certificate, "--tls-key", key]) as service:
        service.context.load_verify_locations(certificate)
        service.context.check_hostname = True
        import ssl

        service.context.verify_mode = ssl.CERT_REQUIRED
        answer = service.score(ONE)
        assert answer.status == 200 and repr(answer.json["results"][0]["score"]) == expected()[0]["odin"]
        # Plain HTTP, rubbish and silence on the same port end without harm.
        for data in [request("/info", method="GET"), b"\x16\x03\x01\xff\xff" + bytes(70_000), *[b""] * long]:
            with socket.create_connection((service.host, service.port), timeout=15) as connection:
                connection.sendall(data)
                begun = time.monotonic()
                read_all(connection)
                assert time.monotonic() - begun < 14
        assert service.is_ready()
        # With HTTP/2, where the client speaks it.
        import ssl

        context = ssl.create_default_context(cafile=certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        with context.wrap_socket(socket.create_connection((service.host, service.port)), server_hostname="127.0.0.1") as connection:
            assert connection.selected_alpn_protocol() == "h2"


def fresh(name="own", source=DETECTOR):
    """A folder with a copy of a detector and its statistics."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in FOLDER.glob("*.safetensors"):
        shutil.copy(file, folder)
    return shutil.copy(source, folder / "detector.toml")


def replace(target, source):
    """As a deployment does it: a new file takes the place of the old one at once."""
    beside = target.with_suffix(".new")
    shutil.copy(source, beside)
    beside.replace(target)


def test_reloads_drop_no_request():
    """Under load the detector is replaced ten times by another and back: every request is answered, with the scores of
    the version that the answer names."""
    target = fresh()
    other = FOLDER / "other.toml"
    calibrate = ["calibrate", "--nn", DEMO / "model.safetensors", "--in-dataset", DEMO / "in.npy"]
    odin(*calibrate, "--temperature", "2", "--magnitude", "0", "-o", other)
    with Service(target) as service:
        first = service.score(ONE).json["detector"]["version"]
        done, problems, answers, versions = threading.Event(), [], [0], set()
        wanted = {}

        def load(place):
            connection = service.connection()
            while not done.is_set():
                try:
                    connection.request("POST", "/v1/score", pngs()[place], PNG)
                    response = connection.getresponse()
                    body = response.read()
                    if response.status != 200:
                        problems.append((response.status, body))
                        continue
                    import json

                    said = json.loads(body)
                    version, score = said["detector"]["version"], said["results"][0]["score"]
                    versions.add(version)
                    if wanted.setdefault((version, place), score) != score:
                        problems.append((version, place, score))
                    answers[0] += 1
                except Exception as error:  # noqa: BLE001
                    problems.append(repr(error))
                    connection = service.connection()

        threads = [threading.Thread(target=load, args=[i]) for i in range(8)]
        for thread in threads:
            thread.start()
        memory = []
        for round_ in range(10):
            replace(target, other if round_ % 2 == 0 else DETECTOR)
            assert service.reload() == "opened anew"
            memory.append(service.rss())
        target.write_text("odin_detector = 1\n")
        said = service.reload()
        assert said.startswith("stay as they were"), said
        assert service.score(ONE).json["detector"]["version"] == first
        target.unlink()
        assert service.reload().startswith("stay as they were")
        assert service.score(ONE).status == 200
        done.set()
        for thread in threads:
            thread.join()
        print(f"{answers[0]} answers, RSS after each reload: " + ", ".join(f"{m:.0f}" for m in memory))
        assert not problems, problems[:3]
        assert len(versions) == 2 and first in versions and answers[0] > 50
        assert repr(wanted[first, 0]) == expected()[0]["odin"]
        assert all(wanted[first, i] != wanted[v, i] for v in versions - {first} for i in range(8) if (v, i) in wanted)
        assert memory[-1] < memory[1] + 24
        # The old version is no more.
        gone = (versions - {first}).pop()
        assert service.ask(f"/v2/models/detector/versions/{gone}/ready").status == 404
        assert service.ask(f"/v2/models/detector/versions/{first}/ready").status == 200


def test_two_detectors(two):
    info = two.ask("/info").json
    assert [one["name"] for one in info["detectors"]] == ["detector", "resizing"]
    answer = two.score(ONE)
    assert answer.status == 400 and "detector" in answer.error
    large = encoded(arrays()[0].repeat(5, 0).repeat(5, 1))
    first, second = two.score(ONE, "?detector=detector"), two.score(ONE, "?detector=resizing")
    assert repr(first.json["results"][0]["score"]) == expected(DETECTOR)[0]["odin"]
    assert repr(second.json["results"][0]["score"]) == expected(RESIZING)[0]["odin"]
    assert two.score(large, "?detector=resizing").status == 200
    assert two.score(large, "?detector=detector").status == 400
    headers, body = infer(data=base64_of([ONE]), outputs=[{"name": "odin"}])
    for name, detector in [("detector", DETECTOR), ("resizing", RESIZING)]:
        answer = two.ask(f"/v2/models/{name}/infer", body, headers).json
        assert answer["model_name"] == name
        assert repr(answer["outputs"][0]["data"][0]) == expected(detector)[0]["odin"]


def test_two_of_the_same_name_are_refused():
    other = fresh("same")
    done = subprocess.run([__import__("support").ODIN, "serve", DETECTOR, other, "--port", "0"], capture_output=True, text=True)
    assert done.returncode != 0 and "two detectors" in done.stderr


def test_requests_in_flight_are_answered_at_the_end():
    """SIGTERM while requests are scored, wait, and are half sent: all are answered, the exit code is 0."""
    with Service() as service:
        many = form([("a", png) for png in pngs()[:100]])
        half = service.connect()
        whole = request("/v1/score", ONE, PNG)
        half.sendall(whole[:-30])
        idle = [service.connection() for _ in range(5)]
        for connection in idle:
            connection.request("GET", "/v2/health/ready")
            connection.getresponse().read()
        silent = [service.connect() for _ in range(3)]
        silent[0].sendall(b"P")
        # Each has been sent but for its end before any is scored: a fast machine would answer the first
        # one before the last one is sent.
        whole_many = request("/v1/score", many, form_headers())
        asked = [service.connect() for _ in range(5)]
        for part in (whole_many[:-30], whole_many[-30:]):
            for connection in asked:
                connection.sendall(part)
        # Or a second, if the machine is so fast that none is seen waiting.
        until = time.monotonic() + 1
        while service.metric("odin_queue_images") == 0 and time.monotonic() < until:
            time.sleep(0.005)
        service.signal(signal.SIGTERM)
        service.wait_for_log("ending")
        with pytest.raises(OSError):
            service.connect(2).close()
        half.sendall(whole[-30:])
        for connection in asked:
            answer = read_all(connection)
            assert statuses(answer) == [200] and b'"error"' not in answer
        assert statuses(read_all(half)) == [200]
        code, took = service.ended()
        print(f"ended in {took:.2f} s")
        assert code == 0 and took < 5, (code, took)


H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WITHOUT_REQUEST = {
    "nothing": b"",
    "a byte": b"P",
    "half a head": b"POST /v1/score HTTP/1.1\r\nHost: x\r\n",
    "half of HTTP/2's preface": H2[:11],
    "HTTP/2's preface": H2,
    "HTTP/2's settings": H2 + b"\0\0\0\4\0\0\0\0\0",
    "a request that was answered": request("/v2/health/ready", method="GET", close=False),
}


@pytest.mark.parametrize("stage", WITHOUT_REQUEST)
def test_clients_without_a_request_do_not_hold_the_end_up(stage):
    """Connections on which no request has begun, whose client is silent, perhaps for ever."""
    with Service() as service:
        held = [service.connect() for _ in range(3)]
        for connection in held:
            connection.sendall(WITHOUT_REQUEST[stage])
        time.sleep(0.2)
        code, took = service.stop()
        print(f"code {code} after {took:.1f} s")
        assert code == 0 and took < 5, (code, took)
        for connection in held:
            connection.close()


def test_what_is_left_of_a_refused_body_does_not_hold_the_end_up():
    with Service() as service, service.connect() as connection:
        connection.sendall(request("/v1/score", b"x", {"Content-Type": "text/plain"}, length=1 << 20))
        time.sleep(0.2)
        code, took = service.stop()
        assert code == 0 and took < 7, (code, took)


def test_a_request_that_does_not_end_holds_the_end_up_for_drain_only():
    with Service(options=["--drain", "1"], expect_code=1) as service:
        stuck = service.connect()
        stuck.sendall(request("/v1/score", b"", PNG, length=100))
        time.sleep(0.2)
        code, took = service.stop()
        assert code == 1 and 0.8 < took < 5, (code, took)
        assert "not answered within the time of --drain" in service.log
        stuck.close()


def test_a_second_signal_ends_at_once():
    with Service(expect_code=1) as service:
        stuck = service.connect()
        stuck.sendall(request("/v1/score", b"", PNG, length=100))
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        service.wait_for_log("ending")
        code, took = service.stop()
        assert code == 1 and took < 2
        stuck.close()


def test_what_is_kept_alive_is_told_that_the_service_ends():
    """On a connection that is kept alive the answer in flight is the last; health says 503 before it closes."""
    with Service(options=["--drain", "10"]) as service:
        slow = service.connect()
        whole = request("/v1/score", ONE, PNG, close=False)
        slow.sendall(whole[:-1])
        time.sleep(0.2)
        service.signal(signal.SIGTERM)
        service.wait_for_log("ending")
        slow.sendall(whole[-1:])
        answer = read_all(slow)
        assert statuses(answer) == [200] and b"connection: close" in answer.lower(), answer[:300]


def test_a_full_queue_is_answered_with_429():
    with Service(options=["--max-queue", "32", "--max-images", "32"]) as service:
        body = images_json(pngs()[:32])
        with ThreadPoolExecutor(12) as pool:
            got = list(pool.map(lambda _: service.ask("/v1/score", body, JSON), range(48)))
        codes = {answer.status for answer in got}
        assert codes == {200, 429}, codes
        full = [answer for answer in got if answer.status == 429]
        assert all(int(answer.headers["retry-after"]) >= 1 and "full" in answer.error for answer in full)
        metrics = service.metrics()
        assert metrics["odin_refused_total", (("reason", "queue_full"),)] == len(full)
        assert metrics["odin_queue_images", ()] == 0
        answer = service.ask("/v1/score", body, JSON)
        assert [repr(result["score"]) for result in answer.json["results"]] == [row["odin"] for row in expected()[:32]]


def test_full_memory_for_bodies_is_answered_with_429():
    with Service(options=["--max-body", "1", "--max-bodies", "4"]) as service:
        held = []
        for _ in range(4):
            connection = service.connect()
            connection.sendall(request("/v1/score", bytes(1_000_000), PNG, length=1_000_001))
            held.append(connection)
        time.sleep(0.5)
        answer = service.score(bytes(900_000))
        assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
        assert service.is_ready()
        for connection in held:
            connection.close()
        time.sleep(0.5)
        assert service.score(ONE).status == 200
        assert service.score(bytes(900_000)).status == 400


def test_metrics_count_what_happened():
    with Service() as service:
        assert service.metric("odin_images_total", detector="detector", decision="rejected") == 0
        for png, row in list(zip(pngs(), expected()))[:40]:
            answer = service.score(png)
            assert answer.json["results"][0]["is_in_distribution"] == (row["is_in_distribution"] == "true")
        service.score(b"no image")
        answer = service.ask("/metrics")
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.body.endswith(b"# EOF\n")
        metrics = service.metrics()
        inside = sum(row["is_in_distribution"] == "true" for row in expected()[:40])

        def of(name, **labels):
            return metrics[name, tuple(sorted(labels.items()))]

        images = {d: of("odin_images_total", detector="detector", decision=d) for d in ["in_distribution", "rejected", "failed"]}
        assert images == {"in_distribution": inside, "rejected": 40 - inside, "failed": 1}
        assert of("odin_requests_total", route="/v1/score", status="200") == 40
        assert of("odin_requests_total", route="/v1/score", status="400") == 1
        assert of("odin_refused_total", reason="invalid") == 1
        assert of("odin_batch_images_sum", detector="detector") == 40
        assert of("odin_wait_seconds_count", detector="detector") == 40
        assert of("odin_score_count", detector="detector") == 40
        total = sum(float(row["odin"]) for row in expected()[:40])
        assert abs(of("odin_score_sum", detector="detector") - total) < 1e-9
        assert of("odin_window_images", detector="detector") == 40
        assert of("odin_rejected_share", detector="detector") == (40 - inside) / 40


def test_labels_of_metrics_cannot_be_made_up(service):
    before = len(service.metrics())
    for i in range(50):
        service.ask(f"/random/{i}")
        service.ask(f"/v2/models/{i}/ready")
        service.ask("/info", method=f"METHOD{i}")
    assert len(service.metrics()) < before + 100


def test_drift_is_seen():
    inside, near = pngs()[0::2], pngs()[1::2]
    with Service(options=["--window", "50"]) as service:

        def stream(images):
            assert service.ask("/v1/score", images_json(images), JSON).status == 200
            metrics = service.metrics()
            names = ["window_images", "rejected_share", "drift_statistic", "drift_p_value"]
            return [metrics["odin_" + name, (("detector", "detector"),)] for name in names]

        images, rejected, statistic, p_value = stream(inside[:50])
        assert images == 50 and rejected < 0.2 and p_value > 1e-3, (rejected, statistic, p_value)
        images, rejected, moved, p_value = stream(near[:50])
        assert images == 50 and rejected > 0.7 and moved > 2 * statistic and p_value < 1e-6, (rejected, moved, p_value)
        *_, back, p_value = stream(inside[:50])
        assert back == statistic and p_value > 1e-3


def test_a_reload_of_the_same_keeps_counts_and_window():
    with Service() as service:
        service.score(ONE)
        assert service.reload() == "opened anew"
        assert service.metric("odin_window_images", detector="detector") == 1
        service.score(ONE)
        assert service.metric("odin_batch_images_sum", detector="detector") == 2


def test_identifiers_of_requests(service):
    def identifier(given):
        return service.ask("/info", headers={"X-Request-Id": given}).headers["x-request-id"]

    assert identifier("a-7_b.c") == "a-7_b.c"
    for wrong in ["", "a b", "a" * 65, "a\tb", "\xff", '"', "a;b"]:
        assert identifier(wrong) != wrong
    seen = [service.ask("/info").headers["x-request-id"] for _ in range(20)]
    assert len(set(seen)) == 20
    answer = service.ask("/nothing", headers={"X-Request-Id": "mine"})
    assert answer.json["request_id"] == "mine"
    assert re.search(r'request_id="mine" .*status="?404', service.log)


def test_logs_as_json():
    import json

    with Service(options=["--log", "json"]) as service:
        service.score(ONE, **{"X-Request-Id": "seven"})
        service.ask('/nothing?a="\\\n'.replace("\n", "%0a"))
        lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
        assert any(line.get("request_id") == "seven" and int(line["status"]) == 200 for line in lines), lines


def test_the_page(service):
    answer = service.ask("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = answer.body.decode()
    assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=|https?://(?!www\.w3\.org)", page)


def test_explore(service):
    answer = service.ask("/v1/explore", ONE, PNG).json
    assert answer["calibrated"] and repr(answer["scores"]["odin"]) == expected()[0]["odin"]
    assert all(picture.startswith("data:image/png;base64,") for picture in answer["pictures"].values())
    answer = service.ask("/v1/explore?temperature=10&magnitude=0", ONE, PNG).json
    assert not answer["calibrated"] and answer["unperturbed"] == answer["scores"]["odin"]
    setting = answer["setting"]
    assert [setting["temperature"], setting["magnitude"], setting["precision"]] == [10.0, 0.0, "exact"]
