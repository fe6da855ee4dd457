"""URLs that hear of findings at once: one POST of one JSON document.

Rules: http and https alone; certificates are checked, against what OpenSSL trusts on this machine; a redirect is an
answer like any other, and not one that takes the document; no proxy, since the variables that name one are the job's;
the body of an answer is never read. Answers from 200 to 299 mean that the document was taken.

BUG: looking up a name has no time limit of ours, and a peer that feeds a TLS handshake byte by byte is not cut off.
Then later documents for this URL are counted as not delivered; nothing else waits for it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from typing import Final
from urllib.parse import urlsplit

from saksi.words.errors import StoreError, UsageError

__all__ = ["Webhook", "parse_webhook"]

_TAKEN: Final = range(200, 300)
_MAX_URL: Final = 4_096


class Webhook:
    """Documents are posted to one URL. One `send` at a time."""

    def __init__(self, *, secure: bool, host: str, port: int, path: str, seconds: float) -> None:
        self._secure = secure
        self._host = host
        self._port = port
        self._path = path
        self._seconds = seconds
        self._connection: http.client.HTTPConnection | None = None
        self._stopped = threading.Event()

    @property
    def target(self) -> str:
        """Scheme, host and port: the rest may hold a secret."""
        return f"{'https' if self._secure else 'http'}://{self._host}:{self._port}"

    def send(self, document: bytes) -> None:
        """See `edges.hooks.Hook.send`."""
        if self._stopped.is_set():
            raise StoreError(f"webhook {self.target}: not asked, the run has ended")
        connection = self._connection = self._open()
        over = threading.Event()
        watchdog = threading.Timer(self._seconds, _cut, [connection, over])
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.connect()
            # There is something to cut from here on: who came before finds that it was asked for, see `_cut`.
            if self._stopped.is_set() or over.is_set():
                raise StoreError(f"webhook {self.target}: the run has ended, or no connection in time")
            headers = {"Content-Type": "application/json", "User-Agent": "saksi", "Connection": "close"}
            connection.request("POST", self._path, body=document, headers=headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            # What a peer sends may stand in it, and goes into a log that somebody reads on a terminal.
            said = "".join(each if each.isprintable() else "?" for each in str(error))
            raise StoreError(f"webhook {self.target}: {type(error).__name__}: {said}"[:400]) from None
        finally:
            watchdog.cancel()
            connection.close()
            self._connection = None
        if over.is_set() or self._stopped.is_set():  # half an answer reads like one without further headers
            raise StoreError(f"webhook {self.target}: no whole answer after {self._seconds:g} seconds")
        if status not in _TAKEN:
            raise StoreError(f"webhook {self.target}: answered {status}")

    def stop(self) -> None:
        """See `edges.hooks.Hook.stop`."""
        self._stopped.set()
        connection = self._connection
        if connection is not None:
            _cut(connection, threading.Event())

    def _open(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context)


def parse_webhook(text: str, *, what: str, seconds: float) -> Webhook:
    """The webhook with the URL `text`. Raises `UsageError` with what to write instead."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= _MAX_URL
    if not plain or parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{what}: not a URL that a document can be posted to", remedy="write http(s)://host/path")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{what}: a URL with a password in it", remedy="use a path that only you know, or a command")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    return Webhook(secure=secure, host=host, port=port or (443 if secure else 80), path=path, seconds=seconds)


def _cut(connection: http.client.HTTPConnection, over: threading.Event) -> None:
    """End what another thread waits for on this connection, and let it know."""
    over.set()
    held = connection.sock
    if held is not None:
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
