"""What `saksi run` was asked to do. Parsed by hand: the launcher starts fast and imports no command-line library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from saksi.doors.launch.capsules import Capsules, parse_capsules
from saksi.judgement.configuration import check_label
from saksi.judgement.launch_key import LaunchKey
from saksi.words.errors import UsageError
from saksi.words.run import Level

__all__ = ["HELP", "LaunchArguments", "parse_arguments"]

HELP: Final = """\
Usage: saksi run [OPTIONS] -- COMMAND [ARGUMENT ...]

Run a training command under witness. The command is not changed, its output is not touched, and its exit code is
returned (128+n for a signal; 125, 126, 127 if it could not be started: saksi itself, not executable, not found).

Options:
  --name N          call the run N; `saksi show N` then finds it
  --project P       the project the run belongs to
  --seal FILE       hold the launch to an approved seal file (`saksi seal create`): what differs is recorded
  --resume RUN      another attempt of RUN (id, unique prefix, name, or `last`) instead of a new run
  --level LEVEL     standard (default), or full: a binding state root after every step
  --segment N       a binding state root every N steps, instead of 10 and later 100
  --overhead-budget PERCENT
                    how much of the time the recorder may take at level standard (3): beyond it, fewer updates give
                    samples after the first hundred; records are never thinned
  --capsules C      write the whole state to files that a replay can begin with: every=STEPS, budget=GIGABYTES
                    (rarer as they fill it), or none (default)
  --anchor A        where signed heads are sent at once: a folder, or a command that reads a note on its input
  --notify N        who hears of findings at once: a command that reads JSON on its input, or an http(s) URL
  --require         do not start the command without a witness (125), nor, with --seal, if it differs from the
                    file or nobody approved that (5)
  -q, --quiet       no line at the start and none at the end
  -h, --help        this text

Example:
  saksi run --name baseline -- python train.py --steps 1000
  saksi show baseline
"""

_WITH_VALUE: Final = (
    "--name", "--project", "--seal", "--resume", "--level", "--segment", "--overhead-budget", "--capsules", "--anchor",
    "--notify", "--bytecode",
)  # fmt: skip
_PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?%?")
_LEVELS: Final[tuple[Level, ...]] = ("standard", "full")


class LaunchArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The options, and the command as it was given. `key` is what the surroundings say, not the command line.

    `bytecode` is for replays alone, and in no help: a folder that the command's bytecode is read from and written to.
    It is no variable, since whoever can set one could have a job read bytecode of theirs.
    """

    command: tuple[str, ...]
    name: str | None = None
    project: str | None = None
    seal: str | None = None
    resume: str | None = None
    level: Level | None = None
    segment: int | None = None
    overhead_budget: float | None = None
    capsules: Capsules | None = None
    anchors: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    bytecode: str | None = None
    require: bool = False
    quiet: bool = False
    help: bool = False
    key: LaunchKey | None = None


def parse_arguments(words: Sequence[str]) -> LaunchArguments:
    """The options before `--` (or the first word that is none), and the command after it. Raises `UsageError`."""
    options: dict[str, str] = {}
    repeated: dict[str, list[str]] = {"--anchor": [], "--notify": []}
    flags: set[str] = set()
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        word, given, value = rest.pop(0).partition("=")
        if word in _WITH_VALUE:
            if not given:
                if not rest:
                    raise UsageError(f"{word} needs a value", remedy="see `saksi run --help`")
                value = rest.pop(0)
            if word in repeated:
                repeated[word].append(value)
            else:
                options[word] = value
        elif not given and word in ("--require", "-q", "--quiet", "-h", "--help"):
            flags.add(word)
        else:
            raise UsageError(
                f"`saksi run` has no option {word}", remedy="see `saksi run --help`; the command follows `--`"
            )
    if rest[:1] == ["--"]:
        del rest[0]
    if not rest and not flags & {"-h", "--help"}:
        raise UsageError("no command to run", remedy="saksi run -- python train.py")
    return LaunchArguments(
        command=tuple(rest),
        name=_label(options.get("--name"), "--name"),
        project=_label(options.get("--project"), "--project"),
        seal=options.get("--seal"),
        resume=options.get("--resume"),
        level=_level(options.get("--level")),
        segment=_segment(options.get("--segment")),
        overhead_budget=_percent(options.get("--overhead-budget")),
        capsules=parse_capsules(options.get("--capsules", "none")),
        anchors=tuple(repeated["--anchor"]),
        notify=tuple(repeated["--notify"]),
        bytecode=options.get("--bytecode"),
        require="--require" in flags,
        quiet=bool(flags & {"-q", "--quiet"}),
        help=bool(flags & {"-h", "--help"}),
    )


def _label(text: str | None, option: str) -> str | None:
    return None if text is None else check_label(text, what=option)


def _level(text: str | None) -> Level | None:
    for level in _LEVELS:
        if text == level:
            return level
    if text is not None:
        raise UsageError(f"--level {text!r} is not a level", remedy="standard or full")
    return None


def _segment(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:  # noqa: PLR2004 - named in the remedy
        raise UsageError(f"--segment {text!r} is not a number of steps", remedy="1 to 1000000")
    return int(text)


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    if _PERCENT.fullmatch(text) is None or not 0 < float(text.rstrip("%")) <= 100:  # noqa: PLR2004 - named in the remedy
        raise UsageError(f"--overhead-budget {text!r} is not a share", remedy="a percentage above 0, up to 100: 3, 0.5")
    return float(text.rstrip("%"))
