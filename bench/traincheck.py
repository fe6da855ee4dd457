"""What watching costs: saksi's recorder and TrainCheck on the same training, in one run.

The GPT of bench/recorder_cost.py (10.7 million parameters, batch 4 x 128, AdamW, one thread), under one interpreter,
that of TrainCheck's environment. Processes alternate: plain, saksi at `standard` and at `full`, TrainCheck tracing only
what its inferred invariants need (with its own sampling of steps: the first ten, then each tenth), the same with 100 of
the invariants drawn, as its authors measure, and TrainCheck collecting everything, as it does of a run to infer from.
Invariants are inferred first, from one such trace of `--traced-steps` steps.

Ratios are of step times, in pairs with the plain run of the same round, and medians over rounds. A step that is traced
is given apart from one between, and the average of a long run is worked out from both. saksi's own CPU time stands
beside it; TrainCheck does not say its own.

    .venv/bin/python bench/traincheck.py --env DIR [--pip-args "--index-url URL"]

It needs a package index, unless `--env` is there, and some 20 minutes. It is no part of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import under_traincheck
from recorder_cost import SCRIPT, SIZES, measured, once, shares
from under_traincheck import INTERVAL, WARM_UP

DRAWN = 100
"""How many invariants its authors deploy where they measure what it costs."""
SKIPPED = 2
"""Steps at the start of each process that are in no median."""


def written(folder: Path, size: str, steps: int) -> Path:
    """The script as a file: TrainCheck hands no arguments on."""
    words = [str(word) for word in (steps, *SIZES[size], "AdamW", "cpu")]
    folder.mkdir(parents=True)
    path = folder / "gpt.py"
    path.write_text(f"import sys; sys.argv[1:] = {words!r}\n{SCRIPT}", "utf-8")
    return path


def traced(step: int) -> bool:
    """Whether TrainCheck takes a sample of this step; it counts from one."""
    return step + 1 < WARM_UP or (step + 1 - WARM_UP) % INTERVAL == 0


def under(home: Path, script: Path, trace: Path, **how) -> dict[str, object]:
    """One instrumented run: the script's times, the seconds besides the steps, and what it wrote."""
    said, seconds = under_traincheck.seconds_of(under_traincheck.collect, home, script, trace, **how)
    told = json.loads(next(line for line in said.splitlines() if line.startswith('{"wall"')))
    return {**told, "besides_s": seconds - sum(told["wall"]), "bytes": under_traincheck.bytes_in(trace)}


def medians(run: dict[str, object], steps) -> dict[str, float]:
    """Wall and CPU milliseconds of some steps of a run."""
    return {f"{kind}_ms": statistics.median(run[kind][each] for each in steps) * 1e3 for kind in ("wall", "cpu")}


def seen_of(run: dict[str, object], *, sampled: bool) -> dict[str, dict[str, float]]:
    steps = range(SKIPPED, len(run["wall"]))
    if not sampled:
        return {"traced": medians(run, steps)}
    return {
        "traced": medians(run, [each for each in steps if traced(each)]),
        "between": medians(run, [each for each in steps if not traced(each)]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--traced-steps", type=int, default=8, help="of a run of which everything is collected")
    parser.add_argument("--size", choices=SIZES, default="10M")
    parser.add_argument("--workers", type=int, default=2, help="processes that infer")
    parser.add_argument("--seed", type=int, default=0, help="draws the 100 invariants")
    parser.add_argument("--invariants", type=Path, help="a file of them; written if it is not there yet")
    under_traincheck.add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compared(options, Path(folder))))
    return 0


def compared(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    home = under_traincheck.environment(options, folder)
    result: dict[str, object] = {"schema": "saksi.bench.traincheck/v1", **under_traincheck.versions(home)}
    long, short = (written(folder / str(steps), options.size, steps) for steps in (options.steps, options.traced_steps))
    invariants, drawn = folder / "invariants.json", folder / "drawn.json"
    if options.invariants and options.invariants.is_file():
        invariants.write_bytes(options.invariants.read_bytes())
    else:
        say("TrainCheck collects a trace, and infers")
        under_traincheck.collect(home, short, folder / "reference")
        _, seconds = under_traincheck.seconds_of(
            under_traincheck.infer, home, [folder / "reference"], invariants, workers=options.workers
        )
        result["inference_s"] = round(seconds)
        if options.invariants:
            options.invariants.write_bytes(invariants.read_bytes())
    lines = invariants.read_text("utf-8").splitlines(keepends=True)
    drawn.write_text("".join(Random(options.seed).sample(lines, min(DRAWN, len(lines)))), "utf-8")
    result |= {"invariants": len(lines), "repeats": options.repeats}
    rounds = [
        round_of(options, home, folder / f"round-{number}", (long, short, invariants, drawn))
        for number in range(options.repeats)
    ]
    return {**result, **ratios(rounds)}


def round_of(
    options: argparse.Namespace, home: Path, folder: Path, given: tuple[Path, Path, Path, Path]
) -> dict[str, dict[str, object]]:
    """Each way once, plain first."""
    long, short, invariants, drawn = given
    folder.mkdir()
    asked = argparse.Namespace(settled=False, steps=options.steps, python=str(home / "python"), device="cpu")
    found: dict[str, dict[str, object]] = {}
    for level in ("off", "standard", "full"):
        say(f"round {folder.name}: {level}")
        began = time.perf_counter()
        run = once(asked, level, options.size, "AdamW")
        besides = time.perf_counter() - began - sum(run["wall"])
        numbers = measured(run)
        found[level] = {"parameters": run["parameters"], "besides_s": besides, "traced": numbers}
    for name, file in (("selective", invariants), ("selective_100", drawn)):
        say(f"round {folder.name}: TrainCheck, {name}")
        run = under(home, long, folder / name, invariants=file)
        found[name] = {**run, **seen_of(run, sampled=True)}
    say(f"round {folder.name}: TrainCheck, everything")
    run = under(home, short, folder / "everything")
    found["everything"] = {**run, **seen_of(run, sampled=False)}
    for name, one in found.items():
        say(
            json.dumps(
                {"round": folder.name, "way": name, **{key: one[key] for key in one if key not in {"wall", "cpu"}}}
            )
        )
    return found


def ratios(rounds: list[dict[str, dict[str, object]]]) -> dict[str, object]:
    """Medians over the rounds of what each round says against its own plain run."""
    plain = [each["off"]["traced"] for each in rounds]
    middle = {f"step_{kind}": round(statistics.median(each[kind] for each in plain), 1) for kind in plain[0]
              if kind in ("wall_ms", "cpu_ms")}  # fmt: skip
    result: dict[str, object] = {"parameters": rounds[0]["off"]["parameters"], **middle,
                                 "besides_s": of(each["off"]["besides_s"] for each in rounds)}  # fmt: skip
    for name in ("standard", "full", "selective", "selective_100", "everything"):
        row: dict[str, object] = {"besides_s": of(each[name]["besides_s"] for each in rounds)}
        for kind in ("wall", "cpu"):
            against = [one[f"{kind}_ms"] for one in plain]
            steps = [each[name]["traced"][f"{kind}_ms"] / one for each, one in zip(rounds, against, strict=True)]
            row[f"{kind}_ratio"] = spread(steps)
            if "between" in rounds[0][name]:
                rest = [each[name]["between"][f"{kind}_ms"] / one for each, one in zip(rounds, against, strict=True)]
                row[f"{kind}_ratio_between"] = spread(rest)
                long = [(one + (INTERVAL - 1) * other) / INTERVAL for one, other in zip(steps, rest, strict=True)]
                row[f"{kind}_ratio_long_run"] = spread(long)
        if name in ("standard", "full"):
            own = [shares(name, each[name]["traced"], each["off"]["traced"]["cpu_ms"]) for each in rounds]
            row["own_cpu_share"] = of((each["long_run"] for each in own), 4)
            row["own_cpu_share_first_hundred"] = of((each["first_hundred"] for each in own), 4)
        else:
            row["megabytes"] = of(each[name]["bytes"] / 1e6 for each in rounds)
        result[name] = row
    print(
        f"a plain step takes {result['step_cpu_ms']:.0f} ms of CPU; of wall, times as long: "
        f"saksi standard {result['standard']['wall_ratio'][0]}, full {result['full']['wall_ratio'][0]}; "
        f"TrainCheck, a step that is traced for its invariants {result['selective']['wall_ratio'][0]}, "
        f"one between {result['selective']['wall_ratio_between'][0]}, "
        f"on average {result['selective']['wall_ratio_long_run'][0]}; "
        f"with {DRAWN} invariants {result['selective_100']['wall_ratio'][0]}, "
        f"{result['selective_100']['wall_ratio_between'][0]}, {result['selective_100']['wall_ratio_long_run'][0]}; "
        f"everything {result['everything']['wall_ratio'][0]}"
    )
    return result


def of(values, digits: int = 1) -> float:
    return round(statistics.median(values), digits)


def spread(values: list[float]) -> list[float]:
    """Median, least and most."""
    return [round(each, 2) for each in (statistics.median(values), min(values), max(values))]


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
