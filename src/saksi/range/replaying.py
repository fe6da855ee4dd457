"""A launch that was played, audited: the program is sealed as it was approved, and each attempt replayed from that.

Everything happens behind the launch and its findings, so that what other detectors see is not changed by it. Of an
environment that was edited, a clean one stands in the same place by then, as whoever audits would build it anew. Data
is put back with the project, which the audit is told (`--data-unchanged`). What was put into the project lies there
again while a replay looks for a name.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.judgement.replay.values import Audit
from saksi.range.case import Case, Variant
from saksi.range.launching import CaseFailed, Desk
from saksi.range.sealing import SETTINGS, seal_environment

__all__ = ["audits_of", "keep", "write_files"]

_VERDICTS: Final = frozenset({0, 1, 3})
_NOT_KEPT: Final = shutil.ignore_patterns(".git", "__pycache__")


def keep(desk: Desk, attempt: int) -> None:
    """Put a copy of what lies in the project aside, as this attempt is about to begin."""
    shutil.copytree(desk.project, _before(desk, attempt), ignore=_NOT_KEPT)


def _before(desk: Desk, attempt: int) -> Path:
    return desk.folder / f"before-{attempt}"


def audits_of(
    desk: Desk,
    entry: Case | Variant,
    *,
    approved: Mapping[str, str],
    found: Mapping[str, str],
    asked: Sequence[tuple[str, ...]] = ((),),
) -> tuple[Audit, ...]:
    """What `saksi audit` says of each attempt, once with each of the options that are `asked`.

    `approved` are the files of the program before anything was done to it, `found` those that are there now. Raises
    `CaseFailed` if there is no answer.
    """
    shutil.rmtree(desk.project)
    desk.project.mkdir()
    write_files(desk.project, approved)
    if entry.settings:
        write_files(desk.project, {SETTINGS: entry.settings})
    seal = seal_environment(desk, (entry.program, *entry.arguments))
    (desk.project / ".git" / "info" / "exclude").write_text("*\n", "utf-8")  # what trainings leave is no change
    audits: list[Audit] = []
    for attempt in range(entry.launches):
        _put_back(desk.project, _before(desk, attempt), {*approved, *found, SETTINGS})
        write_files(desk.project, found)
        audits.extend(_audit(desk, attempt, seal, options) for options in asked)
    return tuple(audits)


def _put_back(project: Path, before: Path, of_program: set[str]) -> None:
    """What trainings had left there as the attempt began, and nothing else of theirs."""
    for folder, copy in ((project, False), (before, True)):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if name.parts[0] == ".git" or str(name) in of_program or not path.is_file():
                continue
            if copy:
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, project / name)
            else:
                path.unlink()


def _audit(desk: Desk, attempt: int, seal: Path, options: tuple[str, ...]) -> Audit:
    done = desk.saksi("audit", f"last@{attempt}", "--seal", str(seal), "--data-unchanged", *options, "--json")
    if done.code not in _VERDICTS:
        raise CaseFailed(f"saksi audit ended with {done.code}: {done.last_words}")
    try:
        return msgspec.json.decode(done.stdout, type=Audit)
    except msgspec.DecodeError:
        raise CaseFailed(f"saksi audit printed no document: {done.last_words}") from None


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write each of `files` below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
