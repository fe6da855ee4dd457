"""Suppressions: findings that somebody explained, for a time, in this home. Pure: journal bytes in, values out.

The journal has one line for each act, a suppression made or ended, and is never rewritten; what is in force is the
fold over it.

Rules:

- A suppression names one code, the subject (`*` stands for any text), a reason, an owner and the last day (UTC) on
  which it holds, at most `MAX_DAYS` later: what nobody looks at again is hidden for good.
- It covers findings up to a severity, `warning` unless `critical` was said: what gets worse is told again.
- What is about the witness itself or about whose signature counts is never suppressed, whatever a journal says: no
  owner can vouch for it.
- A suppressed finding is set apart, never left out, and changes neither coverage nor what `verify` says elsewhere.

Known weakness: the journal lies in the home, and whoever can write there can suppress. So can a run that calls itself
of a project, for what is suppressed in that project.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from saksi.judgement.subjects import fits
from saksi.words.errors import UsageError
from saksi.words.findings import Finding, Severity, at_or_above

__all__ = [
    "MAX_ACTS",
    "MAX_DAYS",
    "MAX_JOURNAL_BYTES",
    "MAX_LABEL",
    "MAX_TEXT",
    "NEVER",
    "Ended",
    "Made",
    "Scope",
    "SetApart",
    "Suppressed",
    "Suppression",
    "check_made",
    "format_act",
    "parse_suppressions",
    "set_apart",
    "suppressible",
]

NEVER: Final = ("witness.", "seal.signature_unknown")
"""Prefixes of codes that no suppression covers."""
MAX_DAYS: Final = 366
MAX_ACTS: Final = 10_000
"""Lines of one journal: 27 acts a day for a year. More is somebody filling the home."""
MAX_JOURNAL_BYTES: Final = 32 << 20
MAX_TEXT: Final = 1_024
MAX_LABEL: Final = 100
_LINE_BYTES: Final = 16_384
_CODE: Final = r"^[a-z]+(?:\.[a-z_]+)+\Z"

_Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
_Label = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)]
_Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}\Z")]


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="made"):
    """A suppression, as it was made by `account`. Without `run` and `project` it holds for every run of the home."""

    id: _Id
    at: datetime
    account: Annotated[int, Meta(ge=0, le=2**32)]
    code: Annotated[str, Meta(pattern=_CODE, max_length=100)]
    subject: _Text
    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")] | None
    project: _Label | None
    up_to: Severity
    reason: _Text
    owner: _Label
    until: date


class Ended(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="act", tag="ended"):
    """A suppression was ended by `account` before its time."""

    id: _Id
    at: datetime
    account: Annotated[int, Meta(ge=0, le=2**32)]


Act: TypeAlias = Made | Ended


class Suppression(NamedTuple):
    """A suppression and what became of it."""

    made: Made
    ended: Ended | None

    def in_force(self, now: datetime) -> bool:
        """Whether it was not ended, and its last day is not over."""
        return self.ended is None and now.astimezone(UTC).date() <= self.made.until


class Scope(NamedTuple):
    """The run that is judged, and the project that it says it belongs to."""

    run: str
    project: str | None


class Suppressed(NamedTuple):
    """A finding, and the suppression that covers it."""

    finding: Finding
    by: Made


class SetApart(NamedTuple):
    """Findings that count, findings that are suppressed, and suppressions that would cover one and are over."""

    standing: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    expired: tuple[Made, ...]


_DECODER: Final = msgspec.json.Decoder(Act)


def suppressible(code: str) -> bool:
    """Whether findings with this code may be suppressed at all."""
    return not code.startswith(NEVER)


def check_made(made: Made) -> str | None:
    """Why this cannot be a suppression, or `None`."""
    if not suppressible(made.code):
        return f"{made.code} is about the witness itself or a signature, and is never suppressed"
    if any(not text.isprintable() for text in (made.subject, made.project or "", made.reason, made.owner)):
        return "a text of it has characters that cannot be shown"
    if made.at.tzinfo is None:
        return "its time has no zone"
    try:
        day = made.at.astimezone(UTC).date()
    except OverflowError:  # in its zone it is a day of the calendar, in UTC it is none
        return "its time is not in the calendar"
    if made.until < day:
        return f"its last day {made.until} is over"
    if made.until - day > timedelta(days=MAX_DAYS):
        return f"its last day {made.until} is more than {MAX_DAYS} days away"
    return None


def format_act(act: Act) -> bytes:
    """The act as one line of the journal. Inverse: `parse_suppressions`."""
    return msgspec.json.encode(act) + b"\n"


def parse_suppressions(content: bytes, *, where: str) -> tuple[Suppression, ...]:
    """The suppressions of a journal, the oldest first. What follows the last line break was never finished: ignored.

    Raises `UsageError` of one line that names the file, the line and the remedy: a list that is partly believed
    misleads.
    """
    if len(content) > MAX_JOURNAL_BYTES:
        raise UsageError(f"{where}: longer than {MAX_JOURNAL_BYTES} bytes", remedy="move it away and begin anew")
    lines = content.split(b"\n")[:-1]
    if len(lines) > MAX_ACTS:
        raise UsageError(f"{where}: more than {MAX_ACTS} lines", remedy="move it away and begin anew")
    found: dict[str, Suppression] = {}
    for number, line in enumerate(lines, start=1):
        reason = _take(found, line)
        if reason is not None:
            raise UsageError(
                f"{where}, line {number}: {reason}",
                remedy="it is written by `saksi findings suppress` alone: see who changed it, and take the line out",
            )
    return tuple(found.values())


def _take(found: dict[str, Suppression], line: bytes) -> str | None:
    """One line of the journal taken in; why not, or `None`."""
    if len(line) > _LINE_BYTES:
        return f"longer than {_LINE_BYTES} bytes"
    try:
        act = _DECODER.decode(line)
        canonical = msgspec.json.encode(act) == line
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError, OverflowError) as error:
        return str(error).splitlines()[0][:200] if str(error) else "not JSON"
    if not canonical:
        return "not written as saksi writes it"
    if isinstance(act, Ended):
        old = found.get(act.id)
        if old is None or old.ended is not None:
            return f"ends {act.id}, which is not in force before it"
        found[act.id] = old._replace(ended=act)
        return None
    if act.id in found:
        return f"makes {act.id} a second time"
    found[act.id] = Suppression(act, None)
    return check_made(act)


def set_apart(
    findings: Iterable[Finding], suppressions: Sequence[Suppression], scope: Scope, *, now: datetime
) -> SetApart:
    """Which findings count, and which are suppressed at the time `now`. Each finding is in exactly one of the two."""
    standing: list[Finding] = []
    suppressed: list[Suppressed] = []
    expired: dict[str, Made] = {}
    alive = [each.made for each in suppressions if each.in_force(now)]
    over = [each.made for each in suppressions if each.ended is None and not each.in_force(now)]
    for finding in findings:
        by = next((each for each in alive if _covers(each, finding, scope)), None)
        if by is not None:
            suppressed.append(Suppressed(finding, by))
            continue
        standing.append(finding)
        expired |= {each.id: each for each in over if _covers(each, finding, scope)}
    return SetApart(tuple(standing), tuple(suppressed), tuple(expired.values()))


def _covers(made: Made, finding: Finding, scope: Scope) -> bool:
    return (
        suppressible(finding.code)
        and made.code == finding.code
        and at_or_above(made.up_to, finding.severity)
        and made.run in (None, scope.run)
        and made.project in (None, scope.project)
        and fits(made.subject, finding.subject)
    )
