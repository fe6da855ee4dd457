"""Acts of sabotage of `saksi range`, played under TrainCheck, drawn as a session of that seed draws them.

TrainCheck learns what a program does from a good run of it. So each program is run clean first, with everything
collected, and invariants are inferred from that trace. A sabotaged copy is then run with what these invariants need,
and checked. *Found*: an invariant is violated that the clean program, run again with another seed, does not violate.
Clean programs with a third seed, and honest programs with invariants of their own, say what is violated for nothing.

It is given more than it takes by itself: a clean run of the very same program to learn from, and a trace of every step
(`--interval 10` is its own way, all of the first ten steps and each tenth afterwards).

Played are cases of one launch, whose payload is in the script or in a file beside it that Python finds; not those that
need installed files edited, a seal, or a second launch. saksi's own figures of the same draws are in docs/range.md.

    .venv/bin/python bench/range_traincheck.py --env DIR --group B --group C --group D --out results.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import under_traincheck
from under_traincheck import NotDone

from saksi.range.case import Case, Parameters
from saksi.range.cases import ALL as CASES
from saksi.range.compose import clean_files, program_text, sabotaged_files
from saksi.range.honest import ALL as VARIANTS

SEED = 3329579154
"""Of the session in docs/range.md."""
SEEDED = "torch.manual_seed(0)"
EPOCHS = {"train.py": 20, "recipe.py": 10, "tracked.py": 20, "ranks.py": 20}
"""Updates of an epoch: TrainCheck counts the turns of the outer loop as well."""
SHOWN = 3


class Learned:
    """What is known of one program: its invariants, and those that it violates without any sabotage."""

    def __init__(self, invariants: Path, count: int, learned_s: float) -> None:
        self.invariants, self.count, self.learned_s = invariants, count, learned_s
        self.habits: set[str] = set()


class Session:
    """Everything is played below one folder, and each program is learned once."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.home = under_traincheck.environment(options, folder)
        self._learned: dict[tuple[str, ...], Learned | NotDone] = {}
        self._lock, self._out = threading.Lock(), threading.Lock()

    def tell(self, line: dict[str, object]) -> dict[str, object]:
        """Every line at once, so that a session that is ended leaves what it has."""
        with self._out:
            print(json.dumps(line), file=sys.stderr, flush=True)
            if self.options.out:
                with self.options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        return line

    def learned(self, program: str, arguments: tuple[str, ...] = ()) -> Learned:
        """The invariants of a program. Raises `NotDone`."""
        with self._lock:
            if (program, *arguments) not in self._learned:
                try:
                    self._learned[program, *arguments] = self._learn(program, arguments)
                except NotDone as error:
                    self._learned[program, *arguments] = error
            found = self._learned[program, *arguments]
        if isinstance(found, NotDone):
            raise found
        return found

    def _learn(self, program: str, arguments: tuple[str, ...]) -> Learned:
        where = self.folder / "-".join(("learned", program, *arguments))
        invariants, began = where / "invariants.json", time.perf_counter()
        kept = self.options.keep and self.options.keep / f"{'-'.join((program, *arguments))}.json"
        script = put_down(where, program, arguments, {})
        if kept and kept.is_file():
            invariants.write_bytes(kept.read_bytes())
        else:
            under_traincheck.collect(self.home, script, where / "trace")
            under_traincheck.infer(self.home, [where / "trace"], invariants, workers=self.options.workers)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(invariants.read_bytes())
        count = len(invariants.read_text("utf-8").splitlines())
        found = Learned(invariants, count, time.perf_counter() - began)
        known = kept and kept.with_suffix(".habits")
        if known and known.is_file():
            found.habits = set(known.read_text("utf-8").splitlines())
            return found
        habits = self.judged(where / "habits", reseeded(where / "again", program, arguments, 1), found)
        found.habits = {each["id"] for each in habits}
        third = self.judged(where / "third", reseeded(where / "third-project", program, arguments, 2), found)
        more = [each for each in third if each["id"] not in found.habits]
        self.tell({
            "clean": "-".join((program, *arguments)), "invariants": count, "learned_s": round(found.learned_s),
            "another_seed": len(habits), "third_seed": len(third), "for_nothing": len(more), "shown": shown(more),
        })  # fmt: skip
        if known:
            known.write_text("".join(f"{each}\n" for each in sorted(found.habits)), "utf-8")
        return found

    def judged(self, trace: Path, script: Path, learned: Learned) -> list[dict]:
        """The violated invariants of one instrumented run. Raises `NotDone`."""
        trace.parent.mkdir(parents=True, exist_ok=True)
        sampled = (1, 1) if self.options.interval == 1 else (under_traincheck.WARM_UP, self.options.interval)
        under_traincheck.collect(self.home, script, trace, invariants=learned.invariants, sampled=sampled)
        found = under_traincheck.check(self.home, trace, learned.invariants)
        return [{**each, "id": json.dumps(each["invariant"], sort_keys=True)} for each in found]

    def play(self, case: Case) -> dict[str, object]:
        """One case, as it is drawn in a session of the range."""
        parameters = drawn(case, self.options.seed)
        true_step = None if case.first is None else int(parameters[case.first]) + case.delay
        line: dict[str, object] = {"case": case.id, "program": case.program, "parameters": parameters,
                                   "first_step": true_step}  # fmt: skip
        began = time.perf_counter()
        try:
            learned = self.learned(case.program)
            began, where = time.perf_counter(), self.folder / case.id
            mark = where / "acted"
            sabotage = sabotaged_files(case, parameters, str(mark))
            violated = self.judged(where / "trace", put_down(where, case.program, case.arguments, sabotage), learned)
        except NotDone as error:
            return self.tell({**line, "error": str(error)})
        if not mark.exists():
            return self.tell({**line, "error": "the payload never acted"})
        beyond = [each for each in violated if each["id"] not in learned.habits]
        return self.tell({
            **line, "found": bool(beyond), "violated": len(violated), "beyond": len(beyond),
            "first_violation": first_step(case.program, beyond), "shown": shown(beyond),
            "seconds": round(time.perf_counter() - began),
        })  # fmt: skip

    def honest(self, name: str) -> None:
        """One honest program, by what was learned of itself; it is told as it is learned."""
        variant = next(each for each in VARIANTS if each.name == name)
        try:
            self.learned(variant.program, variant.arguments)
        except NotDone as error:
            self.tell({"clean": "-".join((variant.program, *variant.arguments)), "error": str(error)})


def drawn(case: Case, seed: int) -> Parameters:
    """As `saksi.range.session` draws them, which first draws whether a case comes in before hashes are taken."""
    rng = Random(f"{seed}/{case.id}/0")
    rng.random()
    return case.draw(rng)


def put_down(where: Path, program: str, arguments: tuple[str, ...], files: dict[str, str]) -> Path:
    """A project to be run. Packages lie beside the script: TrainCheck puts only that folder on the search path."""
    project = where / "project"
    for name, text in {**clean_files(program), program: program_text(program), **files}.items():
        path = project / name.removeprefix("packages/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    script = project / program
    if arguments:
        script.write_text(f"import sys; sys.argv[1:] = {list(arguments)!r}\n{script.read_text('utf-8')}", "utf-8")
    return script


def reseeded(where: Path, program: str, arguments: tuple[str, ...], seed: int) -> Path:
    """The clean program with another seed."""
    script = put_down(where, program, arguments, {})
    text = script.read_text("utf-8")
    if SEEDED not in text:
        raise NotDone(f"{program} has no seed to change")
    script.write_text(text.replace(SEEDED, f"torch.manual_seed({seed})"), "utf-8")
    return script


def first_step(program: str, violated: list[dict]) -> int | None:
    """The first Step of which a violation is known, by the count of turns that stands in the trace.

    A violation is known with the last of its records: that something does not follow is not known before.
    """
    turns = [max(int(at.get("meta_vars.step") or 0) for at in each["trace"]) for each in violated]
    if not turns or program not in EPOCHS:
        return None
    turn, length = min(turns), EPOCHS[program]
    return turn - 2 - (turn - 1) // (length + 1)


def shown(violated: list[dict]) -> list[str]:
    return [f"{each['invariant']['relation']}: {each['invariant']['text_description'][:200]}" for each in violated][
        :SHOWN
    ]


def chosen(options: argparse.Namespace) -> tuple[list[Case], dict[str, str]]:
    """The cases that can be played here, and why the others cannot."""
    asked = [
        each
        for each in CASES
        if each.id in options.only or each.row in options.only or (not options.only and each.group in options.group)
    ]
    reasons = {each.id: why for each in asked if (why := cannot_be_played(each))}
    return [each for each in asked if each.id not in reasons], reasons


def cannot_be_played(case: Case) -> str | None:
    if case.site or case.bytecode:
        return "installed files are edited"
    if case.sealed:
        return "it is against a seal of files"
    if case.launches > 1:
        return "it takes two launches"
    if case.ends != (0,):
        return "the training does not end well"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", action="append", default=[], help="letters of the catalogue")
    parser.add_argument("--only", action="append", default=[], help="ids or rows")
    parser.add_argument("--honest", nargs="*", default=[], help="names of honest programs")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--interval", type=int, default=1, help="trace each of so many steps")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that infer")
    parser.add_argument("--out", type=Path, help="a line of JSON for each, as soon as it is known")
    parser.add_argument("--keep", type=Path, help="a folder of what was learned, for later sessions")
    under_traincheck.add_options(parser)
    options = parser.parse_args()
    cases, not_played = chosen(options)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(options, Path(folder))
        with ThreadPoolExecutor(options.jobs) as pool:
            lines = list(pool.map(session.play, cases))
            list(pool.map(session.honest, options.honest))
        told = under_traincheck.versions(session.home)
    table(lines)
    ran = [each for each in lines if "error" not in each]
    print(f"found {sum(bool(each['found']) for each in ran)} of {len(ran)} played; {len(lines) - len(ran)} failed")
    result = {"schema": "saksi.bench.range_traincheck/v1", **told, "seed": options.seed, "interval": options.interval}
    print(json.dumps({**result, "cases": lines, "not_played": not_played}))
    return 0


def table(lines: list[dict[str, object]]) -> None:
    """As docs/range.md shows it."""
    print("| case | TrainCheck | violated | beyond the clean program | first step | true step |")
    print("| --- | --- | --- | --- | --- | --- |")
    for each in lines:
        if "error" in each:
            cells = ["failed", "-", "-", "-"]
        else:
            first = each["first_violation"]
            cells = ["found" if each["found"] else "missed", each["violated"], each["beyond"],
                     "-" if first is None else first]  # fmt: skip
        true = "-" if each["first_step"] is None else each["first_step"]
        print(f"| {' | '.join(str(cell) for cell in (each['case'], *cells, true))} |")


if __name__ == "__main__":
    raise SystemExit(main())
