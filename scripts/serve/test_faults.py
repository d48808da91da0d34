"""Clients that are slow, go away, or speak something else: the service stays, and so does its memory."""

import http.client
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bodies import INFER, JSON, form, form_headers, png_flat, valid
from support import Service, pngs, read_all, request, statuses

ONE = pngs()[0]
PNG = {"Content-Type": "image/png"}
WHOLE = request("/v1/score", ONE, PNG)
H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Frames of HTTP/2: SETTINGS that say nothing.
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def chunked(parts, end=True):
    head = request("/v1/score", b"", {**PNG, "Transfer-Encoding": "chunked"})
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if end else b"")


# Bytes, and the statuses that are right; () is a closed connection.
MALFORMED = {
    "nothing of HTTP": (b"\x16\x03\x01 hello\r\n\r\n", {400, ()}),
    "zeros": (bytes(4096), {400, ()}),
    "no host": (b"GET /info HTTP/1.1\r\nConnection: close\r\n\r\n", {200, 400}),
    "HTTP/1.0": (b"GET /v2/health/ready HTTP/1.0\r\n\r\n", {200}),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\n\r\n", {400, 505, ()}),
    "a header without colon": (b"GET /info HTTP/1.1\r\nHost x\r\n\r\n", {400, ()}),
    "a header of zeros": (b"GET /info HTTP/1.1\r\nHost: \0\r\n\r\n", {400, ()}),
    "10,000 headers": (b"GET /info HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", {400, 431, ()}),
    "a header of 1 MiB": (b"GET /info HTTP/1.1\r\nHost: x\r\na: " + b"b" * (1 << 20) + b"\r\n\r\n", {400, 431, ()}),
    "a path of 1 MiB": (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414, 431, ()}),
    "a length of a word": (request("/v1/score", ONE, {**PNG, "Content-Length": "ten"}), {400, ()}),
    "a negative length": (request("/v1/score", b"", PNG, length=-1), {400, ()}),
    "a length that overflows": (request("/v1/score", b"", PNG, length=2**64), {400, 413, ()}),
    "a length of all memory": (request("/v1/score", b"", PNG, length=2**62), {413}),
    "two lengths": (request("/v1/score", ONE, {**PNG, "content-length": "1"}), {400, ()}),
    "a length and chunks": (request("/v1/score", b"0\r\n\r\n", {**PNG, "Transfer-Encoding": "chunked"}, length=5), {400, ()}),
    "a shorter length": (request("/v1/score", ONE, PNG, length=10), {400}),
    "a longer length": (request("/v1/score", ONE, PNG, length=len(ONE) + 1), {400, ()}),
    "chunks": (chunked([ONE[:7], ONE[7:]]), {200}),
    "chunks without end": (chunked([ONE], end=False), {400, ()}),
    "a chunk of a word": (chunked([], end=False) + b"zz\r\n", {400, ()}),
    "a huge chunk": (chunked([], end=False) + b"ffffffffffffffff\r\n" + ONE, {400, 413, ()}),
    "100,000 chunks of a byte": (chunked([b"x"] * 100_000), {400}),
    "a chunk with a long extension": (chunked([], end=False) + b"1;" + b"a" * (1 << 20) + b"\r\nx\r\n0\r\n\r\n", {400, ()}),
    "long trailers": (chunked([ONE], end=False) + b"0\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", {200, 400, 431, ()}),
    "a request smuggled": (WHOLE.replace(b"Connection: close\r\n", b"Transfer-Encoding : chunked\r\n"), {400, ()}),
    "an upgrade": (request("/info", method="GET", headers={"Upgrade": "websocket", "Connection": "close, upgrade"}, close=False), {200}),
    "an upgrade to HTTP/2": (request("/info", method="GET", headers={"Upgrade": "h2c", "Connection": "close, Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQAAP__"}, close=False), {200}),
    "a method that is none": (request("/info", method="BREW"), {405}),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n", {400, 404, 405}),
    "TRACE": (request("/info", method="TRACE"), {405}),
    "all of the service": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {200, 204, 400, 404, 405}),
    "a whole URL": (b"GET http://x/v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", {200}),
    "a body with GET": (request("/info", ONE, method="GET"), {200}),
    "HTTP/2 and nothing": (H2, {()}),
    "HTTP/2 and rubbish": (H2 + SETTINGS + b"\xff" * 4096, {()}),
    "HTTP/2 and a frame that is too long": (H2 + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1", {()}),
    "HTTP/2, headers without end": (H2 + SETTINGS + b"\0\0\1\1\0\0\0\0\1\x82" + b"\0\0\1\x09\0\0\0\0\1\x82" * 20_000, {()}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_requests_are_refused_or_cut(service, case):
    data, wanted = MALFORMED[case]
    # A client that sends nothing more may be one that went away: it need not be answered.
    answer = service.raw(data, timeout=15, half_close=() in wanted)
    got = statuses(answer)
    assert (got[0] if got else ()) in wanted, answer[:300]
    assert not any(status >= 500 for status in got)
    assert service.is_ready()


def test_pipelined_requests_are_answered_in_order(service):
    ready = request("/v2/health/ready", method="GET", close=False)
    wrong = request("/nothing", method="GET", close=False)
    score = request("/v1/score", ONE, PNG, close=False)
    data = (ready + score + wrong) * 20 + WHOLE
    assert statuses(service.raw(data)) == [200, 200, 404] * 20 + [200]


def test_early_refusals_reach_clients_that_are_still_sending(service):
    """A client that sends its whole body before it reads gets the answer all the same."""
    for path, headers in [
        ("/v1/score", PNG),
        (INFER, JSON),
        ("/v1/score", {"Content-Type": "text/plain"}),
        ("/nothing", {}),
    ]:
        assert service.ask(path, bytes(40 << 20), headers).status in {404, 413, 415}


def test_a_connection_survives_refusals_or_is_told_of_its_end(service):
    """After a refusal that came before the body, a connection goes on, or the answer says that it does not."""
    cases = [
        ("/v1/score", {"Content-Type": "text/plain"}),
        (INFER, {"Content-Type": "text/plain"}),
        ("/v1/score?detector=other", PNG),
        ("/v2/models/other/infer", JSON),
        ("/nothing", JSON),
        ("/info", JSON),
    ]
    cut = []
    for path, headers in cases * 20:
        connection = service.connection()
        try:
            connection.putrequest("POST", path)
            for name, value in [*headers.items(), ("Content-Length", str(len(ONE)))]:
                connection.putheader(name, value)
            connection.endheaders()
            time.sleep(0.005)
            connection.send(ONE)
            response = connection.getresponse()
            response.read()
            assert 400 <= response.status < 500
            if not response.will_close:
                connection.request("GET", "/v2/health/ready")
                assert connection.getresponse().status == 200
        except (OSError, http.client.HTTPException) as error:
            cut.append((path, repr(error)))
        connection.close()
    assert not cut, f"{len(cut)} of {len(cases) * 20}: {set(cut)}"


# Bytes that a client sends before it says nothing more.
STAGES = {
    "nothing": b"",
    "a byte": b"P",
    "half a line": b"POST /v1/sc",
    "half a head": b"POST /v1/score HTTP/1.1\r\nHost: x\r\n",
    "a head": request("/v1/score", b"", PNG, length=len(ONE)),
    "half a body": request("/v1/score", ONE[: len(ONE) // 2], PNG, length=len(ONE)),
    "half a form": request("/v1/score", form([("a", ONE)])[:70], form_headers(), length=1000),
    "half a chunk": chunked([], end=False) + b"ff\r\nabc",
    "a request that is kept alive": request("/v1/score", ONE, PNG, close=False),
    "half of HTTP/2's preface": H2[:11],
    "HTTP/2's preface": H2,
    "HTTP/2's settings": H2 + SETTINGS,
}


def test_silent_clients_are_let_go(long):
    """Of each stage a client that stays silent: all are let go, none in more than the time of a request and the
    75 s of a head or an idle connection, and all the while others are answered."""
    with Service(options=["--timeout", "2"]) as service:
        gone = {}

        def silent(name):
            begun = time.monotonic()
            answer = service.raw(STAGES[name], timeout=120 if long else 12)
            gone[name] = time.monotonic() - begun, statuses(answer)

        threads = [threading.Thread(target=silent, args=[name]) for name in STAGES]
        for thread in threads:
            thread.start()
        worst = 0
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            assert service.score(ONE).status == 200
            worst = max(worst, time.monotonic() - begun)
            time.sleep(0.2)
        print(f"\nslowest answer meanwhile {worst:.2f} s", *sorted(gone.items(), key=lambda g: g[1]), sep="\n  ")
        for name in ["a head", "half a body", "half a form", "half a chunk"]:
            took, got = gone[name]
            assert got == [408] and took < 10, (name, gone[name])
        # What is not yet seen to be HTTP/1.1 or HTTP/2 has 10 s.
        late = [name for name in ["nothing", "a byte", "half of HTTP/2's preface"] if gone[name][0] > 11.5]
        assert not late, late
        if long:
            assert max(took for took, _ in gone.values()) < 100
        assert worst < 5


def sent_slowly(service, data, pause, most):
    """Sends bytes one by one until all are sent, the time is over or the connection is; gives what came back."""
    begun = time.monotonic()
    answer = b""
    with service.connect() as connection:
        connection.settimeout(pause)
        for byte in data:
            try:
                connection.sendall(bytes([byte]))
                part = connection.recv(1000)
                answer += part
                if not part:
                    break
                if statuses(answer):
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            if time.monotonic() - begun > most:
                break
    return time.monotonic() - begun, statuses(answer)


def test_slow_clients_are_let_go(long):
    """A byte at a time, of the preface, the body and the head: bounded as a whole, not only between two bytes."""
    with Service(options=["--timeout", "3"]) as service:
        head = request("/v1/score", b"", PNG, length=1000)
        with ThreadPoolExecutor(4) as pool:
            slow_preface = long and pool.submit(sent_slowly, service, H2, 0.9, 30)
            slow_body = pool.submit(sent_slowly, service, head + bytes(900), 0.02, 30)
            slow_head = long and pool.submit(sent_slowly, service, head, 1, 100)
            took, got = slow_body.result()
            assert got == [408] and took < 12, (took, got)
            if long:
                took, got = slow_preface.result()
                assert got == [] and took < 12, (took, got)
                took, got = slow_head.result()
                assert got in ([], [408]) and took < 80, (took, got)


def test_many_clients_that_do_not_say_what_they_speak(long):
    """500 connections (200 without --long), each with half of HTTP/2's preface: others are answered, and little time is spent."""
    count = 500 if long else 200
    raise_limit(2048)
    with Service(nofile=2048) as service:
        service.score(ONE)
        memory = service.rss()
        held = [service.connect() for _ in range(count)]
        for connection in held:
            connection.sendall(H2[:11])
        time.sleep(0.2)
        begun, cpu = time.monotonic(), cpu_seconds(service)
        time.sleep(2)
        share = (cpu_seconds(service) - cpu) / (time.monotonic() - begun)
        assert service.score(ONE).status == 200
        print(f"{100 * share:.0f} % of a core, {service.rss() - memory:.0f} MiB more")
        assert share < 0.5 and service.rss() < memory + 32
        for connection in held:
            connection.close()


def test_cut_connections_leave_nothing_behind(service):
    """Connections that are cut at every byte of a request, and while it is answered."""
    before = service.metric("odin_requests_in_flight")
    descriptors = service.descriptors()
    kept = request("/v1/score", ONE, PNG, close=False)
    whole = request("/v1/score", form([("a", png) for png in pngs()[:64]]), form_headers())
    for reset in [False, True]:
        for end in [*range(0, len(kept), 7), len(kept)]:
            cut(service, kept[:end], reset)
        for pause in [0, 0.001, 0.005, 0.02, 0.05]:
            cut(service, whole, reset, pause)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        after = service.metric("odin_requests_in_flight")
        queue = service.metric("odin_queue_images")
        if after == before and queue == 0 and service.descriptors() <= descriptors:
            break
        time.sleep(0.1)
    assert (after, queue) == (before, 0)
    assert service.descriptors() <= descriptors
    assert service.score(ONE).status == 200


def cut(service, data, reset=False, pause=0.0):
    connection = service.connect()
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    try:
        connection.sendall(data)
        time.sleep(pause)
    except OSError:
        pass
    connection.close()


def test_readers_that_do_not_read(service):
    """Answers that nobody reads hold no other up."""
    connections = []
    ask = request("/openapi.json", method="GET", close=False)
    for _ in range(4):
        connection = service.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1)
        try:
            for _ in range(50):
                connection.sendall(ask * 20)
        except OSError:
            pass
        connections.append(connection)
    before = service.rss()
    for _ in range(10):
        assert service.score(ONE).status == 200
    assert service.rss() < before + 16
    for connection in connections:
        connection.close()
    assert service.is_ready()


def test_expect_continue(service):
    """`Expect: 100-continue`: curl asks so for large bodies."""
    with service.connect() as connection:
        connection.sendall(request("/v1/score", b"", {**PNG, "Expect": "100-continue"}, length=len(ONE)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(ONE)
        assert statuses(read_all(connection)) == [200]
    with service.connect() as connection:
        connection.sendall(request("/v1/score", b"", {**PNG, "Expect": "100-continue"}, length=1 << 30))
        assert statuses(read_all(connection)) == [413]


def test_a_refusal_in_place_of_continue(service):
    """A client that asked whether to send its body, and was refused, sends none: what comes next is another request, or
    the answer says that the connection is over."""
    with service.connect(10) as connection:
        head = request("/v1/score", b"", {"Content-Type": "text/plain", "Expect": "100-continue"}, close=False, length=1 << 20)
        connection.sendall(head)
        answer = connection.recv(4096)
        assert statuses(answer) == [415]
        if b"connection: close" not in answer.lower():
            connection.sendall(request("/v2/health/ready", method="GET"))
            assert statuses(read_all(connection)) == [200]


def test_a_refusal_after_continue(service):
    """A client that was told to continue gets the answer when it has sent more than there may be."""
    for _ in range(3):
        with service.connect(10) as connection:
            headers = {**PNG, "Expect": "100-continue", "Transfer-Encoding": "chunked"}
            connection.sendall(request("/v1/score", b"", headers, close=False))
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
            for _ in range(40):
                connection.sendall(b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20)))
            connection.sendall(b"0\r\n\r\n")
            assert statuses(connection.recv(4096)) == [413]


@pytest.mark.parametrize("path, headers", [("/v1/score", {"content-type": "text/plain"}), ("/nothing", {}), (INFER, {"content-type": "image/png"})])
def test_refusals_reach_clients_of_http2_that_are_still_sending(service, path, headers):
    """A stream that is reset before its body is sent is an error to some clients, curl among them, that do not show the
    answer then."""
    assert post_http2(service, path, headers, bytes(3 << 20)) in {404, 415}


def post_http2(service, path, headers, body):
    """A request of HTTP/2 whose body is sent before the answer is looked at; gives the status."""
    import h2.config
    import h2.connection
    import h2.events

    protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    protocol.initiate_connection()
    head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x"), ("content-length", str(len(body)))]
    protocol.send_headers(1, head + list(headers.items()))
    status = None
    with service.connect(10) as connection:
        while True:
            while body and (count := min(len(body), protocol.local_flow_control_window(1), protocol.max_outbound_frame_size)):
                protocol.send_data(1, body[:count], end_stream=count == len(body))
                body = body[count:]
                connection.sendall(protocol.data_to_send())
            connection.sendall(protocol.data_to_send())
            data = connection.recv(1 << 16)
            assert data, "the connection was closed"
            for event in protocol.receive_data(data):
                assert not isinstance(event, h2.events.StreamReset) or not body, f"reset with {len(body)} bytes to be sent"
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                if isinstance(event, h2.events.StreamEnded) and not body:
                    return status


def test_requests_behind_a_refused_one(service):
    """A refused body is not taken for a request; those behind it are answered, or the connection is over."""
    smuggled = request("/v2/health/live", method="GET", close=False)
    refused = request("/v1/score", smuggled * 1000, {"Content-Type": "text/plain"}, close=False)
    assert statuses(service.raw(refused + WHOLE)) == [415, 200]
    stuck = request("/v1/score", smuggled, {"Content-Type": "text/plain"}, close=False, length=1000)
    begun = time.monotonic()
    answer = service.raw(stuck)
    assert statuses(answer) == [415] and b"connection: close" in answer.lower() and time.monotonic() - begun < 8
    asked = request("/v1/score", b"", {"Content-Type": "text/plain", "Expect": "100-continue"}, close=False, length=len(WHOLE))
    assert statuses(service.raw(asked + WHOLE + WHOLE)) in ([415], [415, 200])


def test_an_image_of_another_size_harms_no_other(two):
    """Images that cannot be judged are in batches with those that can."""
    del two
    with Service(options=["--batch-wait", "20"]) as service:

        def ask(place):
            body = png_flat(9) if place % 4 == 0 else pngs()[place % 100]
            return service.score(body).status

        with ThreadPoolExecutor(16) as pool:
            got = list(pool.map(ask, range(160)))
        assert [got[i] for i in range(160) if i % 4 == 0] == [400] * 40
        assert [got[i] for i in range(160) if i % 4] == [200] * 120


BOMBS = {
    "strings of nothing": ("/v1/score", b'{"images":[', b'""', b"]}"),
    "strings of a byte": ("/v1/score", b'{"images":[', b'"QQ=="', b"]}"),
    "objects": ("/v1/score", b'{"images":[', b'{"name":"","data":""}', b"]}"),
    "elements": (INFER, b'{"inputs":[{"name":"images","datatype":"BYTES","shape":[1],"data":[', b'""', b"]}]}"),
    "pixels": (INFER, b'{"inputs":[{"name":"pixels_float32","datatype":"FP32","shape":[1,1,8,8],"data":[', b"0", b"]}]}"),
    "parameters": (INFER, b'{"inputs":[],"parameters":{"a":[', b"0", b"]}}"),
    "inputs": (INFER, b'{"inputs":[', b'{"name":"a","datatype":"BYTES","shape":[]}', b"]}"),
    "outputs": (INFER, b'{"inputs":[],"outputs":[', b'{"name":""}', b"]}"),
    "shapes": (INFER, b'{"inputs":[{"name":"a","datatype":"BYTES","shape":[', b"0", b"]}]}"),
}


def test_json_takes_little_more_memory_than_its_bytes(long):
    """JSON of 32 MiB (without --long 8) of which 1 in 200 is sent: refused within 10 s, with less than 8 times its size."""
    size = 32 if long else 8
    with Service(options=["--max-body", size]) as service:
        assert service.score(ONE).status == 200
        over = {}
        for name, (path, head, element, tail) in BOMBS.items():
            count = ((size << 20) - 200) // (len(element) + 1)
            body = compressed(head + (element + b",") * count + element + tail)
            base, begun = service.rss(), time.monotonic()
            reset_peak(service)
            answer = service.ask(path, body, {**JSON, "Content-Encoding": "gzip"}, timeout=120)
            took = time.monotonic() - begun
            assert answer.status in {400, 413}, answer
            peak, after = service.peak() - base, service.rss() - base
            print(f"{name}: {len(body)} bytes, {took:.1f} s, {peak:.0f} MiB more, {after:.0f} MiB remain")
            if peak > 8 * size or took > 10 or after > 64:
                over[name] = took, peak, after
        assert not over, over


def compressed(data):
    import gzip

    return gzip.compress(data, 1)


def reset_peak(service):
    with open(f"/proc/{service.process.pid}/clear_refs", "w") as file:
        file.write("5")


def test_a_request_of_many_bombs_ends_in_time():
    """128 images of 33 million pixels in a request of a few MiB: it may be refused or late, but once it is, nothing of
    it holds others up."""
    large = png_flat(5792)
    with Service(options=["--timeout", "3"]) as service:
        assert service.score(ONE).status == 200
        body = form([("a", large)] * 128)
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(service.ask, "/v1/score", body, form_headers(), None, 90) for _ in range(4)]
            got = [one.result().status for one in asked]
        assert set(got) <= {200, 413, 429, 504}, got
        took, begun = time.monotonic() - begun, time.monotonic()
        # An image that is being decoded on each core is decoded to its end.
        while (answer := service.score(ONE)).status == 504 and time.monotonic() - begun < 10:
            pass
        again = time.monotonic() - begun
        print(f"{len(body)} bytes, {got} after {took:.1f} s, then {answer.status} after {again:.1f} s, peak {service.peak():.0f} MiB")
        assert answer.status == 200
        assert service.peak() < 1500


def mutated(random_, body):
    """A body with a few bytes changed, left out, put in twice, or cut off."""
    body = bytearray(body)
    for _ in range(random_.choice([1, 1, 2, 4, 16])):
        if not body:
            break
        at = random_.randrange(len(body))
        kind = random_.randrange(6)
        if kind == 0:
            body[at] = random_.randrange(256)
        elif kind == 1:
            body[at] ^= 1 << random_.randrange(8)
        elif kind == 2:
            del body[at : at + random_.randrange(1, 64)]
        elif kind == 3:
            body[at:at] = body[at : at + random_.randrange(1, 64)]
        elif kind == 4:
            del body[at:]
        else:
            body[at : at + 4] = random_.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"9999", b'"[{}'])
    return bytes(body)


HEADERS = ["Content-Type", "Content-Encoding", "Inference-Header-Content-Length"]


def mutated_headers(random_, headers):
    headers = dict(headers)
    if random_.random() < 0.1:
        headers.pop(random_.choice(HEADERS), None)
    if random_.random() < 0.1:
        name = random_.choice(HEADERS)
        headers[name] = random_.choice(["", "0", "-1", "999999", "gzip", "deflate", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "image/png", "\xff"])
    return headers


def test_random_bodies(long):
    """Seeded; 10,000 with --long, else 300. Right answers, no growth."""
    count = 10_000 if long else 300
    requests = valid()
    with Service() as service:
        from collections import Counter

        seen = Counter()

        def some(part):
            connection = service.connection()
            for number in part:
                random_ = random.Random(number)
                path, headers, body = requests[number % len(requests)]
                headers, body = mutated_headers(random_, headers), mutated(random_, body)
                try:
                    connection.request("POST", path, body, headers)
                    response = connection.getresponse()
                    response.read()
                except (OSError, http.client.HTTPException) as error:
                    raise AssertionError((number, path, headers, body[:200])) from error
                assert response.status in {200, 400, 413, 415}, (number, response.status, path, headers, body[:200])
                seen[response.status] += 1

        some(range(200))
        before = service.rss()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(some, [range(200 + i, count, 4) for i in range(4)]))
        print(dict(seen), f"RSS {before:.0f} MiB, then {service.rss():.0f} MiB")
        assert service.rss() < before + 24
        assert service.is_ready()


def test_many_connections_at_once(long):
    """2,000 connections (500 without --long), each with a request; then all are kept open while others ask."""
    count = 2000 if long else 500
    with Service(options=["--max-connections", "2500"], nofile=4096) as service:
        raise_limit(4096)
        assert service.score(ONE).status == 200
        base = service.rss()
        connections = []
        for _ in range(count):
            connections.append(service.connect())
            connections[-1].sendall(request("/v2/health/ready", method="GET", close=False))
        assert all(connection.recv(2000).startswith(b"HTTP/1.1 200") for connection in connections)
        peak = service.rss()
        for _ in range(10):
            assert service.score(ONE).status == 200
        for connection in connections:
            connection.close()
        time.sleep(1)
        print(f"RSS {base:.0f} MiB, with {count} connections {peak:.0f} MiB, after {service.rss():.0f} MiB")
        assert service.is_ready()
        assert service.rss() < base + 64
        assert service.descriptors() < 50


def test_more_connections_than_there_may_be():
    """Further connections wait, and are served once there is room; so where descriptors are short."""
    for options, nofile in [(["--max-connections", "20"], None), ([], 64)]:
        with Service(options=options, nofile=nofile, expect_log="cannot accept") as service:
            held = [service.connect() for _ in range(100)]
            for connection in held:
                connection.close()
            assert service.score(ONE).status == 200


def raise_limit(count):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def test_rapid_reset_of_http2(service):
    """Streams of HTTP/2 that are opened and reset at once: the connection is closed, or all goes on."""
    import h2.config
    import h2.connection
    import h2.exceptions

    protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    protocol.initiate_connection()
    cpu = cpu_seconds(service)
    with service.connect() as connection:
        try:
            connection.sendall(protocol.data_to_send())
            head = [(":method", "POST"), (":path", "/v1/score"), (":scheme", "http"), (":authority", "x"), ("content-type", "image/png")]
            for _ in range(5000):
                stream = protocol.get_next_available_stream_id()
                protocol.send_headers(stream, head)
                protocol.reset_stream(stream, 8)
                connection.sendall(protocol.data_to_send())
        except OSError:
            pass
    assert service.is_ready()
    assert service.score(ONE).status == 200
    print(f"{cpu_seconds(service) - cpu:.2f} s of CPU time")
    until = time.monotonic() + 5
    while service.metric("odin_requests_in_flight") != 1 and time.monotonic() < until:
        time.sleep(0.1)
    assert service.metric("odin_requests_in_flight") == 1


def cpu_seconds(service):
    fields = open(f"/proc/{service.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_idle_connections_are_kept_as_long_as_clients_expect(service, long):
    """Clients keep connections for the next request, and many take one back only after some seconds."""
    connection = service.connection()
    for pause in [0, 2] + [15, 40] * long:
        time.sleep(pause)
        connection.request("POST", "/v1/score", ONE, PNG)
        response = connection.getresponse()
        response.read()
        assert response.status == 200

