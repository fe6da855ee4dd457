"""From a judged run to what is printed of it. Pure: values in, documents out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from saksi.doors.cli.attempt_lines import attempt_lines
from saksi.doors.cli.documents import CapsulesLine, EventLine, Evidence, RunLine, ShowReport, State, instant
from saksi.doors.cli.screen import duration
from saksi.judgement.history import History
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.origins import Saved
from saksi.judgement.recorders import independent_agent
from saksi.judgement.seal import Seal
from saksi.judgement.verdict import Judgement, verdict_sentence
from saksi.words.errors import SaksiError
from saksi.words.records import AgentFacts

__all__ = ["EMBEDDED", "run_line", "show_report", "state_of", "unreadable_line"]

EMBEDDED: Final = "the job's own account could have rewritten this record after its last anchor"
"""Evidence level 1 (design, section 2): the agent was started by `saksi run`, in the account of the job."""


def state_of(history: History, *, live: bool) -> State:
    """Where a run is; `live` is whether an agent writes it now."""
    if live:
        return "running"
    return "ended" if history.ended else "interrupted"


def run_line(judgement: Judgement, seal: Seal | None, *, short: str | None = None) -> RunLine:
    """The run's line in the list. `short` says why its log is not whole, if it is not."""
    report, history = judgement.report, judgement.history
    return RunLine(
        run=report.run,
        name=None if seal is None else seal.name,
        project=None if seal is None else seal.project,
        started=instant(history.first_wall_ns),
        state=state_of(history, live=not judgement.ended),
        attempts=len(history.attempts),
        steps_witnessed=report.coverage.steps_witnessed,
        steps_expected=report.coverage.steps_expected,
        verdict=report.verdict,
        sentence=verdict_sentence(judgement).text + _not_whole(short),
        error=None,
    )


def unreadable_line(run: str, error: SaksiError) -> RunLine:
    """The line of a run that cannot be read: a damaged one must not hide the others."""
    return RunLine(
        run=run,
        name=None,
        project=None,
        started=None,
        state="unreadable",
        attempts=0,
        steps_witnessed=0,
        steps_expected=None,
        verdict="unknown",
        sentence="",
        error=str(error),
    )


def show_report(
    judgement: Judgement,
    seal: Seal | None,
    *,
    short: str | None = None,
    elsewhere: Sequence[Saved] = (),
    keys: Mapping[int, LaunchKey] | None = None,
    attempt: int | None = None,
    within: History | None = None,
    suppressed: int = 0,
    capsules: Mapping[int, CapsulesLine] | None = None,
) -> ShowReport:
    """Everything that one screen shows. `short` says why the log is not whole, if it is not.

    The judgement has the findings that count; `suppressed` is how many do not.

    `elsewhere` are saves of other runs that explain loads of this one, `keys` those of its launches. With `attempt`,
    attempts, events and series are of that one, the latter two from `within`; what is held of the run is held of all.
    `capsules` are those of its attempts, by number.
    """
    report, history = judgement.report, judgement.history
    lines = attempt_lines(report.run, history, elsewhere, keys, capsules)
    seen = within or history
    said = verdict_sentence(judgement)
    sealed_reason = "" if seal is not None else " The seal could not be read."
    return ShowReport(
        run=report.run,
        attempt=attempt,
        name=None if seal is None else seal.name,
        project=None if seal is None else seal.project,
        command=() if seal is None else seal.command.argv,
        level=None if seal is None else seal.level,
        started=instant(history.first_wall_ns),
        state=state_of(history, live=not judgement.ended),
        verdict=report.verdict,
        sentence=said.text + sealed_reason + _not_whole(short),
        next_command=said.next_command if short is None else f"saksi fsck {report.run}",
        evidence=_evidence(report.run, history),
        coverage=report.coverage,
        attempts=tuple(each for each in lines if attempt is None or each.number == attempt),
        series=seen.series,
        events=tuple(
            EventLine(
                entry=each.entry,
                at=instant(each.wall_ns),
                attempt=each.attempt,
                rank=each.rank,
                step=each.step,
                kind=each.kind,
                text=each.text,
            )
            for each in seen.events
        ),
        events_omitted=seen.events_omitted,
        findings=report.items,
        suppressed=suppressed,
    )


def _not_whole(short: str | None) -> str:
    return "" if short is None else f" The log is not whole: {short}."


def _evidence(run: str, history: History) -> Evidence:
    kept = [each for each in history.anchors if each.last_size is not None]
    agent = independent_agent(each for attempt in history.attempts for each in attempt.recorders)
    level, who = (1, EMBEDDED) if agent is None else (agent.level, _served(agent))
    if not kept:
        never = "it was never anchored" + (": see `saksi run --anchor`" if agent is None else "")
        sentence = f"{who}; {'no anchor was kept' if history.anchors else never}"
        return Evidence(level=level, entries=history.entries, anchored=None, sentence=sentence)
    # What the run says of its anchors is the agent's word; comparing with one is what shows a rewritten record.
    best = max(kept, key=lambda each: each.last_size or 0)
    stretch = duration(best.longest_stretch_ns / 1e9)
    sentence = f"{who} (longest stretch without one {stretch}; compare: saksi verify {run} --anchor {best.target})"
    return Evidence(level=level, entries=history.entries, anchored=best.last_size, sentence=sentence)


def _served(agent: AgentFacts) -> str:
    hidden = f"; not visible to it: {', '.join(sorted(agent.not_checkable))}" if agent.not_checkable else ""
    return (
        f"account {agent.uid} recorded what account {agent.account} ran, which cannot reach the record; "
        f"account {agent.uid} and root could have rewritten it after its last anchor{hidden}"
    )
