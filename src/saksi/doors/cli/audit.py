"""`saksi audit`: the run's own program once more, from its first step, held against the record bit for bit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from saksi.doors.cli.audit_environment import NOTHING_APPROVED, Basis, basis_of, verify_here
from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import find_attempt, items_of, items_within, judged, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, write
from saksi.doors.launch.ending_signals import EndingSignals
from saksi.edges.home import resolve_home
from saksi.edges.runs import RunMaterials
from saksi.judgement.diff import Difference, diff
from saksi.judgement.replay.invocation import Invocation, invocation_of
from saksi.judgement.replay.judge import Compared, audit_of, cannot_replay, needs_repeat, not_replayed
from saksi.judgement.replay.recorded import Recorded, recorded_of
from saksi.judgement.replay.tensors import leaves_at, tensors_apart
from saksi.judgement.replay.values import Audit, EnvironmentLine, ReplayVerdict
from saksi.judgement.seal import Seal
from saksi.processes.auditor.replaying import NotReplayed, Replay, Replayed, replay, scratch_folder
from saksi.words.errors import UsageError
from saksi.words.findings import at_or_above, is_about_coverage
from saksi.words.records import BlockRecord

__all__ = ["register"]

_EXIT_CODES: Final[dict[ReplayVerdict, int]] = {"match": 0, "mismatch": 1, "not_checkable": 3}
_LEAST_S: Final = 120.0
_TIMES: Final = 4
"""A replay may take so many times what the run took, if nobody says."""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One audit, before anything is replayed."""

    reading: RunMaterials
    attempt: int
    seal: Seal
    recorded: Recorded
    basis: Basis | None
    invocation: Invocation
    environment: EnvironmentLine
    limit_s: float
    data_unchanged: bool


def audit(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, unique prefix, name, `last`; RUN@N: attempt N.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="The command, where a part of it was hidden.")
    ] = None,
    *,
    seal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The approved seal file; else the one the run was launched under."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="EXE", help="Replay with this interpreter in the place of the sealed one.")
    ] = None,
    data_unchanged: Annotated[
        bool,
        typer.Option("--data-unchanged", help="Say that the data is as the run had it: then other content counts."),
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="End a replay after this. Else 4 times the run's time."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.audit/v1.")] = False,
) -> int:
    """Replay a run in its sealed environment, and say whether it did what the sealed program does.

    The command runs again from its first step, where it can write over nothing and reach no network. `match` and
    `mismatch` need an environment that verifies against an approved seal file; else the answer is `not_checkable`, with
    the first difference all the same.

    Ends with 0 for match, 1 for mismatch, 3 for not_checkable.
    """
    found = _audited(_asked(run, tuple(command or ()), seal, python, limit, data_unchanged=data_unchanged))
    if as_json:
        write(encode(found))
    else:
        from saksi.doors.cli.audit_screen import draw_audit  # noqa: PLC0415 - rich only where something is drawn
        from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above

        screen = screen_of_output()
        write(render(draw_audit(found, screen), screen))
    return _EXIT_CODES[found.verdict]


def _asked(
    run: str,
    command: tuple[str, ...],
    given: Path | None,
    python: str | None,
    limit: float | None,
    *,
    data_unchanged: bool,
) -> _Asked | Audit:
    """What is to be replayed; the audit at once where nothing can be. Raises `UsageError`."""
    named = find_attempt(run)
    reading = open_reading(named.run)
    recorded = recorded_of(items_of(reading), named.attempt or 0)
    if named.attempt is None and recorded.attempts > 1:
        raise UsageError(
            f"run {named.run} has {recorded.attempts} attempts", remedy=f"name the one to replay: {named.run}@0"
        )
    attempt = named.attempt or 0
    basis = basis_of(reading, attempt, given)
    own = seal_of(reading, attempt)
    sealed = own if basis is None else basis.signed.file
    environment = NOTHING_APPROVED
    if own is None or sealed is None:
        return not_replayed(reading.run, attempt, recorded, environment, ("the seal of the run cannot be read",))
    why = "the run goes on" if reading.live else cannot_replay(recorded)
    invocation = invocation_of(sealed, os.environ, python=python, command=command)
    if why is not None or isinstance(invocation, str):
        return not_replayed(reading.run, attempt, recorded, environment, (why or str(invocation),))
    if not Path(invocation.folder).is_dir():
        reason = f"the folder that the command was started in is not here: {invocation.folder}"
        return not_replayed(reading.run, attempt, recorded, environment, (reason,))
    if basis is not None:
        environment = verify_here(basis, invocation)
    return _Asked(
        reading=reading,
        attempt=attempt,
        seal=own,
        recorded=recorded,
        basis=basis,
        invocation=invocation,
        environment=environment,
        limit_s=limit or max(_LEAST_S, _TIMES * recorded.took_ns / 1e9),
        data_unchanged=data_unchanged,
    )


def _audited(asked: _Asked | Audit) -> Audit:
    """The program once, and once more where there is a difference that would be a mismatch."""
    if isinstance(asked, Audit):
        return asked
    layered = _written(asked)
    try:
        with EndingSignals() as signals, scratch_folder(layered) as scratch:
            first = _once(asked, layered, scratch, signals, what="replaying")
            if first.reading is None:
                reason = f"the replay left no record: {first.ending}"
                return not_replayed(asked.reading.run, asked.attempt, asked.recorded, asked.environment, (reason,))
            compared = _compared(asked, first, first.reading)
            if needs_repeat(compared):
                with scratch_folder(layered) as other:
                    second = _once(asked, layered, other, signals, what="replaying once more")
                    if second.reading is not None:
                        again = _difference(first.reading, 0, second.reading)
                        compared = msgspec.structs.replace(compared, repeated=again)
    except NotReplayed as refused:
        return not_replayed(asked.reading.run, asked.attempt, asked.recorded, asked.environment, (str(refused),))
    environment = asked.environment
    if environment.verified and asked.basis is not None:  # what was changed meanwhile was replayed with
        environment = verify_here(asked.basis, asked.invocation)
    return audit_of(
        asked.reading.run, asked.attempt, compared, environment, findings=judged(asked.reading).report.items
    )


def _once(asked: _Asked, layered: Sequence[Path], scratch: Path, signals: EndingSignals, *, what: str) -> Replayed:
    task = Replay(
        invocation=asked.invocation,
        level=asked.seal.level,
        segment=asked.seal.segment,
        written=tuple(layered),
        hidden=(resolve_home(os.environ).root,),
        limit_s=asked.limit_s,
    )
    size = sum(len(entry) for entry in asked.reading.entries) + sum(
        each.record.size for each in items_of(asked.reading) if isinstance(each.record, BlockRecord)
    )
    with counter(max(1, size >> 10), what, shown=True) as hear:
        return replay(task, scratch, said=lambda grown: hear(grown >> 10), waiting=signals.interruptible)


def _written(asked: _Asked) -> tuple[Path, ...]:
    """Folders that the run wrote into, as far as they are here: what is made anew in them is made above them."""
    found: dict[Path, None] = {Path(asked.invocation.folder).resolve(): None}
    for saved in asked.recorded.saved:
        folder = Path(asked.invocation.folder, saved).parent
        while not folder.is_dir():
            folder = folder.parent
        if folder.resolve() != Path("/"):
            found[folder.resolve()] = None
    return tuple(found)


def _compared(asked: _Asked, replayed: Replayed, reading: RunMaterials) -> Compared:
    difference = _difference(asked.reading, asked.attempt, reading)
    first = difference.first
    tensors: tuple[str, ...] = ()
    if first is not None:
        leaves = [
            leaves_at(items_of(each), attempt=attempt, rank=first.rank, step=first.update)
            for each, attempt in ((asked.reading, asked.attempt), (reading, 0))
        ]
        tensors = tensors_apart(*leaves) if all(leaves) else ()
    against = [
        f"the replay itself was found to be otherwise: {each.subject}: {each.message}"
        for each in judged(reading).report.items
        if at_or_above(each.severity, "warning") and not is_about_coverage(each)
    ]
    return Compared(
        recorded=asked.recorded,
        replayed=recorded_of(items_of(reading), 0),
        difference=difference,
        ended=replayed.ending,
        against=tuple(against[:1]) if asked.environment.verified else (),
        tensors=tensors,
        data_unchanged=asked.data_unchanged,
    )


def _difference(one: RunMaterials, attempt: int, other: RunMaterials) -> Difference:
    return diff(
        a=one.run, b="replay", items_a=items_within(one, attempt), items_b=items_of(other), attempts=(attempt, 0)
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "audit",
        help=help_text(audit, "saksi audit last --seal approved.seal", "saksi audit baseline --json"),
    )(audit)
