"""The settings a project may give: `saksi.toml`, or the table `[tool.saksi]` of `pyproject.toml`.

A project's files may be what was attacked. So they say how a run is labelled, how much of it is recorded and what is
planned and what is expected (which counts for a run once an approver has signed it), never whom to trust, how strictly
to judge or where to send anything: such a key is refused, not ignored, since somebody wanted it to have an effect.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final, get_args

import msgspec

from saksi.judgement.expect.table import expectations_in
from saksi.judgement.expect.values import Expectation
from saksi.judgement.plan.data import DataPlan, data_in
from saksi.judgement.plan.table import plan_in
from saksi.judgement.plan.values import Plan
from saksi.words.errors import UsageError
from saksi.words.run import Level

__all__ = ["KEYS", "MAX_CONFIGURATION_BYTES", "Configuration", "check_label", "parse_configuration"]

MAX_CONFIGURATION_BYTES: Final = 1 << 20
"""A `pyproject.toml` with every tool's settings has some ten kilobytes."""
KEYS: Final = ("data", "expect", "level", "name", "plan", "project", "replay", "segment")
_NEVER: Final = (
    *("anchor", "anchors", "cache", "home", "key", "keys", "mode", "notify", "require", "scratch", "server", "socket"),
    *("suppress", "suppressions", "token", "trust", "trusted", "trusted_keys", "url", "webhook"),
)
_MAX_WORDS: Final = 4096
"""Of a command line's end."""
_LEVELS: Final[tuple[Level, ...]] = get_args(Level)
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@+-]{0,98}[A-Za-z0-9._@+-])?", re.ASCII)
_RUN_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's file says; None where it says nothing."""

    name: str | None = None
    project: str | None = None
    level: Level | None = None
    segment: int | None = None
    plan: Plan | None = None
    expect: tuple[Expectation, ...] = ()
    data: DataPlan | None = None
    resume: str | None = None


def parse_configuration(content: bytes, *, where: str, table: tuple[str, ...] = ()) -> Configuration | None:
    """The settings in a TOML file, in the table named by `table` (`("tool", "saksi")`); None if that is absent.

    Raises `UsageError` of one line that names the file and the key.
    """
    if len(content) > MAX_CONFIGURATION_BYTES:
        raise UsageError(f"{where}: longer than {MAX_CONFIGURATION_BYTES} bytes")
    try:
        found: object = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        raise UsageError(
            f"{where}: not TOML: {str(error).splitlines()[0] if str(error) else 'nested too deep'}"
        ) from None
    for name in table:
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        return None
    if not isinstance(found, dict):
        raise UsageError(f"{where}: {'.'.join(table)} is not a table")
    return _settings(found, where)


def _settings(found: dict[str, object], where: str) -> Configuration:
    for key in sorted(found):
        if key in _NEVER:
            raise UsageError(
                f"{where}: {key!r} is never read from a project's files",
                remedy="give it on the command line or in the environment: the project may be what was attacked",
            )
        if key not in KEYS:
            raise UsageError(f"{where}: unknown key {key[:80]!r}", remedy=f"known keys: {', '.join(KEYS)}")
    level, segment = found.get("level"), found.get("segment")
    if level is not None and level not in _LEVELS:
        raise UsageError(f"{where}: level is not one of {', '.join(_LEVELS)}")
    if segment is not None and (type(segment) is not int or not 1 <= segment < 2**63):
        raise UsageError(f"{where}: segment is not a number of steps, at least 1")
    return Configuration(
        name=_label(found, "name", where),
        project=_label(found, "project", where),
        level=next((each for each in _LEVELS if each == level), None),
        segment=segment if isinstance(segment, int) else None,
        plan=plan_in(found.get("plan"), where),
        expect=expectations_in(found.get("expect"), where),
        data=data_in(found.get("data"), where),
        resume=_resume(found.get("replay"), where),
    )


def _resume(replay: object, where: str) -> str | None:
    """The words that make the command go on from a model checkpoint, of the table `replay`."""
    if replay is None:
        return None
    if not isinstance(replay, dict) or set(replay) - {"resume"}:
        raise UsageError(f"{where}: replay is not a table with the key resume alone")
    words = replay.get("resume")
    if words is None:
        return None
    if not isinstance(words, str) or len(words) > _MAX_WORDS:
        raise UsageError(f"{where}: replay.resume is not a text of at most {_MAX_WORDS} characters")
    return words


def _label(found: dict[str, object], key: str, where: str) -> str | None:
    value = found.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"{where}: {key} is not a text")
    return check_label(value, what=f"{where}: {key}")


def check_label(text: str, *, what: str) -> str:
    """`text`, if it can name a run or a project. Raises `UsageError`.

    `last` and what has the form of a run id would hide other runs from `find_run`.
    """
    if _LABEL.fullmatch(text) is None or text == "last" or _RUN_ID.fullmatch(text) is not None:
        raise UsageError(
            f"{what} {text[:120]!r} cannot be a name",
            remedy="use 1 to 100 letters, digits, spaces and . _ @ + -; not `last`, and not the form of a run id",
        )
    return text
