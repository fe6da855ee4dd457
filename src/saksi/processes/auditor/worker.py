"""A worker: one process that executes one task, signs what came of it, and ends.

`python -I -m saksi.processes.auditor.worker` with one JSON value on standard input. A replay ends every process that
began below it, so each has a process of its own. It ends its replay if it is asked to end, or if whoever started it is
gone; only a process that is killed leaves something running, which whoever started it adopts.

Rules: its key comes by standard input, signs one result, and is in no file, no variable and no word of a command.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from saksi.edges.host.ending_signals import EndingSignals
from saksi.edges.host.self_protection import forbid_dumps
from saksi.processes.auditor.capsule_in_place import put_capsules
from saksi.processes.auditor.ckpt_in_place import put_in_place
from saksi.processes.auditor.executor import Task
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.record_files import record_files
from saksi.processes.auditor.replaying import Replayed, replay
from saksi.processes.auditor.results import ReplayResult, signed
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.errors import SaksiError, UsageError

__all__ = ["Order", "main", "order_bytes", "record_in", "result_in", "task_bytes"]


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as the bytes that its result is bound to, the folder for it, and the seed of the key that signs that.

    `parent` is whoever ordered it: gone, nobody wants the result.
    """

    task: msgspec.Raw
    folder: str
    signer: str
    seed: bytes
    parent: int


def task_bytes(task: Task) -> bytes:
    """A task as a worker is told it."""
    return msgspec.json.encode(task, enc_hook=str)


def order_bytes(order: Order) -> bytes:
    """An order as a worker is told it."""
    return msgspec.json.encode(order)


def record_in(folder: Path) -> Path:
    """What a replay left of itself, below the folder of its order."""
    return folder / "replay"


def result_in(folder: Path) -> Path:
    """The file with the signed result, which no replay can write."""
    return folder / "result.json"


def main() -> int:
    """Ends with 0 only if the result is signed and in its file; else one line on standard error says why not."""
    forbid_dumps()  # the key lives in this memory
    try:
        _work()
    except (SaksiError, OSError, ValueError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}".splitlines()[0][:300] + "\n")
        return 1
    return 0


def _work() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    folder = Path(order.folder)
    record_in(folder).mkdir(mode=0o700)
    with EndingSignals() as signals:
        result = _executed(order, folder, signals)
    digest = hashlib.sha256(bytes(order.task)).hexdigest()
    content = signed(result, digest, record_files(record_in(folder)), NoteSigner(order.signer, order.seed))
    # Whatever the umask says: a file that others may write is not read.
    at = os.open(result_in(folder), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(at, "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(content)


def _executed(order: Order, folder: Path, signals: EndingSignals) -> ReplayResult:
    task = msgspec.json.decode(order.task, type=Task, dec_hook=_path)

    def orphaned(_: int) -> None:
        if os.getppid() != order.parent:
            raise SystemExit(1)

    try:
        placed = _placed(task, folder)
        hollow = _hollow(task, folder)
    except (OSError, SaksiError, ValueError) as reason:  # a path of the record may be none, with a zero byte
        return ReplayResult(refused=str(reason))
    cache = task.replay.cache if task.shares else folder / "cache"
    cache.mkdir(mode=0o700, exist_ok=task.shares)
    asked = msgspec.structs.replace(task.replay, placed=placed, cache=cache, hollow=hollow)
    try:
        found = replay(asked, record_in(folder), said=orphaned, waiting=signals.interruptible)
    except NotReplayed as reason:
        return ReplayResult(not_replayed=str(reason))
    return _result_of(found)


def _placed(task: Task, folder: Path) -> tuple[tuple[Path, Path], ...]:
    if task.restart is None or task.restart.capsules:
        return task.replay.placed
    return put_in_place(task.restart, Path(task.replay.invocation.folder), task.replay.placed, folder / "checkout")


def _hollow(task: Task, folder: Path) -> Path | None:
    if task.restart is None or not task.restart.capsules:
        return None
    if task.made is None:
        raise UsageError("nothing says which updates came before the capsule")
    return put_capsules(task.restart, task.made, folder / "hollow")


def _result_of(found: Replayed) -> ReplayResult:
    return ReplayResult(
        code=found.code,
        last_words=found.last_words,
        observed=found.observed,
        enough=found.enough,
        took_more=found.took_more,
    )


def _path(wanted: type, found: Any) -> Any:
    if wanted is Path and isinstance(found, str):
        return Path(found)
    raise NotImplementedError


if __name__ == "__main__":
    raise SystemExit(main())
