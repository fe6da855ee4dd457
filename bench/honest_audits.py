"""What `saksi audit` says of every honest program of `saksi range`, asked for a part, and with other threads.

Each program is run under `saksi run` with a capsule each ten steps and as many threads as torch takes by itself, then
sealed with its environment, and each attempt audited from that seal:

  part     `--sample 1`: the first, the last and one drawn stretch, begun with a capsule where that can be
  threads  `--sample 1 --threads 1`: replays with one thread, which proves no difference: up to rounding

A run is honest by construction, so that a `mismatch` is wrong, whatever was asked.

    .venv/bin/python bench/honest_audits.py [--python .venv-train/bin/python] [--jobs 2] [--only NAME] [--seed 0]
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from saksi.range.compose import clean_files
from saksi.range.honest import ALL
from saksi.range.launching import CaseFailed, Desk, Running
from saksi.range.replaying import audits_of, keep, write_files

ASKED = {"part": ("--sample", "1"), "threads": ("--sample", "1", "--threads", "1")}
RUN = ("run", "-q", "--capsules", "every=10")


def trained(variant, desk, files):
    """Each launch of the program. Raises `CaseFailed` if one does not end as it should."""
    write_files(desk.project, files)
    for number in range(variant.launches):
        keep(desk, number)
        resuming = ("--resume", "last") if number else ()
        done = desk.saksi(*RUN, *resuming, "--", str(desk.python), variant.program, *variant.arguments)
        if done.code not in variant.ends:
            raise CaseFailed(f"the training ended with {done.code}: {done.last_words}")


def line_of(kind, audit):
    """What is told of one audit."""
    stretches = audit.sampled.stretches if audit.sampled else ()
    return {
        "asked": kind,
        "attempt": audit.attempt,
        "verdict": audit.verdict,
        "tier": audit.tier,
        "means": dict(Counter(each.means for each in stretches)),
        "equal": sum(each.equal for each in stretches),
        "up_to_rounding": sum(each.split is not None for each in stretches),
        "why": [each.reason for each in stretches if each.reason],
        "reasons": list(audit.reasons),
        "replays": audit.replays,
    }


def audited(variant, desk, seed):
    """The program's lines: two for each attempt."""
    files = clean_files(variant.program, seed=seed)
    trained(variant, desk, files)
    audits = audits_of(desk, variant, approved=files, found=files, asked=tuple(ASKED.values()))
    return [line_of(kind, audit) for audit, kind in zip(audits, [*ASKED] * variant.launches, strict=True)]


def summed(kind, programs):
    """How often each verdict came, and of the stretches how many began how."""
    lines = [line for each in programs for line in each["audits"] if line["asked"] == kind]
    means = Counter()
    for line in lines:
        means.update(line["means"])
    return {
        "audits": len(lines),
        "verdicts": dict(Counter(f"{line['verdict']} {line['tier']}" for line in lines)),
        "means": dict(means),
        "equal": sum(line["equal"] for line in lines),
        "up_to_rounding": sum(line["up_to_rounding"] for line in lines),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=".venv-train/bin/python")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one command")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    python = Path(options.python).absolute()
    seed = Random().randrange(2**31) if options.seed is None else options.seed
    chosen = [each for each in ALL if not each.settings and (not options.only or each.name in options.only)]
    running = Running()
    with tempfile.TemporaryDirectory(prefix="saksi-audits-", ignore_cleanup_errors=True) as place:

        def played(variant):
            folder, began, error, audits = Path(place) / variant.name, time.monotonic(), None, []
            (folder / "project").mkdir(parents=True)
            desk = Desk(
                folder=folder, python=python, cache=Path(place) / "cache", limit_s=options.limit, running=running
            )
            try:
                audits = audited(variant, desk, Random(f"{seed}/{variant.id}").randrange(2**31))
            except CaseFailed as failed:
                error = str(failed)
            line = {"program": variant.name, "audits": audits, "error": error,
                    "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
            print(json.dumps(line), file=sys.stderr, flush=True)
            return line

        with ThreadPoolExecutor(options.jobs) as pool:
            programs = list(pool.map(played, chosen))
    found = {kind: summed(kind, programs) for kind in ASKED}
    failed = [each["program"] for each in programs if each["error"]]
    wrong = [each["program"] for each in programs if any(line["verdict"] == "mismatch" for line in each["audits"])]
    print(json.dumps({"schema": "saksi.bench.honest_audits/v1", "seed": seed, "found": found, "failed": failed,
                      "mismatch": wrong, "programs": programs}, indent=1))  # fmt: skip
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
