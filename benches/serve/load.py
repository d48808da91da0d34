"""Load for a server of HTTP/1.1, from one thread that does as little as it can: prebuilt requests, one loop over epoll, a
timer of the kernel for arrivals. On two cores the generator shares what the server needs, and so its CPU time is measured,
too.

`closed` keeps a number of connections busy (what is the most the server does?); `open_` sends at random times whether or not
there were answers (how long does an answer take at so many requests a second?). There a latency counts from the time at which
a request was due: what waits for a connection, or for this program, waits as a client does.
"""

import ctypes
import os
import random
import re
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
LIBC = ctypes.CDLL(None, use_errno=True)
# More connections would be more than `odin serve` accepts, which is 1024.
MOST = 1000


def post(path, body, kind):
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Window:
    """What was seen between `begun` and `ended`."""

    begun: float = 0.0
    ended: float = 0.0
    # When each answer came, how long after the request was due, and its status; 0 is a broken connection.
    answers: list = field(default_factory=list)
    # CPU seconds of this process, of the server, and of whatever else runs on the machine.
    own: float = 0.0
    server: float = 0.0
    others: float = 0.0
    unanswered: int = 0
    # How long after the last request all had their answers.
    drained: float = 0.0

    @property
    def seconds(self):
        return self.ended - self.begun

    @property
    def statuses(self):
        """Of the requests that were due in the time."""
        return Counter(s for at, took, s in self.answers if self.begun <= at - took <= self.ended)

    def rate(self, status=200):
        """Answers a second, of those that came in the time."""
        return sum(s == status and self.begun <= at <= self.ended for at, _, s in self.answers) / self.seconds

    def latencies(self, status=200):
        """Of the requests that were due in the time, whenever they were answered."""
        due = ((took, s) for at, took, s in self.answers if self.begun <= at - took <= self.ended)
        return sorted(took for took, s in due if s == status)

    def quantile(self, share, status=200):
        took = self.latencies(status)
        return took[min(len(took) - 1, int(share * len(took)))] if took else float("nan")


def cpu_seconds(process):
    """CPU seconds of a process and of those that it started and that are there."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        children = []
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as file:
                children += file.read().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) for child in children)


def busy_seconds():
    """CPU seconds of all the machine, without the time that it was idle or waited."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Timer:
    """A timer of the kernel: epoll's own counts in milliseconds, as long as a whole answer takes."""

    def __init__(self):
        self.fd = LIBC.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, when):
        value = (ctypes.c_long * 4)(0, 0, int(when), int(when % 1 * 1e9) or 1)
        LIBC.timerfd_settime(self.fd, 1, ctypes.byref(value), None)

    def close(self):
        os.close(self.fd)


class Connection:
    __slots__ = ("socket", "due", "answer", "unsent")

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due, self.answer, self.unsent = None, b"", b""


def status_of(answer):
    """The status of a whole answer; None while some of it is missing."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = LENGTH.search(answer, 0, head + 2)
    if length is None or len(answer) < head + 4 + int(length[1]):
        return None
    return int(answer[9:12])


class Generator:
    def __init__(self, address, requests, process, seed=7):
        self.address, self.requests, self.process = address, requests, process
        self.random = random.Random(seed)
        self.next = 0

    def closed(self, connections, seconds, warm=1.5):
        """So many connections, each with a request always."""
        return self._run(connections, None, seconds, warm)

    def open_(self, rate, seconds, warm=1.0):
        """So many requests a second on average, the times between them exponential."""
        return self._run(0, rate, seconds, warm)

    def _run(self, connections, rate, seconds, warm, patience=20):
        self.epoll, self.open, self.idle, self.late = select.epoll(), {}, [], []
        timer = Timer()
        self.epoll.register(timer.fd, select.EPOLLIN)
        window, marks = Window(), []
        start = time.monotonic()
        begin, end = start + warm, start + warm + seconds
        due = start + self.random.expovariate(rate) if rate else None
        for _ in range(connections):
            self._send(self._connect(), time.monotonic())
        timer.set(due or begin)
        over = False
        while True:
            for fd, event in self.epoll.poll(0.1):
                if fd == timer.fd:
                    try:
                        os.read(fd, 8)
                    except BlockingIOError:
                        pass
                elif event & select.EPOLLOUT:
                    self._flush(self.open[fd])
                else:
                    self._receive(self.open[fd], window.answers, None if rate or over else time.monotonic)
            now = time.monotonic()
            if not over and rate:
                while due <= now and due < end:
                    self._due(due)
                    due += self.random.expovariate(rate)
                timer.set(min(due, end))
            if len(marks) == 0 and now >= begin:
                marks.append(self._mark(now))
            if len(marks) == 1 and now >= end:
                marks.append(self._mark(now))
                over = True
            if over and (len(self.idle) == len(self.open) or now > end + patience):
                break
        first, last = marks
        window.begun, window.own, window.server, busy = first[0], *(after - before for before, after in zip(first[1:], last[1:]))
        window.ended, window.others = last[0], max(0.0, busy - window.own - window.server)
        window.unanswered = len(self.open) - len(self.idle) + len(self.late)
        window.drained = now - end
        for connection in self.open.values():
            connection.socket.close()
        timer.close()
        self.epoll.close()
        return window

    def _mark(self, now):
        return now, time.process_time(), cpu_seconds(self.process), busy_seconds()

    def _connect(self):
        connection = Connection(self.address)
        fd = connection.socket.fileno()
        self.open[fd] = connection
        self.epoll.register(fd, select.EPOLLIN)
        return connection

    def _due(self, due):
        if self.idle:
            self._send(self.idle.pop(), due)
        elif len(self.open) < MOST:
            self._send(self._connect(), due)
        else:
            self.late.append(due)

    def _send(self, connection, due):
        request = self.requests[self.next % len(self.requests)]
        self.next += 1
        connection.due, connection.unsent = due, request
        self._flush(connection)

    def _flush(self, connection):
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            # What is wrong is seen in receiving.
            sent = len(connection.unsent)
        was_waiting = len(connection.unsent) > sent
        connection.unsent = connection.unsent[sent:]
        fd = connection.socket.fileno()
        self.epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if was_waiting else 0))

    def _receive(self, connection, answers, again):
        try:
            part = connection.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if part:
            connection.answer = connection.answer + part if connection.answer else part
            status = status_of(connection.answer)
            if status is None:
                return
        else:
            status = 0
        now = time.monotonic()
        if connection.due is not None:
            answers.append((now, now - connection.due, status))
        connection.due, connection.answer = None, b""
        if status == 0:
            fd = connection.socket.fileno()
            self.epoll.unregister(fd)
            del self.open[fd]
            if connection in self.idle:
                self.idle.remove(connection)
            connection.socket.close()
            if again is None and not self.late:
                return
            connection = self._connect()
        if self.late:
            self._send(connection, self.late.pop(0))
        elif again:
            self._send(connection, again())
        else:
            self.idle.append(connection)
