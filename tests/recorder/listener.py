"""An agent that only listens: collects packets, checks the knock and the chain, decodes strictly."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from saksi.words.codec import decode_frame

PATH = Path(__file__).parents[2] / "src" / "saksi" / "recorder" / "path"
TOKEN = "5f0c" * 16


class Listener:
    """Accepts every connection on `path` and keeps its packets, in order."""

    def __init__(self, path: Path, *, reading: bool = True) -> None:
        self.path = path
        self.connections: list[list[bytes]] = []
        self.sockets: list[socket.socket] = []
        self.reading = reading
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            packets: list[bytes] = []
            self.connections.append(packets)
            self.sockets.append(connection)
            if self.reading:
                thread = threading.Thread(target=self._read, args=(connection, packets), daemon=True)
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _read(connection: socket.socket, packets: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while packet := connection.recv(1 << 17):
                packets.append(packet)
        connection.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)
        for connection in self.sockets:
            connection.close()

    def drain(self, connections: int = 1) -> None:
        """Wait until so many connections have come, and all of them have been closed by their other end."""
        end = time.monotonic() + 10
        while time.monotonic() < end and (
            len(self._threads) < connections or any(thread.is_alive() for thread in list(self._threads))
        ):
            time.sleep(0.01)

    def frames(self, connection: int = 0):
        """The decoded frames of one connection, after checking the knock, the numbering and the chain."""
        knock, *packets = self.connections[connection]
        assert knock == b"saksi-knock/v1 " + TOKEN.encode()
        prev, seq, out = "0" * 64, 0, []
        for packet in packets:
            frame = decode_frame(packet)
            assert frame.prev == prev
            assert frame.seq >= seq
            seq, prev = frame.seq + 1, hashlib.sha256(packet).hexdigest()
            out.append(frame)
        return out


def kinds(frames, name):
    return [frame for frame in frames if type(frame).__name__ == name + "Frame"]


def environment(socket_path: Path | None, **more: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SAKSI_", "PYTEST"))}
    env.update(OMP_NUM_THREADS="1", PYTHONPATH=str(PATH), PYTHONWARNINGS="default")
    if socket_path is not None:
        env.update(SAKSI_SOCKET=str(socket_path), SAKSI_TOKEN=TOKEN)
    env.update(more)
    return env


def run(script: str, env: dict[str, str], *, python: str = sys.executable, cwd=None, check: bool = True):
    done = subprocess.run(
        [python, "-c", script] if not script.endswith(".py") else [python, script],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done
