"""An audit that was cancelled, or whose machine went down: what the same one takes up, in a folder of the home.

    <home>/audits/<run>-<attempt>-<what was asked>/audit.json   its draw, and the secret of its digests
    <home>/audits/<run>-<attempt>-<what was asked>/lock         held while it goes on
    <home>/audits/<run>-<attempt>-<what was asked>/results/     see `kept`

Rules: who asks for the same goes on with the same draw, so that to end an audit gives nobody another one; an audit
that ends with an answer leaves nothing; what nobody took up for a month goes with the next audit. Where nothing can be
kept (a home that is read-only, the same audit going on elsewhere) the audit is made without.

Known weakness: whoever owns the home can remove what is kept, and draw anew. What binds a draw for others is a beacon.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.own_file import read_own_file
from saksi.edges.store.durable import make_folders, write_whole
from saksi.judgement.replay.drawing import Draw
from saksi.processes.auditor.kept import KeptResults
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.replaying import Replayed
from saksi.words.errors import SaksiError

__all__ = ["Unfinished", "unfinished"]

_FILE: Final = "audit.json"
_SECRET: Final = 32
_NAME: Final = 16
_FOLDER: Final = re.compile(r"[0-9a-f]{16}-[0-9]+-[0-9a-f]{16}")
MAX_BYTES: Final = 4_096
MONTH_S: Final = 30 * 24 * 3600.0


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The draw, and the secret of the digests in hexadecimal."""

    draw: Draw
    secret: str


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an audit while it goes on; without `results` nothing is. `draw` is the one that counts."""

    draw: Draw
    results: KeptResults | None = None

    @property
    def count(self) -> int:
        """How many results are kept."""
        return 0 if self.results is None else self.results.count


@contextlib.contextmanager
def unfinished(
    folder: Path,
    subject: tuple[str, int],
    asked: bytes,
    draw: Callable[[], Draw],
    *,
    now_s: float,
    counts: Callable[[Replayed], bool] = lambda _: True,
) -> Iterator[Unfinished]:
    """What there is of the audit of `subject` that `asked` tells from others, in `folder`, begun anew if there is none.

    `asked` must say all that the draw depends on; `counts` is that of `KeptResults`. It is gone if what is inside comes
    to its end.
    """
    place = folder / f"{subject[0]}-{subject[1]}-{hashlib.sha256(asked).hexdigest()[:_NAME]}"
    with contextlib.ExitStack() as held:
        said = None
        with contextlib.suppress(OSError):
            make_folders(place, durable=False)
            if folder.is_symlink() or place.is_symlink():
                raise NotADirectoryError(place)
            _remove_old(folder, place, now_s)
            held.enter_context(_locked(place / "lock"))
            said = _said_in(place, draw)
        if said is None:
            yield Unfinished(draw=draw())
            return
        kept = Unfinished(draw=said.draw, results=KeptResults(place / "results", bytes.fromhex(said.secret), counts))
        try:
            yield kept
        except NotReplayed:  # an answer too
            shutil.rmtree(place, ignore_errors=True)
            raise
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Raises `OSError`, also where another process holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), path.stat()):  # whoever held it has removed it
            raise FileNotFoundError(path)
        yield
    finally:
        os.close(lock)


def _said_in(place: Path, draw: Callable[[], Draw]) -> _Said:
    """What was said as it began; anew where that is not there or not whole. Raises `OSError`."""
    try:
        content = read_own_file(place / _FILE, MAX_BYTES)
        said = None if content is None else msgspec.json.decode(content, type=_Said)
        wanted = draw()
        is_same = said is not None and (said.draw.log_root, said.draw.beacon) == (wanted.log_root, wanted.beacon)
        if said is not None and is_same and len(bytes.fromhex(said.secret)) == _SECRET:
            os.utime(place)
            return said
    except (SaksiError, ValueError, msgspec.MsgspecError):
        pass
    (place / _FILE).unlink(missing_ok=True)
    shutil.rmtree(place / "results", ignore_errors=True)
    make_folders(place / "results", durable=False)
    said = _Said(draw=draw(), secret=secrets.token_hex(_SECRET))
    write_whole(place / _FILE, msgspec.json.encode(said))
    return said


def _remove_old(folder: Path, but: Path, now_s: float) -> None:
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            is_ours = _FOLDER.fullmatch(each.name) and not each.is_symlink()
            if is_ours and each != but and now_s - each.stat().st_mtime > MONTH_S:
                with contextlib.suppress(OSError), _locked(each / "lock"):
                    shutil.rmtree(each, ignore_errors=True)
