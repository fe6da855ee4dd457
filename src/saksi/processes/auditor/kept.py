"""Results of an audit that did not come to its end, by task, so that the same audit goes on from there.

    <folder>/<task>/kept.json     what was asked, and the key of the worker that signed
    <folder>/<task>/result.json   its envelope (`spec/replay-result.md`)
    <folder>/<task>/replay/       the record of the replay

Rules: what is taken up is checked as it is when a worker ends; it counts for the same task alone, whatever limits and
folders of the audit's own it had; only a replay that came to its end is kept. The words and variables of a task may
hold secrets: of the task there are digests alone, keyed or salted, and the record has its redactions as any has.

Known weakness: it guards against damage, not against whoever can write into the home, where key and secret lie too.
"""

from __future__ import annotations

import hashlib
import hmac
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.own_file import read_own_file
from saksi.edges.store.durable import make_folders, write_whole
from saksi.processes.auditor.executor import Outcome, Task
from saksi.processes.auditor.outcomes import outcome_in
from saksi.processes.auditor.replaying import Replayed
from saksi.processes.auditor.worker import record_in, result_in, task_bytes
from saksi.proofs.tlog.note_key import VerifierKey, format_verifier_key, parse_verifier_key
from saksi.words.errors import SaksiError

__all__ = ["KeptResults"]

_FILE: Final = "kept.json"
_PARTIAL: Final = ".part"
_RECORD: Final = ("home", "runs")
MAX_KEPT_BYTES: Final = 4_096
MAX_RECORD_BYTES: Final = 1 << 30
"""Of one record: a longer one costs more disk than its replay costs time."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`task` is the digest of the bytes that the worker was given, `asked` that of what two such tasks share."""

    task: str
    asked: str
    key: str


class KeptResults:
    """Those in one folder of this account's. `secret` keys the digests of tasks.

    `counts` says of an outcome whether what was replayed is what the audit is about; another is not kept or taken up.
    """

    def __init__(self, folder: Path, secret: bytes, counts: Callable[[Replayed], bool] = lambda _: True) -> None:
        self._folder = folder
        self._secret = secret
        self._counts = counts

    @property
    def count(self) -> int:
        """How many are kept."""
        return sum(1 for each in self._folder.glob(f"*/{_FILE}") if each.parent.suffix != _PARTIAL)

    def keep(self, task: Task, digest: str, key: VerifierKey, outcome: Outcome, folder: Path) -> None:
        """Keeps what a worker left in `folder`, if its replay came to its end. A full disk costs that alone."""
        if not isinstance(outcome, Replayed) or not _came_to_its_end(outcome) or not self._counts(outcome):
            return
        place, partial = self._folder / task.name, self._folder / f"{task.name}{_PARTIAL}"
        said = _Kept(task=digest, asked=self._asked(task), key=format_verifier_key(key))
        for old in (place, partial):
            shutil.rmtree(old, ignore_errors=True)
        try:
            if _size(record_in(folder)) > MAX_RECORD_BYTES:
                return
            make_folders(record_in(partial), durable=False)
            for name in _RECORD:
                if (record_in(folder) / name).is_dir():
                    shutil.copytree(record_in(folder) / name, record_in(partial) / name, symlinks=True)
            shutil.copy(result_in(folder), result_in(partial))
            write_whole(partial / _FILE, msgspec.json.encode(said))
            partial.rename(place)
        except OSError:
            pass
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def take_up(self, task: Task) -> Replayed | None:
        """The outcome of the same task, if it was kept and is whole; what is not is removed."""
        folder = self._folder / task.name
        try:
            content = read_own_file(folder / _FILE, MAX_KEPT_BYTES)
            if content is None:
                return None
            kept = msgspec.json.decode(content, type=_Kept)
            if hmac.compare_digest(kept.asked, self._asked(task)):
                outcome = outcome_in(folder, parse_verifier_key(kept.key), kept.task)
                if isinstance(outcome, Replayed) and self._counts(outcome):
                    return outcome
        except (SaksiError, OSError, ValueError, msgspec.MsgspecError):  # a file that is no text is a ValueError
            pass
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def _asked(self, task: Task) -> str:
        """What makes a task the same: not where its folders lie, nor what it may take."""
        replay = msgspec.structs.replace(
            task.replay,
            hidden=(),
            cache=Path(),
            placed=tuple((Path(), target) for _, target in task.replay.placed),
            limit_s=0.0,
            memory=None,
        )
        shared = task_bytes(msgspec.structs.replace(task, replay=replay))
        return hmac.new(self._secret, shared, hashlib.sha256).hexdigest()


def _size(folder: Path) -> int:
    return sum(each.lstat().st_size for name in _RECORD for each in (folder / name).rglob("*"))


def _came_to_its_end(outcome: Replayed) -> bool:
    return outcome.took_more is None and (outcome.enough or outcome.code is not None)
