"""URLs that hear of findings, against a server on this machine's own address."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from saksi.edges.webhook import parse_webhook
from saksi.words.errors import StoreError, UsageError

pytestmark = pytest.mark.enable_socket


class Server:
    """Answers each POST with `status`, and keeps what was posted."""

    def __init__(self, status=204, location=None):
        posted = self.posted = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                posted.append((self.path, self.headers["Content-Type"], self.rfile.read(length)))
                self.send_response(status)
                if location is not None:
                    self.send_header("Location", location)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextlib.contextmanager
def talker(talk):
    """A server that speaks no HTTP: `talk` is given each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                talk(connection)

        thread = threading.Thread(target=work)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        thread.join(20)
        assert not thread.is_alive()


def webhook(url, seconds=10.0):
    return parse_webhook(url, what="--notify", seconds=seconds)


def test_a_document_is_posted_as_it_is(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    with Server() as server:
        hook = webhook(f"{server.url}/hook/token?a=b")
        hook.send(b'{"a":1}\n')
        hook.send(b'{"a":2}\n')
    kind = "application/json"
    assert server.posted == [("/hook/token?a=b", kind, b'{"a":1}\n'), ("/hook/token?a=b", kind, b'{"a":2}\n')]
    assert "token" not in hook.target


@pytest.mark.parametrize("status", [301, 307, 400, 500])
def test_another_answer_did_not_take_it_and_a_redirect_is_not_followed(status):
    with Server() as other, Server(status, location=f"{other.url}/") as server:
        with pytest.raises(StoreError, match=f"answered {status}"):
            webhook(server.url).send(b"{}")
        assert len(server.posted) == 1
    assert other.posted == []


def test_nobody_there_did_not_take_it():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(StoreError, match="refused"):
        webhook(url).send(b"{}")


def silent(connection):
    while connection.recv(65_536):
        pass


def dripping(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        connection.sendall(b"X-%d: y\r\n" % number)
        time.sleep(0.05)


def talking_nonsense(connection):
    connection.sendall(b"\xff" * 200_000)


@pytest.mark.parametrize("talk", [silent, dripping, talking_nonsense])
def test_a_server_that_never_answers_is_left(talk):
    before = time.monotonic()
    with talker(talk) as url, pytest.raises(StoreError):
        webhook(url, seconds=1).send(b"{}")
    assert time.monotonic() - before < 15


def test_what_a_server_sends_cannot_write_into_a_terminal():
    def talk(connection):
        connection.recv(65536)
        connection.sendall(b"\x1b[2J\x1b]0;all is well\x07 \x85\x9b31m\r\n")

    with talker(talk) as url, pytest.raises(StoreError, match="BadStatusLine") as raised:
        parse_webhook(url, what="--notify", seconds=5).send(b"{}")
    assert str(raised.value).isprintable()


def test_what_is_waited_for_is_broken_off_from_another_thread():
    here = threading.Event()

    def talk(connection):
        here.set()
        silent(connection)

    with talker(talk) as url:
        hook = webhook(url, seconds=50)
        failed = []

        def send():
            with pytest.raises(StoreError) as refused:
                hook.send(b"{}")
            failed.append(refused)

        thread = threading.Thread(target=send)
        thread.start()
        assert here.wait(10)
        hook.stop()
        thread.join(10)
        assert len(failed) == 1
    with pytest.raises(StoreError, match="the run has ended"):
        hook.send(b"{}")


@pytest.mark.parametrize(
    "text",
    ["", "http:", "http://", "https:///x", "ftp://h/", "file:///etc/passwd", "http://h:x/", "http://h:99999/", "h/x",
     "http://h/a b", "http://h/\r\nX: y", "http://h/\u00e9", "http://u:p@h/",
     "http://u@h/",
     "http://[::1/", "http://h/" + "x" * 5000],
)  # fmt: skip
def test_what_is_no_url_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as refused:
        webhook(text)
    assert refused.value.remedy
    assert "\n" not in str(refused.value)


def test_ports_are_those_of_the_scheme():
    assert webhook("https://h").target == "https://h:443"
    assert webhook("http://[::1]/x").target == "http://::1:80"
