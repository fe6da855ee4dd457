"""Runs that save and load: what a recorder says of a file, and what the agent finds there."""

from __future__ import annotations

import hashlib
from typing import Any

from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from saksi.words.records import FileRecord
from simulated_run import Connection, SimulatedRun


def digest_of(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


class Disk:
    """A folder that a run saves in: which content lies at which path, as which file."""

    def __init__(self, simulated: SimulatedRun) -> None:
        self.simulated = simulated
        self.files: dict[str, dict[str, Any]] = {}
        self._inode = 0

    def write(self, path: str, content: str, *, device: int = 1) -> None:
        """A file is written by whomever; a recorder says nothing of it."""
        kept = self.files.get(path)
        self._inode += kept is None
        inode = self._inode if kept is None else kept["inode"]
        mtime = self.simulated.stamp()["wall_ns"]
        self.files[path] = {
            "content": content, "device": device, "inode": inode, "mtime_ns": mtime, "size": len(content),
        }  # fmt: skip

    def move(self, source: str, target: str) -> None:
        self.files[target] = self.files.pop(source)

    def copy(self, source: str, target: str) -> None:
        self.write(target, self.files[source]["content"])

    def save(self, connection: Connection, path: str, content: str, **how: Any) -> None:
        """`torch.save` to a path."""
        self.write(path, content)
        self.say(connection, "saved", path, **how)

    def load(self, connection: Connection, path: str, **how: Any) -> None:
        self.say(connection, "loaded", path, **how)

    def say(
        self, connection: Connection, action: str, path: str, *, read: bool = True, known: bool = True,
        first: str = "frame", **more: Any,
    ) -> None:  # fmt: skip
        """`read`: whether the agent read it; `known`: whether the recorder did; `first`: which of the two is logged."""
        file = self.files[path]
        digest = digest_of(file["content"])
        claimed = digest if known and action == "saved" else None
        status = {name: file[name] for name in ("size", "device", "inode", "mtime_ns")}
        seq, step = connection.seq, connection.updates.get(0, 0) - 1
        connection.send("ckpt", action=action, path=path, digest=claimed, step=step, **status | more)
        record = FileRecord(
            **self.simulated.stamp(), connection=connection.number, seq=seq, rank=connection.rank, action=action,
            path=path, step=step, digest=digest if read else None, size=file["size"], claimed_digest=claimed,
            reason=None if read else "the file was replaced or changed before it was read",
        )  # fmt: skip
        if first == "frame":
            connection.flush()
        self.simulated.add(record)


def stream(connection: Connection, content: str) -> None:
    """`torch.save` to a stream, said in a block that is written later."""
    nothing = {"path": None, "size": len(content), "device": None, "inode": None, "mtime_ns": None}
    step = connection.updates.get(0, 0) - 1
    connection.send("ckpt", action="saved", digest=digest_of(content), step=step, **nothing)


def judged(simulated: SimulatedRun, check: Any, *, ended: bool = True) -> tuple[Any, list[Any]]:
    judging, news = Judging([check]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=ended), news
