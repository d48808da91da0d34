"""A service of the program under test, and its images: what every test stands on."""

import csv
import http.client
import io
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
ODIN = os.environ["ODIN"]
FOLDER = Path(os.environ["ODIN_SERVE_FOLDER"])
DETECTOR = FOLDER / "detector.toml"
RESIZING = FOLDER / "resizing.toml"
DEMO = ROOT / "demo"
# What the log of a service never says, unless a test asks for it.
DEFECTS = re.compile(r"panicked|defect|a batch failed|status=5(?!03|04)\d\d|internal error|overflow", re.I)


def odin(*arguments):
    """Runs the program; gives its standard output."""
    done = subprocess.run([ODIN, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Answer:
    """Status, headers (in small letters) and body of an answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        import json

        return json.loads(self.body)

    @property
    def error(self):
        """The message of a refusal, which is JSON with the identifier that the header has."""
        said = self.json
        assert set(said) == {"error", "request_id"}, said
        assert said["request_id"] == self.headers["x-request-id"]
        return said["error"]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


class Service:
    """A running `odin serve`, used as a context. At its end it must stop by itself with code 0 after SIGTERM,
    and have nothing of a defect in its log."""

    def __init__(self, *detectors, options=(), expect_code=0, expect_log=None, nofile=None):
        self.log_path = tempfile.NamedTemporaryFile(prefix="serve-", suffix=".log", dir=FOLDER, delete=False).name
        self.expect_code, self.expect_log = expect_code, expect_log
        # Threads that share an image wait for each other, on a busy machine for long; that they give the same bits has
        # a test of its own.
        threads = [] if "--threads" in options else ["--threads", "1"]
        command = [ODIN, "serve", *map(str, detectors or [DETECTOR]), "--port", "0", *threads, *map(str, options)]
        prepare = None
        if nofile:
            import resource

            prepare = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))  # noqa: E731
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.log_path, "wb"),
            preexec_fn=prepare,
        )
        self.scheme, self.host, self.port = self._listening()
        self.context = None
        if self.scheme == "https":
            self.context = ssl.create_default_context()
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def _listening(self):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = re.search(r"listening on (https?)://([^:/]+):(\d+)/", self.log)
            if found:
                return found[1], found[2], int(found[3])
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        raise AssertionError(f"it does not listen:\n{self.log}")

    @property
    def log(self):
        return Path(self.log_path).read_text(errors="replace")

    @property
    def url(self):
        return f"{self.scheme}://{self.address}"

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def connect(self, timeout=30):
        """A socket, with TLS where the service has it."""
        plain = socket.create_connection((self.host, self.port), timeout=timeout)
        return self.context.wrap_socket(plain) if self.context else plain

    def connection(self, timeout=60):
        if self.context:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(self, path, body=None, headers=None, method=None, timeout=60):
        """One request on a connection of its own."""
        connection = self.connection(timeout)
        try:
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def score(self, body, query="", **headers):
        return self.ask(f"/v1/score{query}", body, {"content-type": "application/octet-stream", **headers})

    def raw(self, data, timeout=30, half_close=False):
        """Sends bytes and gives what comes back until the other side closes or is silent for so long."""
        with self.connect(timeout) as connection:
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return read_all(connection)

    def metrics(self):
        """The value of each sample, by name and labels, as the parser of the Prometheus project reads them."""
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as families

        answer = self.ask("/metrics")
        assert answer.status == 200
        samples = (sample for family in families(answer.body.decode()) for sample in family.samples)
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}

    def metric(self, name, **labels):
        return self.metrics().get((name, tuple(sorted(labels.items()))))

    def rss(self):
        """Resident memory in MiB."""
        return self._status("VmRSS")

    def peak(self):
        return self._status("VmHWM")

    def _status(self, name):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_ready(self):
        return self.ask("/v2/health/ready", timeout=10).status == 200

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        """SIGHUP; gives what the log says of it."""
        before = len(self.log)
        self.signal(signal.SIGHUP)
        return self.wait_for_log(r"opened anew|stay as they were.*", before)

    def wait_for_log(self, pattern, start=0, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(pattern, self.log[start:])
            if found:
                return found[0]
            time.sleep(0.02)
        raise AssertionError(f"not logged: {pattern}\n{self.log[start:][-2000:]}")

    def stop(self, seconds=45):
        """SIGTERM; gives the exit code and the seconds that it took."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.ended(seconds)

    def ended(self, seconds=45):
        """The same after a signal: a second one would end it at once, with exit code 1."""
        begun = time.monotonic()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it does not end within {seconds} s of SIGTERM\n{self.log[-2000:]}") from None
        return code, time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            code, _ = self.stop()
            if kind is None:
                assert code == self.expect_code, (code, self.log[-2000:])
        finally:
            if self.process.poll() is None:
                self.process.kill()
        bad = [line for line in self.log.splitlines() if DEFECTS.search(line)]
        if self.expect_log:
            bad = [line for line in bad if not re.search(self.expect_log, line)]
        if kind is None:
            assert not bad, "\n".join(bad[:20])
            os.unlink(self.log_path)


def read_all(connection):
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


def statuses(answer):
    """The status codes of the answers within raw bytes of HTTP/1.1."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d\d\d)", answer)]


def request(path, body=b"", headers=(), method="POST", close=True, length=None):
    """A request of HTTP/1.1 as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    if length is None and body:
        length = len(body)
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@cache
def arrays():
    """Images of the demo [N, 8, 8]: in- and near-distribution in turns."""
    inside, near = (np.load(DEMO / f"{name}.npy")[:, 0] for name in ("in", "near"))
    return np.stack([inside[:60], near[:60]], axis=1).reshape(-1, 8, 8)


def encoded(array, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **options)
    return file.getvalue()


@cache
def pngs():
    return [encoded(array) for array in arrays()]


@cache
def expected(detector=DETECTOR):
    """What `odin score` says of the images: a row of the CSV for each."""
    folder = FOLDER / "images"
    folder.mkdir(exist_ok=True)
    for i, png in enumerate(pngs()):
        (folder / f"{i:03}.png").write_bytes(png)
    rows = list(csv.DictReader(io.StringIO(odin("score", "--detector", detector, folder, "--format", "csv"))))
    assert len(rows) == len(pngs()), rows[:2]
    return rows
