"""The contenders: each a process, with the requests that it takes."""

import base64
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import load

HERE = Path(__file__).resolve().parent


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A running server, used as a context."""

    def __init__(self, command):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
        self.log = tempfile.NamedTemporaryFile(suffix=".log")
        # A group of its own, since some start processes of their own.
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True
        )

    @property
    def said(self):
        return Path(self.log.name).read_text(errors="replace")

    def wait(self, until, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = until()
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"the server does not start:\n{self.said[-3000:]}")

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    @property
    def address(self):
        return "127.0.0.1", self.port

    def answer(self, request, patience=60):
        """The JSON of the answer to one request; None where there was none."""
        with socket.create_connection(self.address, timeout=patience) as connection:
            connection.sendall(request)
            answer = b""
            while (status := load.status_of(answer)) is None:
                part = connection.recv(1 << 18)
                if not part:
                    return None
                answer += part
        return json.loads(answer.partition(b"\r\n\r\n")[2]) if status == 200 else None

    def cpu(self):
        return load.cpu_seconds(self.process.pid)

    def rss(self):
        """Resident MB of the process and of those that it started."""
        return sum(resident(process) for process in family(self.process.pid)) / 1e6

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def family(process):
    """A process and all that it started."""
    found = [process]
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            text = Path(f"/proc/{process}/task/{thread}/children").read_text()
            for child in text.split():
                found += family(int(child))
    except OSError:
        pass
    return found


def resident(process):
    try:
        text = Path(f"/proc/{process}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024
    except (OSError, TypeError):
        return 0


class Odin(Server):
    """`odin serve`, asked as curl asks: an image as the body."""

    name = "odin serve"

    def __init__(self, odin, detector, threads):
        super().__init__([odin, "serve", detector, "--port", 0, "--threads", threads])
        self.port = int(self.wait(lambda: re.search(r"listening on http://[^:]+:(\d+)/", self.said))[1])

    @staticmethod
    def request(png):
        return load.post("/v1/score", png, "image/png")

    @staticmethod
    def many(pngs):
        parts = [b'--b\r\nContent-Disposition: form-data; name="i"; filename="i.png"\r\n\r\n%s\r\n' % png for png in pngs]
        return load.post("/v1/score", b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b")

    def odin(self, png):
        return self.answer(self.request(png))["results"][0]["score"]

    def batches(self):
        """Batches and images so far."""
        with socket.create_connection(self.address) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while part := connection.recv(1 << 18):
                text += part
        text = text.decode()
        return [float(re.search(rf"odin_batch_images_{part}{{[^}}]*}} (\S+)", text)[1]) for part in ("count", "sum")]


class FastApi(Server):
    name = "FastAPI"

    def __init__(self, model, runs, threads):
        self.port = free_port()
        super().__init__([sys.executable, HERE / "fastapi_server.py", model, self.port, runs, threads])
        self.wait(self.accepts)

    @staticmethod
    def request(png):
        return load.post("/score", png, "image/png")

    def odin(self, png):
        return self.answer(self.request(png))["odin"]


class LitServe(Server):
    """Hands on forms and JSON only, hence Base64."""

    name = "LitServe"

    def __init__(self, model, workers, threads, wait):
        self.port = free_port()
        super().__init__([sys.executable, HERE / "litserve_server.py", model, self.port, workers, threads, wait])
        self.wait(self.accepts)

    @staticmethod
    def request(png):
        return load.post("/score", json.dumps({"image": base64.b64encode(png).decode()}).encode(), "application/json")

    def odin(self, png):
        return self.answer(self.request(png))["odin"]
