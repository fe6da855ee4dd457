"""Is the launch as its seal file says? The seal of each attempt is compared with the file it was launched under.

Both are blobs that the log commits to, so this follows from the record alone; who approved the file depends on the keys
of whoever asks, and is judged in `approvals`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.deviations import Deviation, deviations
from saksi.judgement.items import Item
from saksi.judgement.seal import Seal, parse_seal
from saksi.judgement.seal_file import SealFile, parse_seal_file
from saksi.proofs.attest.envelope import parse_envelope
from saksi.words.errors import SaksiError
from saksi.words.findings import Finding, Severity
from saksi.words.records import ApprovalRecord, SealRecord

__all__ = ["CHECK_NAME", "SEALS", "SealCheck", "file_in", "finding_of", "held_to", "seal_in", "seal_in_envelope"]

CHECK_NAME: Final = "seal"
_USUAL: Final = " Before is the seal file, after this launch; an edit or upgrade not approved anew is the usual cause."
_finding = partial(observation, check=CHECK_NAME)


def seal_in_envelope(content: bytes) -> Seal | None:
    """The seal in an envelope, its signatures not judged; `None` if it is none."""
    try:
        return parse_seal(parse_envelope(content).payload)
    except SaksiError:
        return None


def seal_in(item: Item) -> Seal | None:
    """The seal that an item holds; `None` if it is not at hand, or is none."""
    return None if item.content is None else seal_in_envelope(item.content)


def file_in(item: Item) -> SealFile | None:
    """The seal file that an item holds; `None` if it is not at hand, or is none."""
    try:
        return None if item.content is None else parse_seal_file(item.content).file
    except SaksiError:
        return None


def held_to(file: SealFile, seal: Seal) -> tuple[Deviation, ...]:
    """How a launch with this seal is not as `file` says.

    The environment's files and the rehearsal have checks of their own: a seal names neither.
    """
    return deviations(file, seal)


class _State:
    __slots__ = ("noted", "seals")

    def __init__(self) -> None:
        self.seals: dict[int, tuple[int, Seal | None]] = {}
        self.noted = Noted()


class SealCheck:
    """Compares the seal of each attempt with the seal file that it was launched under, where there is one."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SealRecord):
            state.seals.setdefault(record.attempt, (item.index, seal_in(item)))
        elif isinstance(record, ApprovalRecord):
            self._compare(state, item, record.attempt)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()

    def _compare(self, state: _State, item: Item, attempt: int) -> None:
        entry, seal = state.seals.get(attempt, (item.index, None))
        evidence, file = (entry, item.index), file_in(item)
        if seal is None or file is None:
            which = "The seal" if seal is None else "The seal file"
            message = f"{which} is not at hand or cannot be read, so the launch was not compared with what was sealed."
            state.noted.note(
                _finding(
                    code="seal.not_checkable",
                    severity="info",
                    subject=f"attempt {attempt}",
                    message=message,
                    evidence=evidence,
                )
            )
            return
        for each in held_to(file, seal):
            state.noted.note(finding_of(each, evidence))


def finding_of(deviation: Deviation, evidence: tuple[int, ...]) -> Finding:
    """The finding that tells of a deviation."""
    code = "seal.not_checkable" if deviation.weight == "unknown" else "seal.differs"
    severity: Severity = "warning" if deviation.weight == "matters" else "info"
    message = deviation.sentence
    if deviation.weight == "matters":
        message += _USUAL
    return _finding(code=code, severity=severity, subject=deviation.subject, message=message, evidence=evidence)


SEALS: Final = SealCheck()
