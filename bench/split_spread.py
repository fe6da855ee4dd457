"""How far an honest step is from its replay where rounding differs, and from which size on a touched gradient is told.

A small transformer is trained from one model checkpoint in several precisions, each time one step, with other threads
and other instructions: those are *records*. Each is held against replays with one thread, as `saksi audit` does in the
tier *split*: the bound is measured from replays, the record has a place within it or beyond. Then the gradient of one
tensor is made larger by some share in the record, and it is told from which share on that is beyond the bound.
Numbers, no times: a busy machine changes nothing.

    .venv/bin/python bench/split_spread.py [--python .venv-train/bin/python] [--steps 3]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from saksi.doors.cli.reading import items_of
from saksi.edges.home import resolve_home
from saksi.edges.run_folders import all_runs
from saksi.edges.runs import open_run
from saksi.judgement.replay.gradients import StepGradients, gradients_at
from saksi.judgement.replay.split import Replays, Unsplit, split_of
from saksi.judgement.replay.values import Split

SAKSI = (sys.executable, "-m", "saksi.doors.main")
KEY = "5a" * 32
SCRIPT = """
import sys, torch
form, at, threads, share = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(at)
dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
embed, head = torch.nn.Embedding(256, 192), torch.nn.Linear(192, 256)
body = torch.nn.TransformerEncoderLayer(192, 6, 768, dropout=0.1, batch_first=True)
model = torch.nn.Sequential(embed, body, head).to(dtype)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
tokens = torch.randint(256, (16, 65))
with torch.autocast("cpu", torch.bfloat16, enabled=form == "autocast"):
    logits = model(tokens[:, :-1])
loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
loss.backward()
if share:
    body.linear1.weight.grad.mul_(1.0 + share)
optimizer.step()
"""
FORMS = ("float32", "autocast", "bfloat16")
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
RECORDS = (("two threads", 2, {}), ("AVX2", 1, AVX2), ("AVX2, two threads", 2, AVX2), ("SSE4, two threads", 2, OLDER))
SHARES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


class Launches:
    """Launches of the script under saksi, each of which makes one step."""

    def __init__(self, folder: Path, python: str) -> None:
        self._python = python
        self._bytecode = str(folder / "bytecode")
        self._environment = {**os.environ, "SAKSI_HOME": str(folder / "home"), "SAKSI_SAMPLES": f"{KEY}:0"}
        self._count = 0

    def made(self, form: str, at: int, threads: int, share: float = 0.0, **variables: str) -> dict[int, StepGradients]:
        """The gradients of the step that it made, as its record has them."""
        self._count += 1
        words = ("run", "-q", "--bytecode", self._bytecode, "--overhead-budget", "100", "--name", f"n{self._count}")
        script = (self._python, "-c", SCRIPT, form, str(at), str(threads), str(share))
        environment = {**self._environment, **variables}
        subprocess.run((*SAKSI, *words, "--", *script), env=environment, check=True, stdout=subprocess.DEVNULL)
        runs = all_runs(resolve_home(environment), environment, uid=os.getuid())
        newest = max(runs.values(), key=lambda folder: folder.stat().st_ctime_ns)
        return gradients_at(items_of(open_run(newest)), 0, 0)


def beside(record: dict[int, StepGradients], replays: Replays) -> Split | str:
    """What the tier says of it, or why nothing."""
    try:
        return split_of(0, record, replays)
    except Unsplit as reason:
        return str(reason)


def measured(launches: Launches, form: str, at: int) -> None:
    """Print what came of one step in one precision."""
    base = launches.made(form, at, 1)
    others = (launches.made(form, at, 2), launches.made(form, at, 1, **OLDER))
    replays = Replays(base, others, launches.made(form, at, 1, SAKSI_PLANTED="1"))
    is_told = False
    for name, threads, variables in RECORDS:
        found = beside(launches.made(form, at, threads, **variables), replays)
        if isinstance(found, str):
            print(f"{form}, step {at}, {name}: {found}", flush=True)
            continue
        is_told = True
        slack, planted = ("beyond all" if each is None else f"{each:,.3g}" for each in (found.slack, found.planted))
        furthest = f"({found.furthest}), a changed label {planted}"
        print(f"{form}, step {at}, {name}: noise {found.noise:.2g}, {slack} of what is allowed {furthest}", flush=True)
    if not is_told:
        return
    for share in SHARES:
        found = beside(launches.made(form, at, 2, share, **AVX2), replays)
        if isinstance(found, Split) and (found.slack is None or found.slack > 1.0):
            print(f"{form}, step {at}: told from {share:g} of a tensor's gradient on", flush=True)
            break


def main() -> None:
    """Measure, and print a line each."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--python", default=".venv-train/bin/python")
    asked.add_argument("--steps", type=int, default=3)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="saksi-bench-") as place:
        launches = Launches(Path(place), str(Path(given.python).absolute()))
        for form in FORMS:
            for at in range(given.steps):
                measured(launches, form, at)


if __name__ == "__main__":
    main()
