"""What start-up files do, as doors: `.pth`, `.start`, sitecustomize, usercustomize, and the modules they import."""

from __future__ import annotations

from typing import Final

from saksi.judgement.environment.doors import Acts, Door, FileFacts, Kind, Owner
from saksi.judgement.environment.expected_doors import expected
from saksi.judgement.environment.pth import Line, StartupFile
from saksi.judgement.redaction import printable, redact_text

__all__ = ["MAX_SHOWN_LINES", "MAX_TEXT", "customize_door", "module_door", "shown", "startup_door"]

MAX_SHOWN_LINES: Final = 20
"""A person reads the first few; the digest covers all of them, and `runs_total` says how many there are."""
MAX_TEXT: Final = 1024
_MAX_TITLE: Final = 512


def shown(text: str, limit: int = MAX_TEXT) -> str:
    """Text of somebody else as it may be printed: secrets redacted first, then the middle left out."""
    whole = redact_text(printable(text))
    if len(whole) <= limit:
        return whole
    half = (limit - 5) // 2
    return f"{whole[:half]} ... {whole[-half:]}"


def startup_door(
    path: str,
    content: bytes,
    parsed: StartupFile,
    *,
    facts: FileFacts,
    owner: Owner,
    passed_over: bool = False,
    unread: str | None = None,
) -> Door:
    """A `.pth` or `.start` file with what it holds.

    `unread` says why not all of it was read: then it counts as acting.
    """
    name = path.rpartition("/")[2]
    executed = parsed.executed
    acts: Acts = "every_start" if executed else "search_path" if parsed.folders else "never"
    what = _what(parsed)
    if unread is not None:
        acts, what = "every_start", f"what it does is not known: {shown(unread)}"
    if passed_over:
        acts, what = "never", "nothing: this version of Python passes over names that start with a dot"
    return Door(
        kind="start" if name.endswith(".start") else "pth",
        name=shown(name, _MAX_TITLE),
        acts=acts,
        what=what,
        path=shown(path),
        value=None if not parsed.folders else shown(", ".join(parsed.folders)),
        runs=tuple(shown(each.text) for each in executed[:MAX_SHOWN_LINES]),
        runs_total=len(executed),
        file=facts,
        owner=owner,
        expected=expected(name, content),
    )


def _what(parsed: StartupFile) -> str:
    executed, folders = parsed.executed, parsed.folders
    parts = []
    if executed:
        verb = "calls" if executed[0].effect == "calls" else "executes"
        parts.append(f"{verb} {_counted(executed)}")
    if folders:
        parts.append(f"adds {len(folders)} folder{'s' if len(folders) > 1 else ''} to the search path")
    said = " and ".join(parts) or "nothing: no line of it has an effect with this version of Python"
    return said if parsed.note is None else f"{said} ({parsed.note})"


def _counted(executed: tuple[Line, ...]) -> str:
    noun = "entry point" if executed[0].effect == "calls" else "line"
    return f"1 {noun}" if len(executed) == 1 else f"{len(executed)} {noun}s"


def customize_door(
    name: str, path: str, content: bytes, *, facts: FileFacts, owner: Owner, before: str | None, off: str | None
) -> Door:
    """A sitecustomize or usercustomize. `before` is one that is found earlier, `off` why none is imported at all."""
    acts: Acts = "every_start"
    what = f"`site` imports {name}"
    if off is not None:
        acts, what = "never", f"nothing: {off}"
    elif before is not None:
        acts, what = "never", f"nothing: {shown(before)} is found before it"
    return Door(
        kind="customize",
        name=name,
        acts=acts,
        what=what,
        path=shown(path),
        file=facts,
        owner=owner,
        expected=expected(path.rpartition("/")[2], content),
    )


def module_door(
    module: str, path: str, *, by: str, acts: Acts, facts: FileFacts, owner: Owner, kind: Kind = "startup_module"
) -> Door:
    """A module that another door, `by`, names in an import, which may stand behind a condition."""
    return Door(
        kind=kind,
        name=shown(module, _MAX_TITLE),
        acts=acts,
        what=f"{shown(by, _MAX_TITLE)} can import it",
        path=shown(path),
        file=facts,
        owner=owner,
    )
