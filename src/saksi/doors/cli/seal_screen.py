"""A seal file, and two seals side by side, on a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from saksi.doors.cli.drawing import grid
from saksi.doors.cli.screen import Screen
from saksi.doors.cli.seal_documents import SealDifferenceLine, SealDiffReport, SealReport
from saksi.judgement.changed_lines import Place
from saksi.judgement.expect.values import Expectation, in_words

__all__ = ["draw_seal", "draw_seal_diff"]

_FILES: Final = 6
_TOLD: Final = 12
_PLACES: Final = 5
_DIGEST: Final = 19  # sha256: and twelve digits
_STATES: Final = {
    "approver": ("an approver", "green"),
    "known": ("known here, not an approver", ""),
    "unknown": ("not known here", "yellow"),
    "refused": ("does not verify", "bold red"),
}
_HEADINGS: Final = {"matters": "What matters", "unknown": "Not compared", "told": "Does not matter"}


def draw_seal(report: SealReport, screen: Screen) -> RenderableType:
    """Whether it is approved, by whom, and what it says should run."""
    title = Text("Seal file ").append(screen.plain(report.file, 200), style="bold")
    title.append(f"  {screen.moment(report.created)}  {report.digest[:_DIGEST]}{screen.more}", style="dim")
    rows: list[tuple[str, RenderableType]] = []
    for at, each in enumerate(report.signatures):
        words, style = _STATES[each.state]
        line = Text(f"{screen.plain(each.label, 200)}: ").append(words, style=style)
        rows.append(("Signed by" if at == 0 else "", line))
    rows += [(label, Text(screen.plain(text, 300))) for label, text in _rows(report, screen)]
    return Group(
        title,
        Text(screen.plain(shlex.join(report.command), 300)),
        Text(""),
        Text(screen.plain(report.sentence), style="" if report.approved else "yellow"),
        Text("Next: ").append(screen.plain(report.next_command), style="bold"),
        Text(""),
        grid(rows),
    )


def _rows(report: SealReport, screen: Screen) -> Iterator[tuple[str, str]]:
    said = report.predicate
    if report.name is not None:
        yield "Name", report.name
    yield "Folder", said["workingDirectory"]
    if said["script"] is not None:
        yield "Script", _file(said["script"], screen)
    yield "Git", _git(said["git"], screen)
    for at, each in enumerate(said["files"][:_FILES]):
        yield "Files" if at == 0 else "", _file(each, screen)
    if len(said["files"]) > _FILES:
        yield "", f"{len(said['files']) - _FILES} more: saksi seal show {report.file} --json"
    if said["interpreter"] is not None:
        python = said["interpreter"]
        yield "Interpreter", f"{python['path']} ({python['implementation']} {python['version']})"
    yield "Packages", _packages(said["distributions"])
    if said["seeds"]:
        yield "Seeds", ", ".join(f"{name} {value}" for name, value in said["seeds"].items())
    yield from _declared(said)
    if "rehearsal" in said:
        yield "Rehearsed", _rehearsal(said["rehearsal"])
        for at, each in enumerate(said["rehearsal"].get("code", ())):
            yield "Live code" if at == 0 else "", _code(each)
    yield "Environment", f"{len(said['environment'])} variables"
    yield "On disk", _tree(said.get("environmentTree"), screen)
    for at, (name, reason) in enumerate(said["unobserved"].items()):
        yield "Not observed" if at == 0 else "", f"{name}: {reason}"


def _declared(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the project's file says beforehand."""
    if said["plan"] is not None:
        yield "Plan", _plan(said["plan"])
    if "data" in said:
        yield "Data", _data(said["data"])
    for at, each in enumerate(msgspec.convert(said.get("expect", ()), tuple[Expectation, ...])):
        yield "Expected" if at == 0 else "", in_words(each)
        yield "", f"because: {each.why}"


def _file(file: dict[str, Any], screen: Screen) -> str:
    digest = file["digest"]
    return f"{file['path']}  {file['reason'] if digest is None else digest[:_DIGEST] + screen.more}"


def _git(git: dict[str, Any] | None, screen: Screen) -> str:
    if git is None:
        return "not known: only the files named here are sealed"
    commit = "no commit" if git["commit"] is None else git["commit"][:12]
    paths = [each["path"] for each in git["changed"]]
    changed = f", changed: {', '.join(paths[:_FILES])}{screen.more if len(paths) > _FILES else ''}" if paths else ""
    state = "not known whether changed" if git["dirty"] is None else "clean" if not git["dirty"] else "with changes"
    return f"{commit}, {state}{changed}, {git['untrackedTotal']} files not tracked"


def _tree(tree: dict[str, Any] | None, screen: Screen) -> str:
    if tree is None:
        return "not sealed"
    manifest = tree.get("manifest")
    compared = (
        "compared with no manifest" if manifest is None else f"as the manifest {manifest[:_DIGEST]}{screen.more} says"
    )
    return f"{tree['files']:,} of the interpreter and its packages, {tree['digest'][:_DIGEST]}{screen.more}, {compared}"


def _plan(said: dict[str, Any]) -> str:
    words = [] if said["optimizer"] is None else [said["optimizer"]]
    if said["steps"] is not None:
        words.append("1 step" if said["steps"] == 1 else f"{said['steps']} steps")
    if said["lr"]:
        (_, first), (last, end) = said["lr"][0], said["lr"][-1]
        rate = f"lr {first:.4g}" if first == end else f"lr {first:.4g} to {end:.4g} at step {last}, {said['between']}"
        words.append(rate + (f" after {said['warmUp']} steps of warm-up" if said["warmUp"] else ""))
    if said["maxNorm"] is not None:
        words.append(f"clipped at {said['maxNorm']:.4g}")
    words += [f"{name} {msgspec.json.encode(value).decode()}" for name, value in said["hyperParameters"].items()]
    if said["groups"]:
        words.append(f"{len(said['groups'])} groups with values of their own")
    if "accumulation" in said:
        words.append(f"gradients of {said['accumulation']} backwards an update")
    if "trained" in said:
        words.append(f"trained {', '.join(said['trained'])}")
    if "longestUpdate" in said:
        words.append(f"{said['longestUpdate']:.6g} s an update at most")
    if "reported" in said:
        words.append(f"the loss reported as {', '.join(said['reported'])}")
    return ", ".join(words) or "says nothing"


def _data(said: dict[str, Any]) -> str:
    words = [] if said["items"] is None else [f"{said['items']:,} samples an epoch"]
    words += [f"{said['batch']:,} in a batch"] if "batch" in said else []
    words += [] if said["order"] == "any" else [said["order"]]
    words += [] if said["each"] == "any" else [f"each {said['each']}"]
    words += [] if said["content"] == "any" else ["with the same values each time"]
    if said["dropLast"] is not None:
        words.append("the last batch dropped" if said["dropLast"] else "no batch dropped")
    return ", ".join(words) or "says nothing"


def _rehearsal(said: dict[str, Any]) -> str:
    steps, ranks = said["steps"], said["ranks"]
    words = ["1 step" if steps == 1 else f"{steps} steps"]
    if len(ranks) > 1:
        words.append(f"{len(ranks)} processes")
    losses = [each["loss"] for each in ranks[0]["updates"] if each["optimizer"] == 0 and each["loss"] is not None]
    if losses:
        words.append(f"loss {_short(losses[0])} to {_short(losses[-1])}")
    names = dict.fromkeys(each["className"].rpartition(".")[2] for each in ranks[0]["optimizers"])
    return ", ".join([*words, *list(names)[:_FILES]])


def _code(said: dict[str, Any]) -> str:
    functions = [each["name"] for each in said["functions"]]
    behind = f": runs {', '.join(functions)}" if functions else ""
    return f"{said['name']} ({said['place']}) is not as its source says{behind}"


def _short(number: str) -> str:
    try:
        return f"{float(number):.4g}"
    except ValueError:
        return number[:_DIGEST]


def _packages(distributions: list[dict[str, str]]) -> str:
    known = {each["name"]: each["version"] for each in distributions}
    named = [f"{name} {known[name]}" for name in ("torch", "numpy", "transformers", "lightning") if name in known]
    return f"{len(distributions)}" + (f": {', '.join(named)}" if named else "")


def draw_seal_diff(report: SealDiffReport, screen: Screen) -> RenderableType:
    """The answer, then what matters, what could not be compared, and the rest."""
    matters = any(each.weight == "matters" for each in report.differences)
    parts: list[RenderableType] = [
        grid((("A", Text(screen.plain(report.a), style="bold")), ("B", Text(screen.plain(report.b), style="bold")))),
        Text(""),
        Text(screen.plain(report.sentence), style="bold" if matters else ""),
    ]
    for weight, heading in _HEADINGS.items():
        lines = [each for each in report.differences if each.weight == weight]
        if not lines:
            continue
        parts += [Text(""), Text(heading, style="dim")]
        shown = lines[:_TOLD] if weight == "told" else lines
        for each in shown:
            parts += _difference(each, screen)
        if len(lines) > len(shown):
            more = f"{len(lines) - len(shown)} more: saksi seal diff {report.a} {report.b} --json"
            parts.append(Text(screen.plain(more), style="dim"))
    return Group(*parts)


def _difference(each: SealDifferenceLine, screen: Screen) -> Iterator[RenderableType]:
    yield Text(screen.plain(each.sentence, 400))
    for place in each.places[:_PLACES]:
        yield Padding(Text(screen.plain(_place(place), 300)), (0, 0, 0, 2))
    if len(each.places) > _PLACES:
        yield Padding(Text(f"{len(each.places) - _PLACES} more files", style="dim"), (0, 0, 0, 2))


def _place(place: Place) -> str:
    return f"{place.path} changed" if place.line is None else f"{place.path} line {place.line} changed"
