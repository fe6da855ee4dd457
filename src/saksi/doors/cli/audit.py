"""`saksi audit`: the run's own program once more, from its first step, held against the record bit for bit."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import typer

from saksi.doors.cli.audit_asked import AuditAsked
from saksi.doors.cli.audit_environment import NOTHING_APPROVED, basis_of
from saksi.doors.cli.audit_replays import audited
from saksi.doors.cli.audit_stretches import Wanted, audited_in_part
from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import find_attempt, items_of, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, write
from saksi.judgement.replay.invocation import Invocation, invocation_of
from saksi.judgement.replay.judge import cannot_replay, not_replayed
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.resume import Resume, resume_of
from saksi.judgement.replay.values import Audit, ReplayVerdict
from saksi.words.errors import UsageError

__all__ = ["register"]

_EXIT_CODES: Final[dict[ReplayVerdict, int]] = {"match": 0, "mismatch": 1, "not_checkable": 3}
_LEAST_S: Final = 120.0
_DIGITS: Final = 18
_TIMES: Final = 4
"""A replay may take so many times what the run took, if nobody says."""
_GIB: Final = 1 << 30
_MAX_JOBS: Final = 64
_MAX_THREADS: Final = 1024


class _Limits(NamedTuple):
    """What one replay may take, where it was said, and the threads of one more."""

    seconds: float | None
    memory: int | None
    threads: int | None


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
    no_naming: Annotated[
        bool, typer.Option("--no-naming", help="Name no function: up to four replays less, where there is a mismatch.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=_MAX_THREADS,
            help="Where nothing is proved: once more with N threads, to compare. Of a part: with N from the start.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All steps, from the first; as without it.")] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="K stretches between model checkpoints or capsules, drawn now, and those that matter.",
        ),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="A:B", help="Steps A to B, from the model checkpoint or capsule before.")
    ] = None,
    resume_with: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="How the command resumes: '--resume {ckpt}'. Else [replay] in saksi.toml."),
    ] = None,
    beacon: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A public value that came after the run, for the draw.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=_MAX_JOBS, help="Replays of stretches that go on side by side."),
    ] = 1,
    limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="End a replay after this. Else 4 times the run's time."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB",
            min=0.001,
            max=1 << 20,
            help="End a replay that takes more. Else 90 % of what is free.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.audit/v1.")] = False,
) -> int:
    """Replay a run in its sealed environment, and say whether it did what the sealed program does.

    The command runs again from its first step, where it can write over nothing and reach no network. `match` and
    `mismatch` need an environment that verifies against an approved seal file; else the answer is `not_checkable`, with
    the first difference all the same.

    Ends with 0 for match, 1 for mismatch, 3 for not_checkable.
    """
    part = _part(sample, steps, beacon, jobs, everything=everything)
    if limit is not None and not math.isfinite(limit):
        raise UsageError(f"--limit {limit}: no number of seconds", remedy="leave it out for 4 times the run's time")
    limits = _Limits(limit, None if memory is None else int(memory * _GIB), threads)
    asked = _asked(run, tuple(command or ()), seal, python, limits, data_unchanged=data_unchanged, names=not no_naming)
    if isinstance(asked, Audit):
        found = asked
    elif part is None:
        found = audited(asked)
    else:
        found = audited_in_part(asked, msgspec.structs.replace(part, resume=_resume(resume_with)))
    if as_json:
        write(encode(found))
    else:
        from saksi.doors.cli.audit_screen import draw_audit  # noqa: PLC0415 - rich only where something is drawn
        from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above

        screen = screen_of_output()
        write(render(draw_audit(found, screen), screen))
    return _EXIT_CODES[found.verdict]


def _part(sample: int | None, steps: str | None, beacon: str | None, jobs: int, *, everything: bool) -> Wanted | None:
    """Which part of the run; `None` is all of it. Raises `UsageError`."""
    given = [name for name, here in (("--all", everything), ("--sample", sample), ("--steps", steps)) if here]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are two answers to one question", remedy="leave one of them out")
    if beacon is not None and sample is None:
        raise UsageError("--beacon is for a draw", remedy="give --sample K with it")
    if sample is None and steps is None:
        if jobs > 1:
            raise UsageError("--jobs is for stretches, and all steps are one", remedy="give --sample K or --steps A:B")
        return None
    return Wanted(sample=sample, steps=None if steps is None else _span(steps), beacon=beacon, resume=None, jobs=jobs)


def _span(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    numbers = [each for each in (first, last) if each.isascii() and each.isdigit() and len(each) <= _DIGITS]
    if not colon or len(numbers) != 2 or int(first) > int(last):  # noqa: PLR2004 - both ends
        raise UsageError(f"--steps {text[:40]!r} is no span of steps", remedy="such as --steps 40:59")
    return int(first), int(last)


def _resume(given: str | None) -> Resume | None:
    """How whoever audits says that the command resumes. Raises `UsageError`."""
    resume = None if given is None else resume_of(given, "--resume-with")
    if resume is not None and not resume.chooses:
        raise UsageError("--resume-with does not say where {ckpt} goes", remedy="such as '--resume {ckpt}'")
    return resume


def _asked(
    run: str,
    command: tuple[str, ...],
    given: Path | None,
    python: str | None,
    limits: _Limits,
    *,
    data_unchanged: bool,
    names: bool,
) -> AuditAsked | Audit:
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
    found = invocation_of(own, os.environ, command=command)
    return AuditAsked(
        reading=reading,
        attempt=attempt,
        seal=own,
        recorded=recorded,
        basis=basis,
        invocation=invocation,
        found=found if isinstance(found, Invocation) else None,
        limit_s=limits.seconds or max(_LEAST_S, _TIMES * recorded.took_ns / 1e9),
        memory=limits.memory,
        data_unchanged=data_unchanged,
        names=names,
        threads=limits.threads,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "audit",
        help=help_text(
            audit,
            "saksi audit last --seal approved.seal",
            "saksi audit baseline --json",
            "saksi audit baseline --sample 8 --jobs 4 --memory 16",
        ),
    )(audit)
