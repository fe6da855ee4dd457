"""saksi with a replay behind the launch: a mismatch is an alarm, and a match explains what was found of numbers.

What a finding says of state, updates, gradients, data or random numbers, the approved program does too if a replay of
it in a verified environment gave every step bit for bit. What was found of files, hooks, processes and model
checkpoints stands: none of that has to show in numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from saksi.judgement.replay.explained import is_of_numbers
from saksi.judgement.replay.values import Audit
from saksi.range.detectors.findings import Findings
from saksi.range.detectors.protocol import MISMATCH, SAVED, Alarm, Seen

__all__ = ["WithReplay"]


class WithReplay:
    """`saksi findings`, and `saksi audit` of each attempt."""

    name: ClassVar[str] = "saksi with replay"
    names_objects: ClassVar[bool] = True

    def judge(self, seen: Seen) -> tuple[Alarm, ...]:
        """See `Detector.judge`."""
        explained = bool(seen.audits) and all(each.verdict == "match" for each in seen.audits)
        found = (
            msgspec.structs.replace(each, weighs=False) if explained and is_of_numbers(each.code) else each
            for each in Findings().judge(seen)
        )
        return (*found, *(alarm for each in seen.audits for alarm in _alarms(each)))


def _alarms(audit: Audit) -> Iterator[Alarm]:
    for saved in () if audit.saved is None else audit.saved.named:
        when = "before the first step" if saved.step < 0 else f"behind step {saved.step}"
        text = f"file {saved.path} was saved {when}: {saved.how}"
        yield Alarm(code=SAVED, text=text, first_step=max(0, saved.step), weighs=False)
    if audit.verdict != "mismatch":
        return
    for each in audit.named:
        said = (each.stage, each.object, each.file, each.tensor, each.operation, audit.sentence)
        yield Alarm(code=MISMATCH, text=" ".join(word for word in said if word), first_step=each.step)
