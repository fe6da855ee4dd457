"""`saksi doctor`: whether a resume really continues, and which ingredient of reproducibility is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.doctor_launches import MAX_STEPS, DoctorAsked, examined
from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.screen import screen_of_output, write
from saksi.edges.configuration import read_configuration
from saksi.judgement.doctor.values import DoctorVerdict
from saksi.judgement.replay.resume import resume_of
from saksi.words.errors import UsageError

__all__ = ["register"]

_EXIT_CODES: Final[dict[DoctorVerdict, int]] = {"continues": 0, "missing": 1, "unknown": 3}


def doctor(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, as `saksi run` would get it.")],
    *,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", help="Steps before the kill, at least, and after the resume.")
    ] = 4,
    resume_with: Annotated[
        str | None,
        typer.Option(metavar="WORDS", help="Put behind the command to resume; {ckpt}: the last one saved, {folder}."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Launch again with N threads at the end; else 1, or 2.")
    ] = None,
    no_threads: Annotated[bool, typer.Option("--no-threads", help="Leave out the launch with other threads.")] = False,
    limit: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="End a launch after this.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.doctor/v1.")] = False,
) -> int:
    """Say whether a resume really continues, and which ingredient of reproducibility is missing.

    The command runs some steps beyond its first model checkpoint; again until it is killed there; then what resumes it;
    and once more with other threads. Where it can write over nothing and reach no network. The launches are held
    against each other bit for bit: the first field that differs is named, what that usually means, and the remedy.

    Ends with 0 if it continues, 1 if an ingredient is missing, 3 if it could not be judged.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError(f"--steps {steps} is not a number of steps", remedy=f"1 to {MAX_STEPS}")
    resume = read_configuration(Path.cwd()).settings.resume
    if resume_with is not None:
        resume = resume_of(resume_with, "--resume-with", named="*" if resume is None else resume.named)
    found = examined(
        DoctorAsked(
            command=tuple(command),
            folder=Path.cwd(),
            steps=steps,
            resume=resume,
            limit_s=limit,
            threads=threads,
            with_threads=not no_threads,
        )
    )
    if as_json:
        write(encode(found))
    else:
        from saksi.doors.cli.doctor_screen import draw_doctor  # noqa: PLC0415 - rich only where something is drawn
        from saksi.doors.cli.drawing import render  # noqa: PLC0415 - as above

        screen = screen_of_output()
        write(render(draw_doctor(found, screen), screen))
    return _EXIT_CODES[found.verdict]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "doctor",
        help=help_text(
            doctor,
            "saksi doctor -- python train.py",
            'saksi doctor --resume-with "--resume {ckpt}" -- python train.py --save-every 2',
        ),
        context_settings={"allow_interspersed_args": False},
    )(doctor)
