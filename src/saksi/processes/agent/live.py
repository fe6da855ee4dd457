"""The same checks that are run over a stored log, driven while it is being written.

They are imported when the first news is asked for. That is before the job starts: what a job makes of saksi's files is
no code of the process that holds the key of its attempt. Known weakness: an agent that takes over from one that died
asks for news while the job runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from saksi.judgement.items import Item, lines_of
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.records import AnyRecord, BlockRecord, FindingRecord

if TYPE_CHECKING:
    from saksi.judgement.checks.judging import Judging

__all__ = ["LiveChecks"]

_logger = logging.getLogger(__name__)

_NOT_JUDGED: Final = "the record was not judged: the checks failed"
MAX_FINDINGS: Final = 1_024
"""Findings written while the run goes on; the same checks over the stored log find the rest again."""


class LiveChecks:
    """Takes what was committed and collects what is news. Owned by the agent's one thread."""

    def __init__(self) -> None:
        self._judging: Judging | None = None
        self._early: list[Item] = []
        self._news: list[Finding] = []
        self._announced = 0
        self._failed = False
        self._instead: str | None = None

    def take(self, index: int, record: AnyRecord, block: bytes | None) -> None:
        """One committed record, with the content of the blob that it names."""
        if isinstance(record, FindingRecord) or self._failed:
            return
        try:
            if isinstance(record, BlockRecord):
                item = Item(index=index, record=record, lines=() if block is None else lines_of(block))
            else:
                item = Item(index=index, record=record, content=block)
        except MalformedInput as error:  # cannot be: each line passed the same parser on its way in
            item = Item(index=index, record=record, unread="malformed", reason=str(error))
        if self._judging is None:
            self._early.append(item)
        else:
            self._judge(self._judging, item)

    def begin(self) -> None:
        """Judge what was taken so far, and from here on at once."""
        if self._judging is not None or self._failed:
            return
        try:
            from saksi.judgement.checks import ALL  # noqa: PLC0415 - a tenth of a second, see above
            from saksi.judgement.checks.judging import Judging  # noqa: PLC0415 - as above
        except Exception:  # saksi was upgraded or removed since the launch; the writing goes on
            _logger.exception("the checks could not be loaded; nothing is judged")
            self._failed = True
            return
        self._judging = Judging(ALL)
        early, self._early = self._early, []
        for item in early:
            self._judge(self._judging, item)

    def _judge(self, judging: Judging, item: Item) -> None:
        if self._failed:
            return
        try:
            self._news.extend(judging.take(item))
        except Exception:  # what is judged comes from the job; an error of ours must not end the writing
            _logger.exception("entry %d could not be judged; nothing is judged from here on", item.index)
            self._failed = True

    def begin_late(self, sentence: str) -> None:
        """The record before this is not judged here: `sentence` is said at the end instead of what was counted."""
        self._instead = sentence

    def forget_written(self, written: Iterable[Finding]) -> None:
        """Of the news so far, keep what is not in `written`: what the agent before did not come to write down."""
        self.begin()
        known = {(each.code, each.subject, each.severity) for each in written}
        self._news = [each for each in self._news if (each.code, each.subject, each.severity) not in known]
        self._announced += len(known)

    def news(self) -> tuple[Finding, ...]:
        """What was found since the last call; at most `MAX_FINDINGS` in a run."""
        self.begin()
        room = MAX_FINDINGS - self._announced
        news, self._news = tuple(self._news[:room]), []
        self._announced += len(news)
        return news

    def closing_findings(self) -> tuple[Finding, ...]:
        """Everything found, at the end; nothing where not everything was judged here. Never raises."""
        self.begin()
        try:
            if self._judging is None or self._failed or self._instead is not None:
                return ()
            return self._judging.findings(ended=True)
        except Exception:  # as above
            _logger.exception("the record could not be judged")
            return ()

    def closing_sentence(self) -> str:
        """What the launcher says at the end: how much was witnessed, and whether anything was found. Never raises."""
        self.begin()
        try:
            if self._judging is None or self._failed:
                return _NOT_JUDGED
            return self._instead or self._sentence(self._judging)
        except Exception:  # as above: what was written stays good, and `verify` judges it again
            _logger.exception("the record could not be judged")
            return _NOT_JUDGED

    def _sentence(self, judging: Judging) -> str:
        from saksi.judgement.checks.coverage import COVERAGE  # noqa: PLC0415 - as above

        findings = judging.findings(ended=True)
        coverage = COVERAGE.value(judging.state_of(COVERAGE), findings, ended=True, planned_steps=None)
        expected = "?" if coverage.steps_expected is None else str(coverage.steps_expected)
        witnessed = f"{coverage.steps_witnessed} of {expected} steps witnessed"
        if coverage.steps_expected is None and coverage.steps_witnessed == 0:
            witnessed = "no training was witnessed"
        told = [each for each in findings if each.severity != "info"]
        found = f"{len(told)} finding{'s' if len(told) != 1 else ''}" if told else "nothing found"
        return f"{witnessed}, {found}"
